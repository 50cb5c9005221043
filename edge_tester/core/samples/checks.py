"""What is doubtful about samples that a quantization shall be calibrated with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edge_tester.core.results.words import plural
from edge_tester.core.tensors import Array

# Fewer than these leave the ends of ranges to chance.
ENOUGH_SAMPLES = 200
# Of each input, so many values stand for a sample where samples are compared.
_PLACES = 256
# Samples that differ by less, as part of what two samples usually differ by, are nearly the same.
_NEAR = 0.05
# Pairs from which it is told by how much two samples usually differ.
_PAIRS = 2000
# Rows of a block of distances, so that memory stays bounded.
_BLOCK = 512
# The bulk of the values, and how far it may be beyond the range of others, as part of that range.
_BULK = (0.01, 0.99)
_SLACK = 0.25


class InputRange(NamedTuple):
    """Where the values of one input lie.

    Attributes
    ----------
    minimum, maximum : float
        Of all values.
    bulk : (float, float)
        Between which 98 % of the values lie that were looked at for it.
    """

    minimum: float
    maximum: float
    bulk: tuple[float, float]

    def holds(self, other: InputRange) -> bool:
        """Tell whether the bulk of other values lies within this range, or near it."""
        slack = _SLACK * (self.maximum - self.minimum)
        return self.minimum - slack <= other.bulk[0] and other.bulk[1] <= self.maximum + slack

    def described(self) -> str:
        """Return the ends for messages."""
        return f"{self.minimum:.4g} to {self.maximum:.4g}"


class SampleWatch:
    """Looks at samples one after the other; keeps 256 values of each input of each.

    Parameters
    ----------
    names : sequence of str
        Of the inputs, for messages.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._firsts: list[Array] = []
        self._differ = [False] * len(names)
        self._ends = [(float("inf"), float("-inf")) for _ in names]
        self._places: list[Array] = []
        self._kept: list[list[Array]] = [[] for _ in names]
        self._blank = 0
        self.samples = 0

    def see(self, values: Sequence[Array]) -> None:
        """Take one sample.

        Parameters
        ----------
        values : sequence of ndarray of numbers, one per input
            Finite; of the same shapes for every sample, as far as lengths are not open.
        """
        if not self._firsts:
            self._firsts = [np.array(one) for one in values]
            generator = np.random.default_rng(0)
            self._places = [
                np.sort(generator.permutation(one.size)[:_PLACES]) for one in self._firsts
            ]
        for index, one in enumerate(values):
            if not one.size:
                continue
            low, high = self._ends[index]
            least, most = float(one.min()), float(one.max())
            self._ends[index] = min(low, least), max(high, most)
            self._differ[index] |= not np.array_equal(one, self._firsts[index])
            # What is shorter than the first repeats, so that all have as many places.
            flat = np.resize(one, self._firsts[index].size)
            self._kept[index].append(flat[self._places[index]].astype(np.float64))
        sizes = [one for one in values if one.size > 1]
        self._blank += bool(sizes) and all(one.min() == one.max() for one in sizes)
        self.samples += 1

    def ranges(self) -> list[InputRange | None]:
        """Return the range of each input, None of one without values."""
        return [
            InputRange(*ends, tuple(np.quantile(np.stack(kept), _BULK).tolist())) if kept else None
            for ends, kept in zip(self._ends, self._kept, strict=True)
        ]

    def remarks(self) -> list[str]:
        """Return what is doubtful, in words."""
        found = few(self.samples)
        if self.samples > 1:
            for name, differs in zip(self._names, self._differ, strict=True):
                if not differs:
                    found.append(f"Input {name!r} is the same in all {self.samples} samples.")
        if self._blank:
            found.append(
                f"{plural(self._blank, 'sample')} of {self.samples} have one value throughout."
            )
        if pairs := self.near_duplicates():
            shown = ", ".join(f"{later} like {earlier}" for earlier, later in pairs[:3])
            more = ", ..." if len(pairs) > 3 else ""
            found.append(
                f"{plural(len(pairs), 'sample')} of {self.samples} nearly equal an earlier one "
                f"({shown}{more}, counted from 0): they tell little that is new."
            )
        return found

    def near_duplicates(self) -> list[tuple[int, int]]:
        """Return the samples that nearly equal an earlier one, behind the first such.

        Two samples are nearly equal if the root of their mean squared difference, at 256 places
        of each input, is less than 5 % of what it is between two samples on the median.
        """
        columns = [np.stack(kept) for kept in self._kept if kept]
        if self.samples < 2 or not columns or not any(self._differ):
            return []
        # Each input counts alike, whatever its unit.
        scaled = [one / (one.std() or 1.0) / np.sqrt(one.shape[1]) for one in columns]
        points = np.concatenate([one - one.mean(axis=0) for one in scaled], axis=1)
        generator = np.random.default_rng(0)
        first, second = generator.integers(0, len(points), (2, _PAIRS))
        apart = np.linalg.norm(points[first] - points[second], axis=1)[first != second]
        limit = (_NEAR * float(np.median(apart))) ** 2
        squares = np.square(points).sum(axis=1)
        found = []
        for begin in range(0, len(points), _BLOCK):
            rows = points[begin : begin + _BLOCK]
            end = begin + len(rows)
            distances = squares[begin:end, None] + squares[:end] - 2 * rows @ points[:end].T
            for row, near in enumerate(distances):
                earlier = np.flatnonzero(near[: begin + row] <= limit + 1e-9 * squares[begin + row])
                if len(earlier):
                    found.append((int(earlier[0]), begin + row))
        return found


def few(samples: int) -> list[str]:
    """Return a word on so few samples, if they are few."""
    if samples >= ENOUGH_SAMPLES:
        return []
    return [
        f"There are {plural(samples, 'sample')} to calibrate with; with fewer than "
        f"{ENOUGH_SAMPLES}, chance decides where ranges end."
    ]


def classes_missing(labels: Sequence[int], all_labels: Array | None, names: list[str]) -> list[str]:
    """Return which classes of a data set no sample is of, in words.

    Parameters
    ----------
    labels : sequence of int
        Of the samples.
    all_labels : ndarray of int or None
        Of the data set; None where there are no classes.
    names : list of str
        Of the classes, as far as known.
    """
    if all_labels is None:
        return []
    missing = sorted({int(one) for one in np.unique(all_labels) if one >= 0} - set(labels))
    if not missing:
        return []
    shown = [names[one] if one < len(names) else str(one) for one in missing[:5]]
    more = ", ..." if len(missing) > 5 else ""
    which = "the class" if len(missing) == 1 else f"the {len(missing)} classes"
    return [f"No sample is of {which} {', '.join(shown)}{more}."]


def ranges_differ(
    names: Sequence[str],
    found: Sequence[InputRange | None],
    expected: Sequence[InputRange | None],
    whose: str,
) -> list[str]:
    """Return which inputs have another range than the model is fed with, in words.

    Parameters
    ----------
    names : sequence of str
    found, expected : sequences of InputRange or None, one per input
    whose : str
        What the expected ones are of.
    """
    return [
        f"Input {name!r}: the samples to calibrate with go from {mine.described()}, but {whose} "
        f"from {theirs.described()}. A quantization that is calibrated so clips or wastes what "
        "the model really gets: are the samples preprocessed as the model's are?"
        for name, mine, theirs in zip(names, found, expected, strict=True)
        if mine and theirs and not (theirs.holds(mine) and mine.holds(theirs))
    ]
