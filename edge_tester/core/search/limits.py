"""Figures of candidates, the limits that they must keep, and what is shown of that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec

from edge_tester.core.results.known import Known

Feasibility = Literal["feasible", "infeasible", "undecided"]


class Metric(NamedTuple):
    """A figure of a candidate.

    Attributes
    ----------
    title : str
        With its unit.
    static : bool
        Whether it is known before anything is measured.
    most : bool
        Whether its limit is the largest value that is allowed, not the smallest.
    """

    title: str
    static: bool = False
    most: bool = True


METRICS = {
    "accuracy": Metric("accuracy", most=False),
    "latency_mean_ms": Metric("latency mean (ms)"),
    "latency_std_ms": Metric("latency std (ms)"),
    "latency_p50_ms": Metric("latency p50 (ms)"),
    "latency_p95_ms": Metric("latency p95 (ms)"),
    "throughput_per_s": Metric("throughput (1/s)", most=False),
    "energy_mj": Metric("energy (mJ)"),
    "peak_memory_mib": Metric("peak memory (MiB)"),
    "model_memory_mib": Metric("model memory (MiB)", static=True),
    "size_mib": Metric("size (MiB)", static=True),
    "state_mib": Metric("state dict (MiB)", static=True),
    "parameters": Metric("parameters", static=True),
    "macs": Metric("MACs", static=True),
}
"""By the names that files and tables have."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every candidate must keep; None asks nothing.

    Attributes
    ----------
    accuracy : float or None
        At least, 0 to 1.
    throughput_per_s : float or None
        At least, samples per second.
    latency_mean_ms, latency_p50_ms, latency_p95_ms : float or None
        At most.
    energy_mj : float or None
        At most, of one inference.
    peak_memory_mib : float or None
        At most, of the process that runs it.
    model_memory_mib : float or None
        At most, of weights and activations together.
    size_mib : float or None
        At most, of the deployed file.
    parameters, macs : float or None
        At most.
    """

    accuracy: float | None = None
    throughput_per_s: float | None = None
    latency_mean_ms: float | None = None
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    energy_mj: float | None = None
    peak_memory_mib: float | None = None
    model_memory_mib: float | None = None
    size_mib: float | None = None
    parameters: float | None = None
    macs: float | None = None

    def given(self) -> dict[str, float]:
        """Return those that ask something, by metric."""
        found = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: limit for name, limit in found.items() if limit is not None}


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown of a candidate and its limits.

    Attributes
    ----------
    feasibility : str
        ``feasible`` if the whole interval of each figure is within its limit, ``infeasible`` if
        that of one is beyond it, ``undecided`` otherwise.
    violated : tuple of str
        Which limits and budgets it is shown to violate, with both numbers.
    undecided : tuple of str
        Metrics of which it is not shown either way.
    """

    feasibility: Feasibility
    violated: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()


def judged(
    figures: Mapping[str, Known],
    limits: Mapping[str, float],
    budgets: Mapping[str, float],
    active: str | None,
) -> Judgement:
    """Return what is shown of a candidate.

    Parameters
    ----------
    figures : mapping of str to Known
        By metric; what is missing is not known.
    limits : mapping of str to float
        By metric.
    budgets : mapping of str to float
        Memory budgets by name [MiB], which the model memory must keep.
    active : str or None
        The budget that excludes; the others are only flagged.
    """
    violated, open_ones, excluded = [], [], False
    asked = [("", metric, limit) for metric, limit in limits.items()]
    asked += [(name, "model_memory_mib", budget) for name, budget in budgets.items()]
    for budget, metric, limit in asked:
        counts = not budget or budget == active
        state = _state(figures.get(metric, Known()), limit, METRICS[metric].most)
        if state == "infeasible":
            number = figures[metric].number
            what = f"budget {budget}: {metric}" if budget else metric
            violated.append(f"{what} {number:.6g}, {_word(metric)} {limit:g}")
            excluded = excluded or counts
        elif state == "undecided" and counts:
            open_ones.append(metric)
    feasibility: Feasibility = "undecided" if open_ones else "feasible"
    return Judgement(
        feasibility="infeasible" if excluded else feasibility,
        violated=tuple(violated),
        undecided=tuple(dict.fromkeys(open_ones)),
    )


def _state(known: Known, limit: float, most: bool) -> Feasibility:
    if known.number is None:
        return "undecided"
    low = known.number if known.low is None else known.low
    high = known.number if known.high is None else known.high
    if not most:
        low, high, limit = -high, -low, -limit
    if high <= limit:
        return "feasible"
    return "infeasible" if low > limit else "undecided"


def _word(metric: str) -> str:
    return "at most" if METRICS[metric].most else "at least"
