"""The figures of quality: what they are, and those of classes, computed from predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from edge_tester.core.tensors import Array

# What is to be predicted; decides which figures of quality there are.
Task = Literal["classification", "regression", "detection", "none"]


class ClassQuality(msgspec.Struct, frozen=True, kw_only=True):
    """Precision, recall and F1 of one class; None where nothing defines it."""

    name: str
    support: int
    precision: float | None
    recall: float | None
    f1: float | None


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """How good the answers were; what does not apply to the task is None."""

    task: Task
    samples: int
    accuracy: Annotated[float | None, msgspec.Meta(description="Top-1 accuracy, 0 to 1")] = None
    top5_accuracy: Annotated[
        float | None,
        msgspec.Meta(description="None below six classes, and where there are no scores"),
    ] = None
    classes: Annotated[
        int | None, msgspec.Meta(description="Number of classes of model and data set together")
    ] = None
    threshold: Annotated[
        float | None,
        msgspec.Meta(description="A single score above this means class 1 of two"),
    ] = None
    confusion_matrix: Annotated[
        list[list[int]] | None,
        msgspec.Meta(
            description="Row: true class; column: predicted class; counts. Not in the file: "
            "computed from the predictions when a record is read"
        ),
    ] = None
    per_class: Annotated[
        list[ClassQuality] | None,
        msgspec.Meta(description="Not in the file: computed when a record is read"),
    ] = None
    mse: float | None = None
    mae: float | None = None
    r2: float | None = None
    map: Annotated[
        float | None,
        msgspec.Meta(description="Mean average precision over overlaps of 0.50 to 0.95, 0 to 1"),
    ] = None
    map50: Annotated[float | None, msgspec.Meta(description="The same at an overlap of 0.50")] = (
        None
    )

    def without_classes(self) -> Quality:
        """Return the figures without those that follow from the predictions."""
        return msgspec.structs.replace(self, confusion_matrix=None, per_class=None)

    def with_classes(
        self, truth: Sequence[Any] | None, predicted: Sequence[Any], names: Sequence[str]
    ) -> Quality:
        """Return the figures with those that follow from the predictions.

        Parameters
        ----------
        truth, predicted : sequences of class indices
            None is predicted where the model gave no answer.
        names : sequence of str
            Names of the first classes; further ones are named by their index.
        """
        if self.task != "classification" or self.confusion_matrix is not None or truth is None:
            return self
        known = np.array([one is not None for one in predicted], bool)
        labels = np.asarray(truth, np.intp)
        winners = np.array([one or 0 for one in predicted], np.intp)
        seen = max(len(names), self.classes or 0, *(labels + 1), *(winners + 1), 0)
        confusion = np.zeros((seen, seen), np.int64)
        np.add.at(confusion, (labels[known], winners[known]), 1)
        unpredicted = np.bincount(labels[~known], minlength=seen)
        return msgspec.structs.replace(
            self,
            confusion_matrix=confusion.tolist(),
            per_class=per_class(confusion, unpredicted, names),
        )


def per_class(confusion: Array, unpredicted: Array, names: Sequence[str]) -> list[ClassQuality]:
    """Return the figures of each class.

    Parameters
    ----------
    confusion : ndarray of int, shape (classes, classes)
        Row: true class; column: predicted class.
    unpredicted : ndarray of int, shape (classes,)
        Samples of each class that have no prediction.
    names : sequence of str
        Names of the first classes.

    Notes
    -----
    With true positives TP, false positives FP and false negatives FN of one
    class: precision TP / (TP + FP), recall TP / (TP + FN), F1
    2 TP / (2 TP + FP + FN); None where the denominator is 0.

    Source: C. J. van Rijsbergen, "Information Retrieval", 2nd edition, 1979,
    chapter 7.
    """
    hits = np.diag(confusion)
    predicted = confusion.sum(axis=0)
    support = confusion.sum(axis=1) + unpredicted
    named = [*names, *(str(index) for index in range(len(names), len(confusion)))]
    return [
        ClassQuality(
            name=name,
            support=int(support[index]),
            precision=ratio(hits[index], predicted[index]),
            recall=ratio(hits[index], support[index]),
            f1=ratio(2 * hits[index], predicted[index] + support[index]),
        )
        for index, name in enumerate(named)
    ]


def ratio(part: Any, whole: Any) -> float | None:
    """Return part / whole, None where that is undefined."""
    if whole == 0 or not np.isfinite(part):
        return None
    return float(part / whole)
