"""How good the answers of a classifier are, counted batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edge_tester.core.errors import DatasetError, InputError
from edge_tester.core.figures import Quality, per_class, ratio
from edge_tester.core.quality import Accumulator
from edge_tester.core.tensors import Array

if TYPE_CHECKING:
    # In typing only from Python 3.11 on.
    from typing_extensions import Self

# A single score is the probability of class 1, and class 1 is predicted above this; or, where
# scores leave 0 to 1, its logit, and class 1 is predicted above that.
PROBABILITY_THRESHOLD, LOGIT_THRESHOLD = 0.5, 0.0
TOP_CLASSES = 5
# From how many hits on, and by how much more of all samples, another numbering is suggested.
_SUGGESTING_HITS, _SUGGESTING_SHARE = 10, 0.2


class ClassificationAccumulator(Accumulator):
    """Top-1 and top-5 accuracy, confusion matrix, precision, recall and F1.

    Parameters
    ----------
    class_names : sequence of str
        Names in the order of the class indices. Classes of the model beyond
        them are named by their index.
    threshold : float, optional
        A single score above this means class 1 of two. Without it: 0.5, and 0 as
        soon as any score is outside of 0 to 1, since such scores are logits.

    Notes
    -----
    Scores have the shape (batch, classes); of equal scores the lower class wins.
    A single score, (batch, 1) or (batch,), is that of class 1 of two. Integers of
    these shapes are the classes themselves, as models with an ArgMax give them.
    A sample with a NaN among its scores has no prediction: it counts as wrong in
    the accuracies and in the recall, but in no column of the confusion matrix.
    """

    def __init__(self, class_names: Sequence[str] = (), threshold: float | None = None) -> None:
        super().__init__()
        self.class_names = list(class_names)
        self.wanted_threshold = threshold
        self.single = self.scored = False
        self.outside = 0
        thresholds = (PROBABILITY_THRESHOLD, LOGIT_THRESHOLD) if threshold is None else (threshold,)
        # One set of counts for each threshold that may turn out to be the right one.
        self.counts = {one: _Counts(len(self.class_names)) for one in thresholds}

    @property
    def threshold(self) -> float:
        """The threshold of a single score, as far as the scores have told."""
        if self.wanted_threshold is not None:
            return self.wanted_threshold
        return LOGIT_THRESHOLD if self.outside else PROBABILITY_THRESHOLD

    def update(self, values: Array, truth: Array | None) -> None:
        """Take the scores of one batch, shape (batch, classes), and its class indices."""
        scores = _scores(values)
        classes = _class_count(scores)
        for counts in self.counts.values():
            counts.grow(classes)
        labels = self._labels(truth, scores)
        self.single |= scores.ndim == 1 and scores.dtype.kind == "f"
        if self.single:
            self.outside += int(((scores < 0) | (scores > 1)).sum())
        for threshold, counts in self.counts.items():
            counts.add(labels, *_winners(scores, threshold))
        if scores.ndim == 2:
            self.scored = True
            # A class that the model has no score for is never among its best.
            known = _free_of_nan(scores) & (labels < classes)
            hits = int((_rank(scores[known], labels[known]) < TOP_CLASSES).sum())
            for counts in self.counts.values():
                counts.top5_hits += hits
        self.samples += len(scores)

    def merge(self, other: Self) -> None:
        """Take over all that another accumulator of this class has seen."""
        for threshold, counts in self.counts.items():
            counts.merge(other.counts[threshold])
        self.single |= other.single
        self.scored |= other.scored
        self.outside += other.outside
        self.samples += other.samples

    def result(self) -> Quality:
        """Return the figures over everything seen so far."""
        counts = self.counts[self.threshold]
        return msgspec.structs.replace(
            self.summary(),
            confusion_matrix=counts.confusion.tolist(),
            per_class=per_class(counts.confusion, counts.unpredicted, self.class_names),
        )

    def summary(self) -> Quality:
        """Return the figures but those of single classes."""
        counts = self.counts[self.threshold]
        classes = len(counts.unpredicted)
        has_top5 = self.scored and classes > TOP_CLASSES
        return Quality(
            task="classification",
            samples=self.samples,
            accuracy=ratio(np.diag(counts.confusion).sum(), self.samples),
            top5_accuracy=ratio(counts.top5_hits, self.samples) if has_top5 else None,
            classes=classes,
            threshold=self.threshold if self.single else None,
        )

    def predicted(self, values: Array) -> list[Any]:
        """Return the predicted class index per sample, None where a score is NaN.

        Of a single score it is the score itself, until all are known.
        """
        scores = _scores(values)
        if scores.ndim == 1 and scores.dtype.kind == "f":
            return [None if score != score else score for score in scores.tolist()]
        winners, known = _winners(scores, self.threshold)
        pairs = zip(winners.tolist(), known.tolist(), strict=True)
        return [winner if answered else None for winner, answered in pairs]

    def class_scores(self, values: Array) -> list[float | None] | None:
        """Return how much each of two classes is preferred, class 1 above class 0."""
        scores = _scores(values)
        if scores.ndim == 2 and scores.shape[1] == 2 and scores.dtype.kind == "f":
            scores = scores[:, 1].astype(np.float64) - scores[:, 0]
        if scores.ndim == 2 or scores.dtype.kind != "f":
            return None
        return [score if np.isfinite(score) else None for score in scores.tolist()]

    def settled(self, predictions: Sequence[Any]) -> list[Any]:
        """Return class indices also of single scores."""
        if not self.single:
            return list(predictions)
        return [None if one is None else int(one > self.threshold) for one in predictions]

    def remarks(self) -> list[str]:
        """Say what was taken for logits, and which numbering of classes would fit better."""
        found = []
        if self.outside and self.wanted_threshold is None:
            found.append(
                f"The model gives a single score, and {self.outside} of {self.samples} are outside "
                "of 0 to 1: they are taken for logits, and class 1 is predicted above 0 instead of "
                "0.5 (--threshold decides otherwise)."
            )
        counts = self.counts[self.threshold]
        hits = int(np.diag(counts.confusion).sum())
        if len(counts.unpredicted) > 2:
            for offset in (1, -1):
                shifted = int(np.diag(counts.confusion, offset).sum())
                lifted = shifted - hits > _SUGGESTING_SHARE * self.samples
                if lifted and shifted >= _SUGGESTING_HITS:
                    found.append(
                        f"{shifted} of {self.samples} predictions are the true class {offset:+d}, "
                        f"only {hits} the true class itself: the model seems to number its classes "
                        f"otherwise; --label-offset {offset} takes that into account."
                    )
        chosen = counts.confusion.sum(axis=0)
        several = (counts.confusion.sum(axis=1) > 0).sum() > 1
        if several and self.samples >= _SUGGESTING_HITS and (chosen > 0).sum() == 1:
            name = self.names()[int(chosen.argmax())]
            found.append(f"All {int(chosen.sum())} predictions are one class, {name!r}.")
        missing = int(counts.unpredicted.sum())
        if missing:
            found.append(
                f"{missing} of {self.samples} samples have no prediction, since a score is NaN; "
                "they count as wrong."
            )
        return found

    def names(self) -> list[str]:
        """Return a name for every class seen so far."""
        count = len(self.counts[self.threshold].unpredicted)
        return self.class_names + [str(i) for i in range(len(self.class_names), count)]

    def _labels(self, truth: Array | None, scores: Array) -> Array:
        samples = len(scores)
        if truth is None:
            raise DatasetError("A classification needs the true class of every sample, got none.")
        labels = truth.reshape(-1)
        if not np.issubdtype(labels.dtype, np.integer) or len(labels) != samples:
            raise DatasetError(
                f"A classification needs one true class index per sample, {samples} in all, "
                f"got {truth.dtype} of shape {truth.shape}."
            )
        if scores.ndim == 1 and scores.dtype.kind in "iu":
            # A model that names classes does not say how many it knows.
            for counts in self.counts.values():
                counts.grow(int(labels.max(initial=-1)) + 1)
        count = len(self.counts[self.threshold].unpredicted)
        impossible = labels[(labels < 0) | (labels >= count)]
        if len(impossible):
            raise DatasetError(
                f"True class indices must be from 0 to {count - 1} "
                f"(the model and the class names have {count} classes), got {impossible[0]}."
            )
        return labels


class _Counts:
    """What is counted of a classification."""

    def __init__(self, classes: int) -> None:
        self.confusion = np.zeros((classes, classes), np.int64)
        self.unpredicted = np.zeros(classes, np.int64)
        self.top5_hits = 0

    def grow(self, classes: int) -> None:
        missing = classes - len(self.unpredicted)
        if missing > 0:
            self.confusion = np.pad(self.confusion, (0, missing))
            self.unpredicted = np.pad(self.unpredicted, (0, missing))

    def add(self, labels: Array, winners: Array, known: Array) -> None:
        self.grow(int(winners[known].max(initial=-1)) + 1)
        np.add.at(self.confusion, (labels[known], winners[known]), 1)
        np.add.at(self.unpredicted, labels[~known], 1)

    def merge(self, other: _Counts) -> None:
        count = len(other.unpredicted)
        self.grow(count)
        self.confusion[:count, :count] += other.confusion
        self.unpredicted[:count] += other.unpredicted
        self.top5_hits += other.top5_hits


def _scores(values: Array) -> Array:
    """Return scores of shape (samples, classes), or one score or class of shape (samples,)."""
    scores = np.asarray(values)
    if scores.ndim > 2 and scores.size == len(scores) * max(scores.shape[1:]):
        scores = scores.reshape(len(scores), -1)
    if scores.ndim == 2 and scores.shape[1] == 1:
        scores = scores.reshape(-1)
    if scores.ndim not in (1, 2) or scores.dtype.kind not in "fiub":
        raise InputError(
            "A classification needs scores of shape (batch, classes), or one score or class "
            f"per sample, got {scores.dtype} of shape {scores.shape}; --output-index chooses "
            "another output of the model."
        )
    if scores.ndim == 1 and scores.dtype.kind in "iu" and scores.min(initial=0) < 0:
        raise InputError(
            f"The model gives classes as integers, which must be at least 0, got {scores.min()}."
        )
    return scores


def _class_count(scores: Array) -> int:
    if scores.ndim == 2:
        return int(scores.shape[1])
    return 2 if scores.dtype.kind in "fb" else 0


def _winners(scores: Array, threshold: float) -> tuple[Array, Array]:
    """Return the predicted class of each sample, and whether it has one."""
    if scores.ndim == 2:
        return scores.argmax(axis=1), _free_of_nan(scores)
    if scores.dtype.kind != "f":
        return scores.astype(np.int64), np.ones(len(scores), bool)
    return (scores > threshold).astype(np.int64), ~np.isnan(scores)


def _free_of_nan(scores: Array) -> Array:
    """Tell for each sample whether its scores can be compared."""
    found: Array = np.logical_not(np.isnan(scores).any(axis=1))
    return found


def _rank(scores: Array, labels: Array) -> Array:
    """Return how many classes come before the true one of each sample."""
    own = scores[np.arange(len(scores)), labels][:, np.newaxis]
    earlier = np.arange(scores.shape[1]) < labels[:, np.newaxis]
    before = (scores > own) | ((scores == own) & earlier)
    ranks: Array = before.sum(axis=1)
    return ranks
