"""Intervals at 95 % of what has one value per replicate, and of shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from edge_tester.core.errors import RecordError
from edge_tester.core.statistics.distributions import CONFIDENCE, student_quantile

Interval = tuple[float, float]


def replicate_interval(values: Sequence[float]) -> Interval | None:
    """Return the 95 % interval of what is typical of a replicate.

    Parameters
    ----------
    values : sequence of float
        One positive number for each replicate, such as its median latency [ns].

    Returns
    -------
    (low, high), or None
        None below two values, and where one of them is not positive: nothing is known then of how
        much replicates differ. Few values give an interval that is honest and wide: 12.7 standard
        errors to each side with two, 4.3 with three, 3.2 with four, 2.8 with five.

    Notes
    -----
    Student's t on the logarithms, so that the interval is one of the geometric mean and never
    reaches 0. Source: Student, "The Probable Error of a Mean", Biometrika 6 (1908); that fresh
    processes are what must be repeated: T. Kalibera & R. Jones, "Rigorous Benchmarking in
    Reasonable Time", ISMM 2013.
    """
    if len(values) < 2 or min(values) <= 0:
        return None
    logarithms = np.log(np.asarray(values, np.float64))
    error = float(logarithms.std(ddof=1)) / math.sqrt(len(values))
    half = student_quantile((1 + CONFIDENCE) / 2, len(values) - 1) * error
    middle = float(logarithms.mean())
    # Equal values have no spread: exponential and logarithm must not make one.
    if half == 0 or min(values) == max(values):
        return float(min(values)), float(max(values))
    return math.exp(middle - half), math.exp(middle + half)


def wilson_interval(hits: int, count: int, confidence: float = CONFIDENCE) -> Interval:
    """Return the interval of a share, such as an accuracy.

    Parameters
    ----------
    hits : int
        From 0 to ``count``.
    count : int
        At least 1.
    confidence : float, default=0.95

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
    quantile = NormalDist().inv_cdf((1 + confidence) / 2)
    share, squared = hits / count, quantile**2
    middle = share + squared / (2 * count)
    spread = quantile * math.sqrt(share * (1 - share) / count + squared / (4 * count**2))
    low, high = (middle - spread) / (1 + squared / count), (middle + spread) / (1 + squared / count)
    # At the ends rounding would leave a share of 1 just outside of its interval.
    return (0.0 if hits == 0 else low, 1.0 if hits == count else high)


def shares_interval(
    hits: Sequence[int], counts: Sequence[int], confidence: float = CONFIDENCE
) -> Interval:
    """Return the interval of a share that was counted in several replicates.

    Parameters
    ----------
    hits, counts : sequence of int
        Of each replicate; counts are at least 1.
    confidence : float, default=0.95

    Returns
    -------
    low, high : float
        Between 0 and 1.

    Notes
    -----
    Student's t for the ratio of two sums over replicates, W. G. Cochran, "Sampling Techniques", 3rd
    edition, 1977, section 6.4, since what happens within a replicate is not independent; at least
    as wide as :func:`wilson_interval` of all together, which holds where replicates do not differ.
    """
    low, high = wilson_interval(sum(hits), sum(counts), confidence)
    number = len(counts)
    if number < 2:
        return low, high
    found, sizes = np.asarray(hits, np.float64), np.asarray(counts, np.float64)
    share = float(found.sum() / sizes.sum())
    differences = (found - share * sizes) / sizes.mean()
    error = math.sqrt(float((differences**2).sum()) / (number - 1) / number)
    half = student_quantile((1 + confidence) / 2, number - 1) * error
    return max(0.0, min(low, share - half)), min(1.0, max(high, share + half))
