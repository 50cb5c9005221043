"""The data set role."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np

from edge_tester.core.errors import DatasetError
from edge_tester.core.figures import Task
from edge_tester.core.options import Configurable, option
from edge_tester.core.tensors import Array, TensorSpec

Prepared = TypeVar("Prepared")


class Samples(msgspec.Struct, frozen=True):
    """Some samples of a data set.

    Attributes
    ----------
    inputs : tuple of ndarray, one per model input, each of shape (samples, ...)
        Real values, before the model's own preprocessing.
    truth : ndarray of shape (samples, ...) or None
        Class indices (integers) or values to predict; None where nothing is known.
    """

    inputs: tuple[Array, ...]
    truth: Array | None

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.inputs[0])


class Split(msgspec.Struct, frozen=True):
    """Disjoint sample indices of one data set, each in ascending order."""

    train: Array
    validation: Array
    calibration: Array
    test: Array


class Dataset(Configurable):
    """A subclass must prepare itself, tell its size and load samples by index.

    It keeps no more in memory than its source forces it to. Conformance suite:
    :class:`edge_tester.testing.DatasetConformance`.
    """

    inference_batch_size: int = option(1, minimum=1, help="Samples that one inference takes")
    test_fraction: float = option(
        0.2, minimum=0, maximum=1, help="Part of the samples held out for measuring"
    )
    validation_fraction: float = option(
        0.1, minimum=0, maximum=1, help="Part of the samples for watching a training"
    )
    calibration_fraction: float = option(
        0.125, minimum=0, maximum=1, help="Part of the samples for calibrating a quantization"
    )
    split_seed: int = option(0, minimum=0, help="Seed of the split; the same seed, the same split")
    limit: int | None = option(None, minimum=1, help="Measure only the first N test samples")

    @property
    def task(self) -> Task:
        """What is to be predicted; decides the quality metrics. Known once prepared."""
        return "classification"

    def prepare(self) -> None:
        """Make samples available: find or download them; called once, before all else.

        Raises
        ------
        DatasetError
            They are missing or unreadable.
        """
        raise NotImplementedError

    def __len__(self) -> int:
        """Return the number of samples."""
        raise NotImplementedError

    def load(self, indices: Sequence[int] | Array) -> Samples:
        """Load the samples with these indices, in this order."""
        raise NotImplementedError

    def labels(self) -> Array | None:
        """Return the class index of every sample for stratification, None if there is none."""
        return None

    def class_names(self) -> list[str]:
        """Return the names of the classes in the order of their indices."""
        return []

    def bind(self, inputs: Sequence[TensorSpec]) -> None:
        """Learn what the model takes; for data sets that can fit themselves to it."""

    def remarks(self) -> list[str]:
        """Return what a reader of the figures must know of the samples loaded so far, in words."""
        return []

    def facts(self) -> dict[str, Any]:
        """Return what was done to the samples loaded so far to fit the model; JSON can hold it."""
        return {}

    def prepared(self, value: Prepared | None) -> Prepared:
        """Return working state that :meth:`prepare` sets.

        Raises
        ------
        DatasetError
            It is None: the data set was not prepared.
        """
        if value is None:
            raise DatasetError(f"{type(self).__name__} is used before prepare() was called.")
        return value

    def split(self) -> Split:
        """Split all samples, stratified by class where there are classes."""
        return self.split_of(len(self), self.labels())

    def split_of(self, count: int, labels: Array | None) -> Split:
        """Split the first ``count`` samples, whose class indices are ``labels``."""
        fractions = (self.test_fraction, self.validation_fraction, self.calibration_fraction)
        if sum(fractions) > 1 + 1e-9:
            raise DatasetError(
                f"{type(self).__name__}: test_fraction, validation_fraction and "
                "calibration_fraction must sum to at most 1, got "
                f"{' + '.join(map(str, fractions))}."
            )
        groups = (
            [np.arange(count)]
            if labels is None
            else [np.flatnonzero(labels == label) for label in np.unique(labels)]
        )
        generator = np.random.default_rng(self.split_seed)
        # Never without an array, since an empty data set has no class at all.
        parts: list[list[Array]] = [[np.empty(0, int)] for _ in range(4)]
        carry = np.zeros(3)
        for group in groups:
            shuffled = generator.permutation(group)
            # What rounding withholds from one class is carried to the next, so
            # that the totals are right whatever the number of classes.
            wanted = np.array(fractions) * len(group) + carry
            counts = np.rint(wanted).astype(int)
            carry = wanted - counts
            ends = np.minimum(np.cumsum(counts), len(group))
            for part, piece in zip(parts, np.split(shuffled, ends), strict=True):
                part.append(piece)
        test, validation, calibration, train = (np.sort(np.concatenate(p)) for p in parts)
        return Split(train, validation, calibration, test)

    def test_indices(self) -> Array:
        """Return the indices to measure, the limit applied.

        Raises
        ------
        DatasetError
            There are none.
        """
        indices = self.split().test[: self.limit]
        if len(indices) == 0:
            raise DatasetError(
                f"{type(self).__name__} has no test samples: {len(self)} samples in all, "
                f"test_fraction {self.test_fraction:g}."
            )
        return indices

    def batches(self, indices: Array, size: int) -> Iterator[Samples]:
        """Load samples batch by batch; the last batch may be smaller."""
        for start in range(0, len(indices), size):
            yield self.load(indices[start : start + size])
