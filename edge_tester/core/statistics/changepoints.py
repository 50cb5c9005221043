"""Where the level of a series changes: an exact search that noise does not mislead."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from edge_tester.core.tensors import Array

SHORTEST: Final = 3
"""Values of a segment, at least: fewer are outliers and no level."""
_PENALTY: Final = 4.0
"""Cost of a change, times the logarithm of the number of values; calibrated on synthetic noise."""
_HIGHEST_CORRELATION: Final = 0.8
_HIGHEST_PLAIN: Final = 0.5


class Noise(NamedTuple):
    """How values vary about their level.

    Attributes
    ----------
    deviation : float
        Standard deviation of what is new in a value, given the one before.
    correlation : float
        Of a value with the one before, 0 or more.
    """

    deviation: float
    correlation: float

    @property
    def lasting(self) -> float:
        """Standard deviation of independent values whose means would vary as much."""
        return self.deviation / (1 - self.correlation)


def noise_of(values: Array) -> Noise:
    """Estimate the noise about levels that are not yet known.

    Parameters
    ----------
    values : ndarray of shape (count,)
        At least four.

    Notes
    -----
    From differences between close values, few of which a change of the level touches. In an
    autoregressive process of order 1, the variance of differences at distance 2 divided by that at
    distance 1 is 1 + correlation. Source: S. Chakar, E. Lebarbier, C. Lévy-Leduc & S. Robin, "A
    Robust Approach for Estimating Change-Points in the Mean of an AR(1) Process", Bernoulli 23
    (2017), who take a robust scale; here by the median absolute deviation. The variance itself is
    the plain one, and the correlation it gives counts up to a half: values that come in two modes
    are noise, which a robust scale would not see.
    """
    near, far = (values[lag:] - values[:-lag] for lag in (1, 2))
    variance = float((near**2).mean())
    if variance == 0:
        return Noise(0.0, 0.0)
    correlation = min(_HIGHEST_PLAIN, float((far**2).mean()) / variance - 1)
    robust = float(np.median(np.abs(near)))
    if robust > 0:
        correlation = max(correlation, (float(np.median(np.abs(far))) / robust) ** 2 - 1)
    correlation = min(_HIGHEST_CORRELATION, max(0.0, correlation))
    # Of the variance v of values, neighbours differ by 2 v (1 - correlation), and what is new in
    # each is v (1 - correlation²).
    return Noise(math.sqrt(variance * (1 + correlation) / 2), correlation)


def changepoints(values: Array, deviation: float) -> list[int]:
    """Return where the level changes: the position of the first value of each further segment.

    Parameters
    ----------
    values : ndarray of shape (count,)
        About a thousand at most: time grows with the square of their number.
    deviation : float
        Standard deviation of values of one level, as if they were independent.

    Returns
    -------
    list of int
        Ascending; empty where one level describes all.

    Notes
    -----
    Those of the segments with the least sum of squared deviations from their means, in units of
    the squared deviation, plus a penalty for each change. Source of the cost: R. Killick, P.
    Fearnhead & I. A. Eckley, "Optimal Detection of Changepoints with a Linear Computational Cost",
    Journal of the American Statistical Association 107 (2012). The exact search is the one that
    they shorten: B. Jackson et al., "An Algorithm for Optimal Partitioning of Data on an
    Interval", IEEE Signal Processing Letters 12 (2005).
    """
    count = len(values)
    if count < 2 * SHORTEST or deviation == 0:
        return []
    scaled = (values - values.mean()) / deviation
    penalty = _PENALTY * math.log(count)
    sums = np.concatenate([[0.0], np.cumsum(scaled)])
    squares = np.concatenate([[0.0], np.cumsum(scaled**2)])
    best = np.full(count + 1, np.inf)
    best[0] = -penalty
    last = np.zeros(count + 1, np.intp)
    for end in range(SHORTEST, count + 1):
        starts = slice(0, end - SHORTEST + 1)
        lengths = np.arange(end, SHORTEST - 1, -1)
        within = squares[end] - squares[starts] - (sums[end] - sums[starts]) ** 2 / lengths
        totals = best[starts] + within + penalty
        last[end] = np.argmin(totals)
        best[end] = totals[last[end]]
    found, end = [], int(last[count])
    while end > 0:
        found.append(end)
        end = int(last[end])
    return found[::-1]
