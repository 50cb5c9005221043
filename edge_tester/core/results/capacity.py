"""The highest rate of arrivals at which latencies stay within a bound.

It is the result of MLPerf's Server: V. J. Reddi et al., "MLPerf Inference Benchmark", ISCA 2020,
section III.C, latency-bounded throughput.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from edge_tester.core.results.parts import Replicate
from edge_tester.core.results.patterns import overloaded, query_latency_ns
from edge_tester.core.statistics.intervals import Interval, shares_interval

_CONFIDENCE = 0.99


class Probe(NamedTuple):
    """What is known of one rate.

    Attributes
    ----------
    rate_hz : float
        Queries that arrive in a second on average.
    late : float
        Share of the queries that took longer than the bound.
    interval : (float, float)
        Of that share, 99 %: a search looks several times, and is to be right in 95 %.
    verdict : str
        ``kept``, ``exceeded``, or ``unknown``: the interval has the share that is allowed.
    grows : bool
        Whether queries came faster than they were served, so that later ones wait ever longer:
        then the rate is exceeded, whatever the share was until then.
    """

    rate_hz: float
    late: float
    interval: Interval
    verdict: Literal["kept", "exceeded", "unknown"]
    grows: bool = False


class Capacity(NamedTuple):
    """What is known of the highest rate.

    Attributes
    ----------
    kept_hz : float
        The highest rate at which the bound was kept; 0 where there was none.
    exceeded_hz : float
        The lowest one at which it was not.
    probes : list of Probe
        In their order.
    """

    kept_hz: float
    exceeded_hz: float
    probes: list[Probe]


def probed(rate_hz: float, replicates: Sequence[Replicate], bound_ns: int, allowed: float) -> Probe:
    """Judge a rate by the queries that came at it.

    Parameters
    ----------
    rate_hz : float
    replicates : sequence of Replicate
        With arrivals.
    bound_ns : int
        Longest latency, from the scheduled arrival [ns].
    allowed : float
        Share of the queries that may take longer, such as 0.01 for the 99th percentile.
    """
    latencies_ns = [query_latency_ns(one, 1) for one in replicates]
    late = [int((one > bound_ns).sum()) for one in latencies_ns]
    counts = [len(one) for one in latencies_ns]
    share, (low, high) = sum(late) / sum(counts), shares_interval(late, counts, _CONFIDENCE)
    verdict: Literal["kept", "exceeded", "unknown"] = "unknown"
    grows = overloaded(replicates)
    if grows or low > allowed:
        verdict = "exceeded"
    elif high <= allowed:
        verdict = "kept"
    return Probe(rate_hz, share, (low, high), verdict, grows)


def search(
    probe: Callable[[float], Probe], most_hz: float, resolution: float, probes: int
) -> Capacity:
    """Find between which rates the highest one lies that keeps the bound.

    Rates that nothing can be said of are passed on both sides, so that what is called kept and
    exceeded was seen to be so.

    Parameters
    ----------
    probe : callable
        Measures at a rate [Hz].
    most_hz : float
        A rate that cannot be kept, such as one over the time of an inference.
    resolution : float
        Goes on until both ends are known to within this part of the rate.
    probes : int
        Most rates to try.
    """
    kept_hz, exceeded_hz = 0.0, most_hz
    unknown: list[float] = []
    found: list[Probe] = []
    while len(found) < probes:
        edges = [kept_hz, *sorted(unknown), exceeded_hz]
        # Between two rates of which nothing can be said there is nothing to find.
        gaps = {(edges[0], edges[1]), (edges[-2], edges[-1])}
        low_hz, high_hz = max(gaps, key=lambda gap: gap[1] - gap[0])
        if high_hz - low_hz <= resolution * high_hz:
            break
        one = probe((low_hz + high_hz) / 2)
        found.append(one)
        if one.verdict == "kept":
            kept_hz = max(kept_hz, one.rate_hz)
        elif one.verdict == "exceeded":
            exceeded_hz = min(exceeded_hz, one.rate_hz)
        else:
            unknown.append(one.rate_hz)
        unknown = [rate_hz for rate_hz in unknown if kept_hz < rate_hz < exceeded_hz]
    return Capacity(kept_hz, exceeded_hz, found)
