"""A number and what is known of it, and percentiles of times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edge_tester.core.statistics.dependence import missing_inferences, rank_time
from edge_tester.core.statistics.intervals import replicate_interval
from edge_tester.core.statistics.percentileinterval import percentile_interval
from edge_tester.core.statistics.percentiles import smallest_not_exceeded
from edge_tester.core.tensors import Array

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


class Value(NamedTuple):
    """A number in base units, or what keeps it from being known.

    Attributes
    ----------
    number : float or None
    interval : tuple of float, or None
        95 % interval; it holds the number.
    missing : int
        About how many more inferences it needs.
    single : bool
        Whether it has no interval because one replicate cannot tell how others differ.
    why : str
        What else keeps it from being known.
    """

    number: float | None
    interval: tuple[float, float] | None = None
    missing: int = 0
    single: bool = False
    why: str = ""


def latency_values(latency_ns: Sequence[Array]) -> dict[str, Value]:
    """Return the percentiles that latencies support, by the keys of :data:`PERCENTILES`.

    Parameters
    ----------
    latency_ns : sequence of ndarray of shape (count,)
        Those of each replicate, in the order in which they were measured [ns].
    """
    replicates = [one for one in latency_ns if len(one)]
    of_ranks = rank_time(replicates) if replicates else 1.0
    return {
        key: percentile_value(replicates, fraction, of_ranks)
        for key, fraction in PERCENTILES.items()
    }


def percentile_value(
    latency_ns: Sequence[Array], fraction: float, of_ranks: float | None = None
) -> Value:
    """Return one percentile, if latencies support it.

    Parameters
    ----------
    latency_ns : sequence of ndarray of shape (count,)
        Those of each replicate, in the order in which they were measured [ns].
    fraction : float
        Such as 0.5.
    of_ranks : float, optional
        What :func:`edge_tester.core.statistics.dependence.rank_time` gives for them.
    """
    replicates = [one for one in latency_ns if len(one)]
    if of_ranks is None:
        of_ranks = rank_time(replicates) if replicates else 1.0
    missing = missing_inferences(replicates, fraction, of_ranks)
    if missing:
        return Value(None, None, missing)
    number = smallest_not_exceeded(np.concatenate(replicates), fraction)
    if fraction == 0.5:
        medians = [smallest_not_exceeded(one, fraction) for one in replicates]
        interval = replicate_interval(medians)
    else:
        interval = percentile_interval(replicates, fraction, of_ranks)
    return with_interval(number, interval)._replace(single=len(replicates) == 1)


def with_interval(number: float, interval: tuple[float, float] | None) -> Value:
    """Return both; the interval of the typical replicate is widened to hold the number."""
    if interval is None:
        return Value(number)
    return Value(number, (min(number, interval[0]), max(number, interval[1])))
