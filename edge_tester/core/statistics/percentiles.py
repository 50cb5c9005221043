"""Percentiles, and how many independent values each needs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edge_tester.core.errors import RecordError
from edge_tester.core.statistics.distributions import CONFIDENCE
from edge_tester.core.tensors import Array


def percentile(values: Sequence[float] | Array, fraction: float) -> float:
    """Return the smallest value that at least ``fraction`` of all values do not exceed.

    Parameters
    ----------
    values : sequence of numbers or ndarray of shape (count,)
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
    return smallest_not_exceeded(np.asarray(values), fraction)


def smallest_not_exceeded(values: Array, fraction: float) -> float:
    """Return the same of any sample of at least one value."""
    place = position(fraction, len(values))
    found: float = np.partition(values, place)[place].item()
    return found


def position(fraction: float, count: int) -> int:
    """Return where a percentile lies among sorted values, from 0."""
    # Rounding of the product must not reach for the next value: 0.07 * 100 is above 7.
    return max(0, math.ceil(fraction * count * (1 - 1e-12)) - 1)


def missing_values(count: int, fraction: float) -> int:
    """Return how many more independent values a percentile needs; 0 if there are enough.

    Notes
    -----
    The largest of n independent values exceeds the percentile p with probability
    1 - p^n, which shall be at least 95 %: 59 values for the 95th, 299 for the
    99th. Source: Wilks, "Determination of Sample Sizes for Setting Tolerance
    Limits", Annals of Mathematical Statistics 12 (1941). Latencies depend on
    each other, so this is the least that can be asked;
    :func:`edge_tester.core.statistics.dependence.missing_inferences` asks for more.
    """
    further = max(fraction, 1 - fraction)
    needed = 1 if further >= 1 else math.ceil(math.log(1 - CONFIDENCE) / math.log(further))
    return max(0, needed - count)


def midranks(values: Array) -> Array:
    """Return the rank of each value, from 1; equal values have the mean of theirs.

    Parameters
    ----------
    values : ndarray of shape (count,)
    """
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[places])
