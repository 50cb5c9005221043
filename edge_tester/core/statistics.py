"""Statistics of latencies: pure functions on sequences of raw values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from edge_tester.core.errors import RecordError

CONFIDENCE = 0.95
_RESAMPLES = 1000
_RESAMPLED_VALUES_AT_ONCE = 1 << 20


def percentile(values: Sequence[float], fraction: float) -> float:
    """Return the smallest value that at least ``fraction`` of all values do not exceed.

    Parameters
    ----------
    values : sequence of numbers
    fraction : float
        Above 0 and up to 1, such as 0.99.

    Raises
    ------
    RecordError
        The sample is too small to say anything about this percentile.

    Notes
    -----
    Definition 1 of Hyndman & Fan, "Sample Quantiles in Statistical Packages",
    The American Statistician 50 (1996): always an observed value, never an
    interpolated one.
    """
    missing = missing_values(len(values), fraction)
    if missing:
        raise RecordError(
            f"The {100 * fraction:g}th percentile needs {missing} more values than {len(values)}."
        )
    return sorted(values)[math.ceil(fraction * len(values)) - 1]


def missing_values(count: int, fraction: float) -> int:
    """Return how many more values a percentile needs; 0 if there are enough.

    Notes
    -----
    The largest of n independent values exceeds the percentile p with probability
    1 - p^n, which shall be at least 95 %: 59 values for the 95th, 299 for the
    99th. Source: Wilks, "Determination of Sample Sizes for Setting Tolerance
    Limits", Annals of Mathematical Statistics 12 (1941). Latencies depend on
    each other, so this is the least that can be asked.
    """
    further = max(fraction, 1 - fraction)
    needed = 1 if further >= 1 else math.ceil(math.log(1 - CONFIDENCE) / math.log(further))
    return max(0, needed - count)


def block_bootstrap_interval(
    values: Sequence[int],
    statistic: Callable[..., Any] = np.median,
    *,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Return a 95 % interval of a statistic of dependent values, None below 20 values.

    Parameters
    ----------
    values : sequence of int
        In the order in which they were measured.
    statistic : callable
        Takes an ndarray and ``axis``.
    seed : int
        The same seed and values give the same interval.

    Notes
    -----
    Circular block bootstrap (Politis & Romano, 1992) with blocks of the square
    root of the number of values. It speaks of this run alone: how much another
    run would differ, one run cannot tell.
    """
    data = np.asarray(values, np.float64)
    count = len(data)
    if count < 20:
        return None
    length = math.ceil(math.sqrt(count))
    blocks = math.ceil(count / length)
    generator = np.random.default_rng(seed)
    offsets = np.arange(length)
    results: list[Any] = []
    at_once = max(1, _RESAMPLED_VALUES_AT_ONCE // count)
    while len(results) < _RESAMPLES:
        size = min(at_once, _RESAMPLES - len(results))
        starts = generator.integers(0, count, (size, blocks, 1))
        chosen = ((starts + offsets) % count).reshape(size, -1)[:, :count]
        results.extend(statistic(data[chosen], axis=1))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(results, [tail, 1 - tail])
    return float(low), float(high)


def wilson_interval(hits: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, such as an accuracy.

    Parameters
    ----------
    hits : int
        From 0 to ``count``.
    count : int
        At least 1.

    Returns
    -------
    low, high : float
        Between 0 and 1.

    Raises
    ------
    RecordError
        No such share exists.

    Notes
    -----
    Source: E. B. Wilson, "Probable Inference, the Law of Succession, and
    Statistical Inference", Journal of the American Statistical Association 22
    (1927). Other than the normal approximation it is right near 0 and 1 too.
    """
    if not 0 <= hits <= count or count == 0:
        raise RecordError(f"A share needs 0 to {count} hits of at least 1, got {hits} of {count}.")
    quantile = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    share, squared = hits / count, quantile**2
    middle = share + squared / (2 * count)
    spread = quantile * math.sqrt(share * (1 - share) / count + squared / (4 * count**2))
    low, high = (middle - spread) / (1 + squared / count), (middle + spread) / (1 + squared / count)
    # At the ends rounding would leave a share of 1 just outside of its interval.
    return (0.0 if hits == 0 else low, 1.0 if hits == count else high)
