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


def test_a_limit_gives_every_class_its_share():
    labels = np.repeat([0, 1, 2], [20, 60, 120])
    dataset = labelled(
        labels, test_fraction=1.0, validation_fraction=0.0, calibration_fraction=0.0, limit=20
    )
    chosen = dataset.test_indices()
    assert {0: 2, 1: 6, 2: 12} == Counter(labels[chosen].tolist())
    assert sorted(chosen) == chosen.tolist()
    dataset.limit = 3
    assert set(dataset.test_indices()) < set(chosen)


def test_a_limit_is_seeded():
    first, again, other = (
        labelled(None, 100, limit=5, split_seed=seed).test_indices().tolist() for seed in (3, 3, 4)
    )
    assert first == again != other
    everything = labelled(None, 100).split().test
    assert everything[:5].tolist() != labelled(None, 100, limit=5).test_indices().tolist()


def everything_measured(labels):
    return labelled(labels, test_fraction=1.0, validation_fraction=0.0, calibration_fraction=0.0)


def test_calibration_samples_come_out_of_those_to_be_measured():
    labels = np.repeat([0, 1], [100, 300])
    dataset = everything_measured(labels)
    assert ([], {}) == (dataset.remarks(), dataset.facts())
    dataset.ensure_calibration(80)
    split = dataset.split()
    assert {0: 20, 1: 60} == Counter(labels[split.calibration].tolist())
    assert list(range(400)) == sorted([*split.calibration, *dataset.test_indices()])
    assert "80 samples were set apart for calibration" in dataset.remarks()[0]
    assert "80 of those to be measured" in dataset.remarks()[0]
    assert {"set_apart_for_calibration": {"test": 80}} == dataset.facts()


def test_calibration_samples_come_out_of_the_training_first():
    dataset = labelled(
        np.zeros(100, int), test_fraction=0.5, validation_fraction=0.2, calibration_fraction=0.1
    )
    before = dataset.split()
    dataset.ensure_calibration(60)
    after = dataset.split()
    assert [0, 0, 60, 40] == [
        len(part) for part in (after.train, after.validation, after.calibration, after.test)
    ]
    assert set(before.calibration) | set(before.train) < set(after.calibration)
    assert set(after.test) < set(before.test)
    assert {"train": 20, "validation": 20, "test": 10} == dataset.facts()[
        "set_apart_for_calibration"
    ]


def test_enough_calibration_samples_are_left_alone():
    dataset = labelled(None, 100, calibration_fraction=0.2)
    dataset.ensure_calibration(20)
    assert ([], 20) == (dataset.remarks(), len(dataset.split().calibration))


def test_the_same_options_set_the_same_samples_apart():
    first, second, other = (everything_measured(np.repeat([0, 1], 50)) for _ in range(3))
    first.ensure_calibration(10)
    first.ensure_calibration(30)
    second.ensure_calibration(30)
    other.split_seed = 1
    other.ensure_calibration(30)
    assert first.split().calibration.tolist() == second.split().calibration.tolist()
    assert first.split().calibration.tolist() != other.split().calibration.tolist()


def test_half_of_what_is_measured_stays():
    dataset = everything_measured(np.zeros(100, int))
    with pytest.raises(DatasetError, match="Labelled has 0 .*51 are needed. At most 50 can be"):
        dataset.ensure_calibration(51)
    assert 100 == len(dataset.test_indices())
    dataset.ensure_calibration(50)
    assert 50 == len(dataset.test_indices())


def test_a_split_that_hides_what_was_set_apart_is_refused():
    class Stubborn(Labelled):
        def split(self):
            return self.own_split()

    dataset = Stubborn(calibration_fraction=0.0)
    dataset.count = 100
    with pytest.raises(DatasetError, match="must override own_split"):
        dataset.ensure_calibration(10)


@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [(None, [], None), ([0, 3, 1], [], 4), ([0, 1], ["a", "b", "c"], 3)],
)
def test_the_number_of_labels(labels, names, expected):
    dataset = labelled(None if labels is None else np.array(labels), 3)
    dataset.class_names = lambda: names
    assert expected == dataset.label_count()


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


def test_samples_are_set_apart_for_calibration_also_where_nothing_calibrates():
    labels = np.arange(100) % 5
    none = {"test_fraction": 1.0, "calibration_fraction": 0.0, "validation_fraction": 0.0}
    calibrated = labelled(labels, **none)
    calibrated.ensure_calibration(40)
    other = labelled(labels, **none, min_calibration=40)
    assert other.test_indices().tolist() == calibrated.test_indices().tolist()
    assert 60 == len(other.test_indices())
    assert 100 == len(labelled(labels, **none).test_indices())
    # What a folder sets apart comes on top.
    other.set_apart(other.test_indices()[:5])
    assert 55 == len(other.test_indices())
    with pytest.raises(DatasetError, match="are needed"):
        labelled(labels, **none, min_calibration=90).test_indices()
