"""The data set role."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, TypeVar

import msgspec
import numpy as np

from edge_tester.core.errors import DatasetError
from edge_tester.core.figures import Task
from edge_tester.core.options import Configurable, option, state
from edge_tester.core.tensors import Array, TensorSpec

Prepared = TypeVar("Prepared")

# Keeps these random numbers apart from those of the split, which have the seed alone.
_CHOICE = 1
_PARTS = {"train": "for training", "validation": "for validation", "test": "to be measured"}
# Part of what is set apart: samples of the test split that somebody calibrates with from files.
_IN_FOLDER = "in folder"


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


def chosen_evenly(indices: Array, labels: Array | None, count: int, seed: int) -> Array:
    """Return ``count`` of these indices in ascending order, each class with its share.

    Fewer of them are always a part of more of them.

    Parameters
    ----------
    indices : ndarray of int
        Indices to choose from.
    labels : ndarray of int, or None
        Class of every sample of the data set; None where there are no classes.
    count : int
    seed : int
    """
    generator = np.random.default_rng([seed, _CHOICE])
    classes = np.zeros(len(indices), int) if labels is None else labels[indices]
    places = np.empty(len(indices))
    for label in np.unique(classes):
        members = generator.permutation(np.flatnonzero(classes == label))
        # Every class spreads its samples over the range from 0 to 1, so that those
        # below any limit are its share; where it begins decides who gives one more.
        places[members] = (np.arange(len(members)) + generator.random()) / len(members)
    return np.sort(indices[np.argsort(places, kind="stable")[:count]])


class Dataset(Configurable):
    """A subclass must prepare itself, tell its size and load samples by index.

    * ``prepare`` is called once and first; it raises where something is missing or unreadable.
    * ``load`` gives the same samples for the same indices, in any order, as often as it is called,
      also from another thread than the one that prepared; what it returned belongs to the caller.
    * ``bind`` may be called several times, with the inputs of the source and of what it became.
    * Equal options are an equal data set, in this process and in another one.
    * It keeps no more in memory than its source forces it to.

    Conformance suite: :class:`edge_tester.testing.DatasetConformance`.
    """

    random: ClassVar[bool] = False
    """Whether the samples are random numbers, which tell less than those of a device."""

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
    min_calibration: int = option(
        0,
        minimum=0,
        help="Samples to set apart for calibration even where nothing calibrates, so that all runs "
        "measure the same ones",
    )
    split_seed: int = option(0, minimum=0, help="Seed of the split; the same seed, the same split")
    limit: int | None = option(
        None,
        minimum=1,
        help="Measure only N test samples, each class with its share, by split_seed",
    )

    reserved: dict[str, Array] = state(default_factory=dict)

    @property
    def task(self) -> Task:
        """What is to be predicted; decides the quality metrics. Known once prepared."""
        return "classification"

    @property
    def normalization(self) -> str | None:
        """What scales the samples here for the network, None if the model wrapper is to do it."""
        return None

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

    def label_count(self) -> int | None:
        """Return how many classes the model must tell apart at least, None without classes."""
        labels = self.labels()
        if self.task != "classification" or labels is None:
            return None
        return max(len(self.class_names()), int(labels.max(initial=-1)) + 1)

    def bind(self, inputs: Sequence[TensorSpec]) -> None:
        """Learn what the model takes; for data sets that can fit themselves to it."""

    def remarks(self) -> list[str]:
        """Return what a reader of the figures must know of the samples loaded so far, in words."""
        counts = {part: len(indices) for part, indices in self.reserved.items()}
        found = []
        if count := counts.pop(_IN_FOLDER, 0):
            found.append(
                f"{count} of the samples to be measured are among those that are calibrated with "
                "from files: they are not measured."
            )
        if not counts:
            return found
        sources = " and ".join(f"{count} of those {_PARTS[part]}" for part, count in counts.items())
        return [
            *found,
            f"{sum(counts.values())} samples were set apart for calibration, since the split had "
            f"too few: {sources}, each class with its share. They are not measured; "
            "--calibration-fraction and --test-fraction choose how many there are.",
        ]

    def facts(self) -> dict[str, Any]:
        """Return what was done to the samples loaded so far to fit the model; JSON can hold it."""
        if not self.reserved:
            return {}
        return {"set_apart_for_calibration": {p: len(i) for p, i in self.reserved.items()}}

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
        """Return the split, with what was set apart for calibration since."""
        if self.min_calibration and not self.reserved:
            self.ensure_calibration(self.min_calibration)
        return self._divided(self.own_split())

    def _divided(self, own: Split) -> Split:
        if not self.reserved:
            return own
        moved = np.concatenate(list(self.reserved.values()))
        train, validation, test = (
            np.setdiff1d(part, moved) for part in (own.train, own.validation, own.test)
        )
        return Split(train, validation, np.union1d(own.calibration, moved), test)

    def own_split(self) -> Split:
        """Split all samples, stratified by class where there are classes.

        A subclass overrides this one if its samples are split in another way.
        """
        return self.split_of(len(self), self.labels())

    def ensure_calibration(self, minimum: int) -> None:
        """Set samples apart for calibration if there are fewer than ``minimum``.

        They come from those for training, then for validation, then from those to be
        measured, of which at least half stay. Equal options, an equal choice.

        Raises
        ------
        DatasetError
            There are too few samples.
        """
        own, labels = self.own_split(), self.labels()
        if len(self._divided(own).calibration) >= minimum:
            return
        self.reserved = {}
        missing = minimum - len(own.calibration)
        sources = (
            ("train", own.train, len(own.train)),
            ("validation", own.validation, len(own.validation)),
            ("test", own.test, len(own.test) // 2),
        )
        found = {}
        for part, indices, allowed in sources:
            count = min(missing, allowed)
            if count > 0:
                found[part] = chosen_evenly(indices, labels, count, self.split_seed)
                missing -= count
        if missing > 0:
            raise DatasetError(
                f"{type(self).__name__} has {len(own.calibration)} samples for calibration, "
                f"{minimum} are needed. At most {minimum - missing} can be set apart of its "
                f"{len(self)} samples, half of those to be measured: give more samples (those in "
                "x_calibration of an .npz file serve calibration alone), or a model that was "
                "quantized before."
            )
        self.reserved = found
        if len(self.split().calibration) < minimum:
            raise DatasetError(
                f"{type(self).__name__} overrides split(), which hides the samples set apart for "
                "calibration: it must override own_split() instead."
            )

    def set_apart(self, indices: Array) -> None:
        """Let none of these samples be measured, since a quantization is calibrated with them."""
        if len(measured := np.intersect1d(self.split().test, indices)):
            earlier = self.reserved.get(_IN_FOLDER, np.empty(0, int))
            self.reserved = {**self.reserved, _IN_FOLDER: np.union1d(earlier, measured)}

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
        indices = self.split().test
        if self.limit is not None and self.limit < len(indices):
            indices = chosen_evenly(indices, self.labels(), self.limit, self.split_seed)
        if len(indices) == 0:
            raise DatasetError(
                f"{type(self).__name__} has no test samples: {len(self)} samples in all, "
                f"test_fraction {self.test_fraction:g}."
                + (" All others are calibrated with." if self.reserved else "")
            )
        return indices

    def batches(self, indices: Array, size: int) -> Iterator[Samples]:
        """Load samples batch by batch; the last batch may be smaller."""
        for start in range(0, len(indices), size):
            yield self.load(indices[start : start + size])
