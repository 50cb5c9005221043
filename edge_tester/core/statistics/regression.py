"""Intervals of the errors of predicted numbers, by resampling samples."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np

from edge_tester.core.errors import RecordError
from edge_tester.core.statistics.distributions import CONFIDENCE
from edge_tester.core.statistics.intervals import Interval
from edge_tester.core.tensors import Array

_FEWEST: Final = 20
_RESAMPLES: Final = 2000
_GROUPS: Final = 2000


class RegressionIntervals(NamedTuple):
    """95 % intervals of the figures of a regression; None where nothing defines one.

    Attributes
    ----------
    mse, mae, r2 : tuple of (low, high), or None
        As :class:`edge_tester.core.quality.RegressionAccumulator` defines the figures.
    """

    mse: Interval | None
    mae: Interval | None
    r2: Interval | None


def regression_intervals(predicted: Array, truth: Array, seed: int = 0) -> RegressionIntervals:
    """Return how far errors on other samples of the same kind may differ.

    Parameters
    ----------
    predicted, truth : ndarray of shape (samples, ...)
    seed : int
        The same seed and values give the same intervals.

    Returns
    -------
    RegressionIntervals
        Of None below 20 samples, and where a prediction is not finite.

    Raises
    ------
    RecordError
        Predictions and truth do not have the same shape.

    Notes
    -----
    Bootstrap over samples with bias correction and acceleration: B. Efron, "Better Bootstrap
    Confidence Intervals", Journal of the American Statistical Association 82 (1987). More than
    2,000 samples are put into 2,000 groups by chance, which are resampled as a whole.
    """
    if predicted.shape != truth.shape:
        raise RecordError(f"Predicted values have the shape {predicted.shape}, true {truth.shape}.")
    count = len(truth)
    wanted = truth.reshape(count, -1).astype(np.float64)
    errors = predicted.reshape(count, -1).astype(np.float64) - wanted
    if count < _FEWEST or not np.isfinite(errors).all():
        return RegressionIntervals(None, None, None)
    generator = np.random.default_rng(seed)
    groups = min(count, _GROUPS)
    places = generator.permutation(np.arange(count) % groups)
    # Of distances from the mean, which cost no digits when squared.
    wanted = wanted - wanted.mean(axis=0)
    parts = [np.ones((count, 1)), errors**2, np.abs(errors), wanted, wanted**2]
    sums = [_grouped(part, places, groups) for part in parts]
    weights = generator.multinomial(groups, np.full(groups, 1 / groups), _RESAMPLES)
    resampled = [weights @ one for one in sums]
    without = [one.sum(axis=0) - one for one in sums]
    seen = [one.sum(axis=0, keepdims=True) for one in sums]

    def interval(statistic: Callable[..., Array]) -> Interval | None:
        return _accelerated(float(statistic(*seen)[0]), statistic(*resampled), statistic(*without))

    return RegressionIntervals(
        interval(lambda n, squared, absolute, y, yy: (squared / n).mean(axis=1)),
        interval(lambda n, squared, absolute, y, yy: (absolute / n).mean(axis=1)),
        interval(_determination) if (wanted != 0).any() else None,
    )


def _grouped(values: Array, places: Array, groups: int) -> Array:
    found = np.zeros((groups, values.shape[1]))
    np.add.at(found, places, values)
    return found


def _determination(n: Array, squared: Array, absolute: Array, y: Array, yy: Array) -> Array:
    """Return R2, the mean over the outputs whose truth varies."""
    deviations = yy - y**2 / n
    varying = deviations > 1e-12 * np.maximum(yy, 1e-300)
    shares = np.where(varying, 1 - squared / np.where(varying, deviations, 1), 0)
    return np.asarray(shares.sum(axis=1) / np.maximum(1, varying.sum(axis=1)))


def _accelerated(seen: float, resampled: Array, without: Array) -> Interval | None:
    """Return Efron's interval by the figure, those of resamples, and those without each group."""
    if resampled.min() == resampled.max():
        return seen, seen
    normal = NormalDist()
    below = np.clip((resampled < seen).mean() + (resampled == seen).mean() / 2, 1e-3, 1 - 1e-3)
    bias = normal.inv_cdf(float(below))
    distances = without.mean() - without
    spread = float((distances**2).sum()) ** 1.5
    acceleration = float((distances**3).sum()) / (6 * spread) if spread > 0 else 0.0
    ends = []
    for share in ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2):
        z = bias + normal.inv_cdf(share)
        ends.append(normal.cdf(bias + z / max(1e-3, 1 - acceleration * z)))
    low, high = np.quantile(resampled, ends)
    return float(low), float(high)
