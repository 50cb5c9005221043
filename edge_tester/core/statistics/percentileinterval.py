"""Intervals at 95 % of percentiles of latencies, over replicates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Final

import numpy as np

from edge_tester.core.statistics.dependence import rank_time
from edge_tester.core.statistics.distributions import CONFIDENCE, student_quantile
from edge_tester.core.statistics.intervals import Interval
from edge_tester.core.statistics.percentiles import position
from edge_tester.core.tensors import Array

_TAIL: Final = (1 - CONFIDENCE) / 2
_DRAWS: Final = 2000
_POINTS: Final = 500
_DIFFERENT: Final = 4.0
"""Variance of levels in units of what chance gives, above which replicates have their own."""


def percentile_interval(
    replicates: Sequence[Array], fraction: float, of_ranks: float | None = None, *, seed: int = 0
) -> Interval | None:
    """Return the 95 % interval of a percentile of all latencies that there could be.

    Parameters
    ----------
    replicates : sequence of ndarray of shape (count,)
        Latencies of each replicate, in the order in which they were measured; none empty, all
        above 0 [ns].
    fraction : float
        Of the percentile, such as 0.99.
    of_ranks : float, optional
        What :func:`edge_tester.core.statistics.dependence.rank_time` gives for them.
    seed : int
        The same seed and latencies give the same interval.

    Returns
    -------
    (low, high), or None
        None below two replicates.

    Notes
    -----
    The share of latencies up to the percentile seen has, over replicates, an interval by Student's
    t, however latencies depend on each other within each; the percentiles of its ends are the
    interval. Source: R. S. Woodruff, "Confidence Intervals for Medians and Other Position
    Measures", Journal of the American Statistical Association 47 (1952), for replicates as
    clusters: C. A. Francisco & W. A. Fuller, "Quantile Estimation with a Complex Survey Design",
    Annals of Statistics 19 (1991).

    A few replicates hold none as slow as the slowest one in a hundred. Where their levels differ by
    more than chance explains, the interval is therefore widened to that of a normal distribution of
    (logarithmic) levels, whose spread few values hardly tell, together with the latencies about
    them: a generalized pivotal quantity, S. Weerahandi, "Generalized Confidence Intervals", Journal
    of the American Statistical Association 88 (1993).
    """
    if len(replicates) < 2:
        return None
    low, high = _of_shares(replicates, fraction)
    time = rank_time(replicates) if of_ranks is None else of_ranks
    levels = _of_levels(replicates, fraction, time, seed)
    return (low, high) if levels is None else (min(low, levels[0]), max(high, levels[1]))


def _of_shares(replicates: Sequence[Array], fraction: float) -> Interval:
    values = np.sort(np.concatenate(replicates))
    number, count = len(replicates), len(values)
    limit = values[position(fraction, count)]
    counts = np.array([len(one) for one in replicates])
    hits = np.array([np.count_nonzero(one <= limit) for one in replicates])
    # Of replicates of unlike length, as of a ratio.
    differences = (hits - counts * hits.sum() / count) / counts.mean()
    error = math.sqrt(float((differences**2).sum()) / (number - 1) / number)
    half = student_quantile(1 - _TAIL, number - 1) * error
    ends = [position(min(1.0, max(0.0, fraction + side)), count) for side in (-half, half)]
    return float(values[ends[0]]), float(values[ends[1]])


def _of_levels(
    replicates: Sequence[Array], fraction: float, time: float, seed: int
) -> Interval | None:
    """Return the interval by the levels of replicates, None where they may be all the same."""
    logarithms = [np.log(one) for one in replicates]
    levels = np.array([one.mean() for one in logarithms])
    within = np.array([one.var() for one in logarithms])
    counts = np.array([len(one) for one in replicates])
    number = len(replicates)
    spread = float(levels.std(ddof=1))
    chance = float((within / counts).mean()) * time
    # Rounding alone is no level.
    if spread**2 <= max(_DIFFERENT * chance, 1e-24):
        return None
    rest = np.concatenate([one - one.mean() for one in logarithms])
    rest = np.quantile(rest, (np.arange(_POINTS) + 0.5) / _POINTS)
    generator = np.random.default_rng(seed)
    spreads = spread * np.sqrt((number - 1) / generator.chisquare(number - 1, _DRAWS))
    middles = levels.mean() + spreads * generator.standard_normal(_DRAWS) / math.sqrt(number)
    scales = np.concatenate([[0.0], np.geomspace(spread / 4, spreads.max(), 12)])
    reached = [_of_sums(rest, scale, fraction) for scale in scales]
    found = middles + np.interp(spreads, scales, reached)
    low, high = np.quantile(found, [_TAIL, 1 - _TAIL])
    return math.exp(low), math.exp(high)


_NORMAL: Final = np.array([NormalDist().inv_cdf((place + 0.5) / 64) for place in range(64)])


def _of_sums(rest: Array, scale: float, fraction: float) -> float:
    """Return the percentile of the sum of the rest and a normal level of a spread."""
    sums = (rest[:, np.newaxis] + scale * _NORMAL).ravel()
    place = position(fraction, len(sums))
    return float(np.partition(sums, place)[place])
