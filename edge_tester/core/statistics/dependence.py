"""How many independent values dependent latencies are worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from edge_tester.core.statistics.percentiles import (
    midranks,
    missing_values,
    smallest_not_exceeded,
)
from edge_tester.core.tensors import Array

_NOISE: Final = 2.0
"""Standard errors above which an autocorrelation is not taken for chance."""


def independent_values(
    replicates: Sequence[Array], fraction: float, of_ranks: float | None = None
) -> float:
    """Return how many independent values say as much about a percentile.

    Parameters
    ----------
    replicates : sequence of ndarray of shape (count,)
        Latencies of each replicate, in the order in which they were measured; none empty.
    fraction : float
        Of the percentile, such as 0.99.
    of_ranks : float, optional
        What :func:`rank_time` gives for them, to save computing it for each percentile.

    Returns
    -------
    float
        At most the number of all latencies. It is about the dependence within a replicate: how
        much replicates differ is the matter of intervals, and a course that all of a replicate
        follows, that of :func:`edge_tester.core.statistics.steady.steadiness_of`.

    Notes
    -----
    Count / tau with tau = 1 + 2 (rho_1 + rho_2 + ...), over the autocorrelations of all replicates
    together. They are added in pairs as long as a pair is above what chance gives, after C. J.
    Geyer, "Practical Markov Chain Monte Carlo", Statistical Science 7 (1992), section 3.3. The
    larger tau of two series is taken, neither of which a rare large value can break: the ranks
    in the replicate, and whether the percentile is exceeded, which finds that what is rare comes
    in bursts (A. E. Raftery & S. Lewis, "How Many Iterations in the Gibbs Sampler?", Bayesian
    Statistics 4, 1992).
    """
    together = np.concatenate([np.asarray(one) for one in replicates])
    limit = smallest_not_exceeded(together, fraction)
    exceeding = [(np.asarray(one) > limit).astype(np.float64) for one in replicates]
    time = rank_time(replicates) if of_ranks is None else of_ranks
    return len(together) / max(time, _correlation_time(exceeding))


def missing_inferences(
    replicates: Sequence[Array], fraction: float, of_ranks: float | None = None
) -> int:
    """Return about how many more latencies a percentile needs; 0 if there are enough.

    Parameters
    ----------
    replicates : sequence of ndarray of shape (count,)
        Latencies of each replicate, in the order in which they were measured.
    fraction : float
        Of the percentile, such as 0.99.
    of_ranks : float, optional
        What :func:`rank_time` gives for them.

    Notes
    -----
    :func:`edge_tester.core.statistics.percentiles.missing_values` of the number that
    :func:`independent_values` gives.
    """
    known = [one for one in replicates if len(one)]
    needed = missing_values(0, fraction)
    count = sum(map(len, known))
    if not known:
        return needed
    time = count / independent_values(known, fraction, of_ranks)
    return max(0, math.ceil(needed * time - count))


def rank_time(replicates: Sequence[Array]) -> float:
    """Return how many latencies are worth an independent one, by their ranks in the replicate.

    Parameters
    ----------
    replicates : sequence of ndarray of shape (count,)
        Latencies of each replicate, in the order in which they were measured; none empty.
    """
    return _correlation_time([midranks(np.asarray(one)) / len(one) for one in replicates])


def _correlation_time(series: Sequence[Array]) -> float:
    """Return how many of these values are worth one that is independent."""
    count = sum(map(len, series))
    sums = np.zeros(max(map(len, series)) + 1)
    for values in series:
        centred = _without_course(values)
        # Of twice the length, so that the end does not meet the beginning.
        size = 1 << (2 * len(values) - 1).bit_length()
        spectrum = np.fft.rfft(centred, size)
        products = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, size)
        sums[: len(values)] += products[: len(values)]
    if sums[0] <= 1e-12 * count:
        return 1.0
    correlations = sums[1:] / sums[0]
    pairs = correlations[0 : len(correlations) // 2 * 2].reshape(-1, 2).sum(axis=1)
    chance = _NOISE * math.sqrt(2 / count)
    below = np.flatnonzero(pairs < chance)
    counted = pairs[: below[0]] if len(below) else pairs
    return 1 + 2 * float(counted.sum())


def _without_course(values: Array) -> Array:
    """Return how far values are from a straight line through all of them."""
    course = np.arange(len(values)) - (len(values) - 1) / 2
    centred: Array = values - values.mean()
    if len(values) < 3:
        return centred
    return np.asarray(centred - course * ((centred @ course) / (course @ course)))
