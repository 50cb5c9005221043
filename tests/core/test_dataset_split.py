from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_tester.core.dataset import Dataset, Samples
from edge_tester.core.errors import DatasetError
from edge_tester.core.options import state


class Labelled(Dataset):
    """Samples that are their own index."""

    known: np.ndarray | None = state()
    count: int = state(0)

    def prepare(self):
        pass

    def __len__(self):
        return self.count

    def load(self, indices):
        return Samples((np.asarray(indices),), None)

    def labels(self):
        return self.known


def labelled(labels=None, count=None, **options):
    dataset = Labelled(**options)
    dataset.known = labels
    dataset.count = len(labels) if labels is not None else count
    return dataset


def parts(dataset):
    split = dataset.split()
    return [split.test, split.validation, split.calibration, split.train]


@given(
    st.lists(st.integers(0, 5), max_size=200),
    st.tuples(*[st.floats(0, 1 / 3)] * 3),
    st.integers(0, 5),
)
@settings(deadline=None)
def test_parts_are_disjoint_complete_and_of_the_right_size(labels, fractions, seed):
    names = ("test_fraction", "validation_fraction", "calibration_fraction")
    dataset = labelled(
        np.array(labels, int), split_seed=seed, **dict(zip(names, fractions, strict=True))
    )
    found = parts(dataset)
    assert list(range(len(labels))) == sorted(np.concatenate(found).tolist())
    for part, fraction in zip(found, fractions, strict=False):
        assert np.all(np.diff(part) > 0)
        # A class too small for its rounded parts passes a sample on to the next.
        assert abs(len(part) - fraction * len(labels)) <= 3


@pytest.mark.parametrize("labels", [None, np.zeros(10, int), np.arange(10)])
def test_everything_can_be_test_samples_in_order(labels):
    dataset = labelled(
        labels, 10, test_fraction=1.0, validation_fraction=0.0, calibration_fraction=0.0
    )
    assert list(range(10)) == dataset.test_indices().tolist()


def test_classes_are_shared_out_evenly():
    labels = np.repeat([0, 1, 2], [100, 200, 300])
    test, *_ = parts(labelled(labels, test_fraction=0.1))
    assert {0: 10, 1: 20, 2: 30} == Counter(labels[test].tolist())


def test_many_small_classes_still_give_the_right_total():
    labels = np.repeat(np.arange(100), 3)
    sizes = [len(part) for part in parts(labelled(labels, test_fraction=0.2))]
    assert [60, 30] == sizes[:2]


def test_the_seed_decides():
    labels = np.repeat([0, 1], 50)
    first, again, other = (labelled(labels, split_seed=seed) for seed in (1, 1, 2))
    assert first.test_indices().tolist() == again.test_indices().tolist()
    assert first.test_indices().tolist() != other.test_indices().tolist()


def test_a_limit_takes_the_first():
    dataset = labelled(None, 100)
    assert dataset.split().test[:5].tolist() == labelled(None, 100, limit=5).test_indices().tolist()


def test_impossible_fractions_are_refused():
    with pytest.raises(DatasetError, match="Labelled: .* sum to at most 1, got 0.9 \\+ 0.1"):
        labelled(None, 10, test_fraction=0.9).split()


def test_no_test_samples_are_refused():
    with pytest.raises(DatasetError, match="no test samples: 10 samples in all"):
        labelled(None, 10, test_fraction=0.0).test_indices()


def test_batches_are_loaded_in_order():
    dataset = labelled(None, 7)
    batches = [s.inputs[0].tolist() for s in dataset.batches(np.arange(7), 3)]
    assert [[0, 1, 2], [3, 4, 5], [6]] == batches
