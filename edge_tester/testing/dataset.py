"""The conformance suite of data sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, get_args

import msgspec
import numpy as np
import pytest

from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import DatasetError
from edge_tester.core.figures import Task
from edge_tester.core.record import require_encodable
from edge_tester.core.tensors import TensorSpec
from edge_tester.testing.plugin import PluginConformance


class DatasetConformance(PluginConformance):
    """A subclass must name the data set and give fresh instances of at least three samples."""

    cls: ClassVar[type[Dataset]]
    inputs: ClassVar[Sequence[TensorSpec]]
    """Inputs of a model that the data set fits, or can fit itself to."""

    @pytest.fixture
    def fresh(self) -> Dataset:
        """Return an instance that nothing was done with."""
        dataset = self.cls.from_options(self.options)
        assert isinstance(dataset, Dataset)
        return dataset

    @pytest.fixture
    def dataset(self, fresh: Dataset) -> Dataset:
        """Return a prepared and bound instance."""
        fresh.prepare()
        fresh.bind(self.inputs)
        return fresh

    def test_loading_unprepared_is_refused(self, fresh: Dataset) -> None:
        """Nothing is quietly empty."""
        with pytest.raises(DatasetError, match=self.cls.__name__):
            fresh.load([0])

    def test_loads_what_was_asked_for(self, dataset: Dataset) -> None:
        """Samples come in the order of the indices, repeated ones included."""
        assert len(dataset) >= 3
        together = dataset.load([2, 0, 2])
        assert 3 == len(together)
        for position, index in enumerate((2, 0, 2)):
            alone = dataset.load(np.array([index]))
            for expected, actual in zip(alone.inputs, together.inputs, strict=True):
                assert np.array_equal(expected[0], actual[position])
                assert expected.dtype == actual.dtype
            if alone.truth is not None:
                assert together.truth is not None
                assert np.array_equal(alone.truth[0], together.truth[position])

    def test_samples_belong_to_the_caller(self, dataset: Dataset) -> None:
        """Changing them changes nothing that is loaded later."""
        samples = dataset.load([0, 1])
        kept = [values.copy() for values in samples.inputs]
        for values in samples.inputs:
            values[...] = 0
        for expected, actual in zip(kept, dataset.load([0, 1]).inputs, strict=True):
            assert np.array_equal(expected, actual)

    def test_samples_fit_the_model(self, dataset: Dataset) -> None:
        """Shapes and dtypes are those that the model takes."""
        size = dataset.inference_batch_size
        for spec, values in zip(self.inputs, dataset.load(range(size)).inputs, strict=True):
            batched = len(spec.shape) == values.ndim
            spec.conform(values if batched else values[0])

    def test_truth_is_that_of_the_task(self, dataset: Dataset) -> None:
        """The task decides whether there is truth, and of which kind."""
        assert dataset.task in get_args(Task)
        indices = dataset.test_indices()[:5]
        truth = dataset.load(indices).truth
        if dataset.task == "none":
            assert truth is None
            assert dataset.labels() is None
            return
        assert truth is not None
        assert len(indices) == len(truth)
        expected = "iu" if dataset.task == "classification" else "f"
        assert truth.dtype.kind in expected
        labels = dataset.labels()
        if labels is not None:
            assert len(dataset) == len(labels)
            assert np.array_equal(labels[indices], truth)
        names = dataset.class_names()
        if names and dataset.task == "classification":
            assert 0 <= truth.min() <= truth.max() < len(names)

    def test_what_is_said_of_the_samples_can_be_recorded(self, dataset: Dataset) -> None:
        """Remarks are sentences, facts are plain values, and the classes can be counted."""
        dataset.load([0, 1])
        assert all(isinstance(remark, str) and remark for remark in dataset.remarks())
        facts = dataset.facts()
        require_encodable(facts=facts, class_names=list(dataset.class_names()))
        assert facts == msgspec.json.decode(msgspec.json.encode(facts))
        labels, count = dataset.labels(), dataset.label_count()
        assert (count is None) == (dataset.task != "classification" or labels is None)
        if count is not None and labels is not None:
            assert count > labels.max()

    def test_split_is_disjoint_and_in_order(self, dataset: Dataset) -> None:
        """No sample is measured that was trained or calibrated on."""
        split = dataset.split()
        parts = [split.train, split.validation, split.calibration, split.test]
        for part in parts:
            assert np.all(np.diff(part) > 0)
        everything = np.concatenate(parts)
        assert list(range(len(dataset))) == sorted(everything.tolist())

    def test_split_is_reproducible(self, dataset: Dataset) -> None:
        """The same seed, the same split."""
        first, second = dataset.split(), dataset.split()
        assert first.train.tolist() == second.train.tolist()
        assert first.calibration.tolist() == second.calibration.tolist()
        assert first.test.tolist() == second.test.tolist()

    def test_impossible_fractions_are_refused(self, dataset: Dataset) -> None:
        """More than everything cannot be split."""
        dataset.test_fraction, dataset.validation_fraction = 0.8, 0.8
        with pytest.raises(DatasetError, match="sum to at most 1"):
            dataset.split()

    def test_no_test_samples_are_refused(self, dataset: Dataset) -> None:
        """Nothing to measure is an error, not an empty record."""
        dataset.test_fraction = 0.0
        with pytest.raises(DatasetError, match="no test samples"):
            dataset.test_indices()

    def test_a_limit_takes_some(self, dataset: Dataset) -> None:
        """A limit shortens the measurement and changes nothing else; a smaller one is a part."""
        everything = dataset.test_indices().tolist()
        dataset.limit = 2
        two = dataset.test_indices().tolist()
        assert sorted(two) == two
        assert min(2, len(everything)) == len(set(two) & set(everything)) == len(two)
        dataset.limit = 1
        assert set(dataset.test_indices().tolist()) <= set(two)
        dataset.limit = len(everything) + 1
        assert everything == dataset.test_indices().tolist()

    def test_samples_set_apart_for_calibration_are_not_measured(self, dataset: Dataset) -> None:
        """The split says so, it stays disjoint, and a second request changes nothing."""
        before = dataset.split()
        minimum = len(before.calibration) + 1
        try:
            dataset.ensure_calibration(minimum)
        except DatasetError as error:
            # Not every data set can, but one that cannot leaves the split as it was.
            assert "own_split" not in str(error), str(error)
            assert before.test.tolist() == dataset.split().test.tolist()
            return
        after = dataset.split()
        assert minimum == len(after.calibration)
        assert set(before.calibration.tolist()) < set(after.calibration.tolist())
        assert not set(after.calibration.tolist()) & set(dataset.test_indices().tolist())
        assert 2 * len(after.test) >= len(before.test)
        assert dataset.remarks()
        dataset.ensure_calibration(minimum)
        assert after.calibration.tolist() == dataset.split().calibration.tolist()

    def test_batches_cover_all_in_order(self, dataset: Dataset) -> None:
        """The last batch may be smaller; no sample is lost or doubled."""
        indices = dataset.test_indices()[:3]
        sizes = [len(samples) for samples in dataset.batches(indices, 2)]
        expected = [2, 1] if len(indices) == 3 else [len(indices)]
        assert expected == sizes
