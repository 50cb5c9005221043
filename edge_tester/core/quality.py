"""How good a model's answers are: accumulators that are fed batch by batch.

Their memory depends on the number of classes or outputs, never on the number
of samples, and two of them merge into the one that saw all samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_tester.core.errors import DatasetError, InputError
from edge_tester.core.figures import Quality, ratio
from edge_tester.core.tensors import Array

if TYPE_CHECKING:
    # In typing only from Python 3.11 on.
    from typing_extensions import Self


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

    def summary(self) -> Quality:
        """Return the same but for what takes long, which can be computed from predictions."""
        return self.result()

    def predicted(self, values: Array) -> list[Any]:
        """Return one plain prediction per sample; :meth:`settled` makes them final."""
        raise NotImplementedError

    def class_scores(self, values: Array) -> list[float | None] | None:
        """Return one number per sample that sorts two classes; None where there is none."""
        return None

    def settled(self, predictions: Sequence[Any]) -> list[Any]:
        """Return the predictions as a run record has them, when all samples were seen."""
        return list(predictions)

    def remarks(self) -> list[str]:
        """Return what makes the figures doubtful, in words."""
        return []


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
            mse=ratio(self.squared_errors.sum(), values),
            mae=ratio(self.absolute_errors.sum(), values),
            r2=ratio((1 - shares).sum(), len(shares)),
        )

    def predicted(self, values: Array) -> list[Any]:
        """Return the predicted values per sample."""
        return list(np.asarray(values, np.float64).tolist())
