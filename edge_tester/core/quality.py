"""How good a model's answers are: accumulators that are fed batch by batch.

Their memory depends on the number of classes or outputs, never on the number
of samples, and two of them merge into the one that saw all samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from edge_tester.core.errors import DatasetError, InputError
from edge_tester.core.measurements import ClassQuality, Quality, Task
from edge_tester.core.tensors import Array

# A single score is the probability of class 1, and class 1 is predicted above this.
BINARY_THRESHOLD = 0.5
TOP_CLASSES = 5


class Accumulator:
    """A subclass must count what it is fed and compute its figures on demand."""

    def __init__(self) -> None:
        self.samples = 0

    def update(self, values: Array, truth: Array | None) -> None:
        """Take the answers to one batch.

        Parameters
        ----------
        values : ndarray of shape (batch, ...)
            Scores per class, or predicted values.
        truth : ndarray of shape (batch, ...) or None
            Class indices, or the right values.

        Raises
        ------
        InputError, DatasetError
            The answers do not fit the task; the truth is missing or impossible.
        """
        raise NotImplementedError

    def merge(self, other: Self) -> None:
        """Take over all that another accumulator of the same kind has seen."""
        raise NotImplementedError

    def result(self) -> Quality:
        """Return the figures over everything seen so far."""
        raise NotImplementedError

    def predicted(self, values: Array) -> list[Any]:
        """Return one plain prediction per sample for the run record."""
        raise NotImplementedError


class NoAccumulator(Accumulator):
    """Counts samples where nothing is known about the right answers."""

    def update(self, values: Array, truth: Array | None) -> None:
        """Count the samples of one batch."""
        self.samples += len(values)

    def merge(self, other: Self) -> None:
        """Add the other count."""
        self.samples += other.samples

    def result(self) -> Quality:
        """Return the count alone."""
        return Quality(task="none", samples=self.samples)

    def predicted(self, values: Array) -> list[Any]:
        """Return an empty list: nobody could judge what would be kept."""
        return []


class ClassificationAccumulator(Accumulator):
    """Top-1 and top-5 accuracy, confusion matrix, precision, recall and F1.

    Parameters
    ----------
    class_names : sequence of str
        Names in the order of the class indices. Classes of the model beyond
        them are named by their index.

    Notes
    -----
    Scores have the shape (batch, classes); of equal scores the lower class wins.
    A single score, (batch, 1) or (batch,), is the probability of class 1 of two
    (a sigmoid, no logit), which is predicted above 0.5.

    A sample with a NaN among its scores has no prediction: it counts as wrong in
    the accuracies and in the recall, but in no column of the confusion matrix.
    """

    def __init__(self, class_names: Sequence[str] = ()) -> None:
        super().__init__()
        self.class_names = list(class_names)
        self.confusion = np.zeros((len(self.class_names),) * 2, np.int64)
        self.unpredicted = np.zeros(len(self.class_names), np.int64)
        self.top5_hits = 0

    def update(self, values: Array, truth: Array | None) -> None:
        """Take the scores of one batch, shape (batch, classes), and its class indices."""
        scores = _scores(values)
        self._grow(scores.shape[1])
        labels = self._labels(truth, len(scores))
        known = _free_of_nan(scores)
        winners = scores.argmax(axis=1)
        np.add.at(self.confusion, (labels[known], winners[known]), 1)
        np.add.at(self.unpredicted, labels[~known], 1)
        # A class that the model has no score for is never among its best.
        scored = known & (labels < scores.shape[1])
        self.top5_hits += int((_rank(scores[scored], labels[scored]) < TOP_CLASSES).sum())
        self.samples += len(scores)

    def merge(self, other: Self) -> None:
        """Take over all that another accumulator of this class has seen."""
        self._grow(len(other.unpredicted))
        count = len(other.unpredicted)
        self.confusion[:count, :count] += other.confusion
        self.unpredicted[:count] += other.unpredicted
        self.top5_hits += other.top5_hits
        self.samples += other.samples

    def result(self) -> Quality:
        """Return the figures over everything seen so far.

        Notes
        -----
        With true positives TP, false positives FP and false negatives FN of one
        class: precision TP / (TP + FP), recall TP / (TP + FN), F1
        2 TP / (2 TP + FP + FN); None where the denominator is 0.
        Source: C. J. van Rijsbergen, "Information Retrieval", 2nd edition, 1979,
        chapter 7.
        """
        hits = np.diag(self.confusion)
        predicted = self.confusion.sum(axis=0)
        support = self.confusion.sum(axis=1) + self.unpredicted
        names = self.names()
        per_class = [
            ClassQuality(
                name=name,
                support=int(support[index]),
                precision=_ratio(hits[index], predicted[index]),
                recall=_ratio(hits[index], support[index]),
                f1=_ratio(2 * hits[index], predicted[index] + support[index]),
            )
            for index, name in enumerate(names)
        ]
        return Quality(
            task="classification",
            samples=self.samples,
            accuracy=_ratio(hits.sum(), self.samples),
            top5_accuracy=(
                _ratio(self.top5_hits, self.samples) if len(names) > TOP_CLASSES else None
            ),
            confusion_matrix=self.confusion.tolist(),
            per_class=per_class,
        )

    def predicted(self, values: Array) -> list[Any]:
        """Return the predicted class index per sample, None where a score is NaN."""
        scores = _scores(values)
        known = _free_of_nan(scores)
        winners = scores.argmax(axis=1)
        return [int(w) if k else None for w, k in zip(winners, known, strict=True)]

    def names(self) -> list[str]:
        """Return a name for every class seen so far."""
        count = len(self.unpredicted)
        return self.class_names + [str(i) for i in range(len(self.class_names), count)]

    def _grow(self, classes: int) -> None:
        missing = classes - len(self.unpredicted)
        if missing > 0:
            self.confusion = np.pad(self.confusion, (0, missing))
            self.unpredicted = np.pad(self.unpredicted, (0, missing))

    def _labels(self, truth: Array | None, samples: int) -> Array:
        if truth is None:
            raise DatasetError("A classification needs the true class of every sample, got none.")
        labels = truth.reshape(-1)
        if not np.issubdtype(labels.dtype, np.integer) or len(labels) != samples:
            raise DatasetError(
                f"A classification needs one true class index per sample, {samples} in all, "
                f"got {truth.dtype} of shape {truth.shape}."
            )
        count = len(self.unpredicted)
        impossible = labels[(labels < 0) | (labels >= count)]
        if len(impossible):
            raise DatasetError(
                f"True class indices must be from 0 to {count - 1} "
                f"(the model and the class names have {count} classes), got {impossible[0]}."
            )
        return labels


class RegressionAccumulator(Accumulator):
    """Mean squared error, mean absolute error and R2.

    Notes
    -----
    The errors are means over all samples and outputs. R2 is computed per output
    and averaged over the outputs whose truth varies. A figure that a NaN or an
    infinite prediction makes undefined is None.

    The squared deviations of the truth are kept per output and merged by the
    pairwise update. Source: T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating
    Formulae and a Pairwise Algorithm for Computing Sample Variances", Stanford
    University STAN-CS-79-773, 1979, equations 2.1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.mean = np.zeros(0)
        self.squared_deviations = np.zeros(0)
        self.squared_errors = np.zeros(0)
        self.absolute_errors = np.zeros(0)

    def update(self, values: Array, truth: Array | None) -> None:
        """Take the predicted values of one batch and the right ones, of the same size."""
        if truth is None:
            raise DatasetError("A regression needs the true values of every sample, got none.")
        # Only the shape may differ, as (batch, 1) and (batch,) do: never broadcast.
        if values.size != truth.size or len(values) != len(truth):
            raise InputError(
                f"The model predicts values of shape {values.shape}, "
                f"the data set has true values of shape {truth.shape}."
            )
        if len(truth) == 0:
            return
        wanted = truth.reshape(len(truth), -1).astype(np.float64)
        batch = type(self)()
        batch.samples = len(truth)
        batch.mean = wanted.mean(axis=0)
        batch.squared_deviations = np.square(wanted - batch.mean).sum(axis=0)
        errors = values.reshape(wanted.shape).astype(np.float64) - wanted
        batch.squared_errors = np.square(errors).sum(axis=0)
        batch.absolute_errors = np.abs(errors).sum(axis=0)
        self.merge(batch)

    def merge(self, other: Self) -> None:
        """Take over all that another accumulator of this class has seen."""
        if other.samples == 0:
            return
        if self.samples == 0:
            self.mean = np.zeros_like(other.mean)
            self.squared_deviations = np.zeros_like(other.mean)
            self.squared_errors = np.zeros_like(other.mean)
            self.absolute_errors = np.zeros_like(other.mean)
        if self.mean.shape != other.mean.shape:
            raise InputError(
                f"Samples have {len(self.mean)} and {len(other.mean)} values to predict."
            )
        total = self.samples + other.samples
        distance = other.mean - self.mean
        self.mean = self.mean + distance * (other.samples / total)
        self.squared_deviations = (
            self.squared_deviations
            + other.squared_deviations
            + np.square(distance) * (self.samples * other.samples / total)
        )
        self.squared_errors = self.squared_errors + other.squared_errors
        self.absolute_errors = self.absolute_errors + other.absolute_errors
        self.samples += other.samples

    def result(self) -> Quality:
        """Return the figures over everything seen so far."""
        varying = self.squared_deviations > 0
        shares = self.squared_errors[varying] / self.squared_deviations[varying]
        values = self.samples * len(self.mean)
        return Quality(
            task="regression",
            samples=self.samples,
            mse=_ratio(self.squared_errors.sum(), values),
            mae=_ratio(self.absolute_errors.sum(), values),
            r2=_ratio((1 - shares).sum(), len(shares)),
        )

    def predicted(self, values: Array) -> list[Any]:
        """Return the predicted values per sample."""
        return list(np.asarray(values, np.float64).tolist())


def accumulator_for(task: Task, class_names: Sequence[str] = ()) -> Accumulator:
    """Return the accumulator of a task."""
    if task == "classification":
        return ClassificationAccumulator(class_names)
    if task == "regression":
        return RegressionAccumulator()
    return NoAccumulator()


def _scores(values: Array) -> Array:
    """Return scores of shape (samples, classes), whatever single axes the model adds."""
    scores = np.asarray(values)
    if scores.ndim > 2 and scores.size == len(scores) * max(scores.shape[1:]):
        scores = scores.reshape(len(scores), -1)
    single = scores.ndim == 1 or (scores.ndim == 2 and scores.shape[1] == 1)
    if single and np.issubdtype(scores.dtype, np.floating):
        threshold = np.full(len(scores), BINARY_THRESHOLD)
        return np.stack([threshold, scores.reshape(-1)], axis=1)
    if scores.ndim != 2 or single:
        raise InputError(
            "A classification needs scores of shape (batch, classes), or one probability per "
            f"sample, got {scores.dtype} of shape {scores.shape}."
        )
    return scores


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


def _ratio(part: Any, whole: Any) -> float | None:
    """Return part / whole, None where that is undefined."""
    if whole == 0 or not np.isfinite(part):
        return None
    return float(part / whole)
