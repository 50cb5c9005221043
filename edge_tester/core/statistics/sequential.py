"""When enough was measured: an interval that holds however often one looks at it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from edge_tester.core.statistics.distributions import CONFIDENCE
from edge_tester.core.statistics.intervals import Interval

_PRIOR_VARIANCE: Final = 4.0
"""Of the effect size in the mixture; any is valid, this one is narrow for 5 to 100 replicates."""
_FEWEST: Final = 4
"""Values with which the interval is bounded."""
_MOST_REPLICATES: Final = 1 << 20


def sequence_interval(values: Sequence[float]) -> Interval | None:
    """Return an interval that may be looked at after every replicate.

    Parameters
    ----------
    values : sequence of float
        One positive number for each replicate so far, such as its median latency [ns].

    Returns
    -------
    (low, high), or None
        In 95 % of all runs, *all* of these intervals from the first replicate to the last hold
        the truth, whatever decides on when to stop. None below four values, and where one is not
        positive.

    Notes
    -----
    The t statistic of the logarithms against a mixture of effect sizes, normal with mean 0 and
    variance g: the likelihood ratio ::

        sqrt(1 / (1 + n g)) * ((1 + u) / (1 + u / (1 + n g)))^(n / 2)   with u = t² / (n - 1)

    is a martingale, so it ever reaches 20 with a probability of at most 5 % (J. Ville, 1939). The
    interval holds the means at which it has not; one of the few for an unknown variance that any
    number of values keeps valid. Source: T. L. Lai, "On Confidence Sequences", Annals of Statistics
    4 (1976); H. Wang & A. Ramdas, "Anytime-Valid t-Tests and Confidence Sequences for Gaussian
    Means with Unknown Variance", Sequential Analysis 44 (2025), arXiv:2310.03722.
    """
    half = _half_width(values)
    if half is None:
        return None
    middle = float(np.log(np.asarray(values, np.float64)).mean())
    return math.exp(middle - half), math.exp(middle + half)


def precise_enough(values: Sequence[float], precision: float) -> bool:
    """Return whether the interval is so narrow that measuring may stop.

    Parameters
    ----------
    values : sequence of float
        One positive number for each replicate so far.
    precision : float
        Relative half-width wanted, such as 0.01: both ends within 1 % of the middle.
    """
    half = _half_width(values)
    return half is not None and math.expm1(half) <= precision


def replicates_needed(values: Sequence[float], precision: float) -> int | None:
    """Return about how many replicates in all the precision takes, at the spread seen so far.

    Parameters
    ----------
    values : sequence of float
        One positive number for each replicate so far.
    precision : float
        Relative half-width wanted, such as 0.01.

    Returns
    -------
    int or None
        None where the values tell no spread, and above a million.
    """
    if len(values) < 2 or min(values) <= 0:
        return None
    spread = float(np.log(np.asarray(values, np.float64)).std(ddof=1))
    low, high = _FEWEST - 1, _FEWEST
    while spread * _reach(high) > math.log1p(precision):
        low, high = high, 2 * high
        if high > _MOST_REPLICATES:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        enough = spread * _reach(middle) <= math.log1p(precision)
        low, high = (low, middle) if enough else (middle, high)
    return max(high, len(values))


def _half_width(values: Sequence[float]) -> float | None:
    if len(values) < _FEWEST or min(values) <= 0:
        return None
    spread = float(np.log(np.asarray(values, np.float64)).std(ddof=1))
    return spread * _reach(len(values))


def _reach(count: int) -> float:
    """Return the half-width in standard deviations of one value."""
    scale = 1 + count * _PRIOR_VARIANCE
    limit = (scale / (1 - CONFIDENCE) ** 2) ** (1 / count)
    squared = (limit - 1) / (1 - limit / scale) * (count - 1)
    return math.sqrt(squared / count)
