"""How good the detections of a model are, picture by picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_tester.core.errors import DatasetError, InputError
from edge_tester.core.figures import Quality
from edge_tester.core.quality import Accumulator
from edge_tester.core.statistics.detection import (
    OVERLAPS,
    Matched,
    matched,
    mean_average_precision,
)
from edge_tester.core.tensors import Array

if TYPE_CHECKING:
    # In typing only from Python 3.11 on.
    from typing_extensions import Self

# Class, score and box of a detection; class and box of an object.
DETECTION_NUMBERS, OBJECT_NUMBERS = 6, 5


class DetectionAccumulator(Accumulator):
    """Mean average precision as COCO defines it.

    Its memory grows with the detections: which of them count depends on all others.

    Notes
    -----
    A detection is a row of class, score, top, left, bottom, right; an object is a row of class,
    top, left, bottom, right. Rows whose class is below 0 are none: they fill up arrays.
    """

    def __init__(self) -> None:
        super().__init__()
        # Of each class, for each of its pictures: scores, hits, number of the picture.
        self._found: dict[int, list[tuple[Array, Array, int]]] = {}
        self._objects: dict[int, dict[int, int]] = {}

    def update(self, values: Array, truth: Array | None) -> None:
        """Take detections of shape (batch, detections, 6), and objects of (batch, objects, 5)."""
        if truth is None:
            raise DatasetError("Detections need the true objects of every sample, got none.")
        if values.ndim != 3 or values.shape[2] != DETECTION_NUMBERS:
            raise InputError(
                "Detections are rows of class, score, top, left, bottom and right for each "
                f"sample, got {values.dtype} of shape {values.shape}; --detections says how the "
                "model gives them."
            )
        if truth.ndim != 3 or truth.shape[2] != OBJECT_NUMBERS or len(truth) != len(values):
            raise DatasetError(
                f"Objects are rows of class, top, left, bottom and right for each of "
                f"{len(values)} samples, got {truth.dtype} of shape {truth.shape}."
            )
        for detections, objects in zip(values, truth, strict=True):
            self._see(detections, objects)
            self.samples += 1

    def merge(self, other: Self) -> None:
        """Take over all that another accumulator of this class has seen."""
        for label, found in other._found.items():
            moved = [(scores, hits, number + self.samples) for scores, hits, number in found]
            self._found.setdefault(label, []).extend(moved)
        for label, counts in other._objects.items():
            moved_counts = {number + self.samples: count for number, count in counts.items()}
            self._objects.setdefault(label, {}).update(moved_counts)
        self.samples += other.samples

    def result(self) -> Quality:
        """Return the figures over everything seen so far."""
        found = mean_average_precision(self.classes())
        return Quality(task="detection", samples=self.samples, map=found.all, map50=found.half)

    def predicted(self, values: Array) -> list[Any]:
        """Return the detections per sample, those that fill up left out."""
        return [one[one[:, 0] >= 0].tolist() for one in np.asarray(values, np.float64)]

    def classes(self) -> list[Matched]:
        """Return what became of the detections of each class that has objects."""
        return [self._class(label) for label in sorted(self._objects)]

    def _see(self, detections: Array, objects: Array) -> None:
        detections = detections[(detections[:, 0] >= 0) & np.isfinite(detections).all(axis=1)]
        objects = objects[objects[:, 0] >= 0]
        for label in np.unique(objects[:, 0]).astype(int).tolist():
            count = int((objects[:, 0] == label).sum())
            self._objects.setdefault(label, {})[self.samples] = count
        for label in np.unique(detections[:, 0]).astype(int).tolist():
            own = detections[detections[:, 0] == label]
            theirs = objects[objects[:, 0] == label, 1:]
            scores, hits = matched(own[:, 1], own[:, 2:], theirs)
            self._found.setdefault(label, []).append((scores, hits, self.samples))

    def _class(self, label: int) -> Matched:
        objects = np.zeros(self.samples, np.int64)
        for number, count in self._objects[label].items():
            objects[number] = count
        found = self._found.get(label, [])
        return Matched(
            scores=np.concatenate([np.empty(0), *(scores for scores, _, _ in found)]),
            hits=np.concatenate(
                [np.empty((0, len(OVERLAPS)), bool), *(hits for _, hits, _ in found)]
            ),
            pictures=np.concatenate(
                [np.empty(0, np.int64), *(np.full(len(s), number) for s, _, number in found)]
            ),
            objects=objects,
        )


def detections_of(predicted: Sequence[Any], truth: Sequence[Any]) -> DetectionAccumulator:
    """Return an accumulator that has seen what a record keeps of detections."""
    found = DetectionAccumulator()
    for detections, objects in zip(predicted, truth, strict=True):
        found.update(
            _rows(detections, DETECTION_NUMBERS)[np.newaxis],
            _rows(objects, OBJECT_NUMBERS)[np.newaxis],
        )
    return found


def _rows(values: Iterable[Any], numbers: int) -> Array:
    return np.array(list(values), np.float64).reshape(-1, numbers)
