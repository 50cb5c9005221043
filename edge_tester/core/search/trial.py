"""One candidate with one seed: what became of it, and its figures."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np

from edge_tester.core.analysis import Analysis
from edge_tester.core.compresses import Compressed
from edge_tester.core.record import RunRecord
from edge_tester.core.results.energy import energies_of
from edge_tester.core.results.known import Known, known_of
from edge_tester.core.results.measures import measure_all, option_of
from edge_tester.core.results.values import Value, percentile_value, with_interval
from edge_tester.core.search.limits import Judgement
from edge_tester.core.search.space import Configuration
from edge_tester.core.statistics.intervals import replicate_interval

MIB = 1 << 20
_QUALITIES = ("accuracy", "map", "r2")


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate with one seed.

    Attributes
    ----------
    name : str
        Of its record and of its file.
    configuration : Configuration
    seed : int
    stage : str
        ``measured``; ``rejected``, where a limit is violated that is known without measuring;
        ``failed``.
    reason : str
        Why it failed, or was rejected.
    figures : dict of str to Known
        By metric.
    judgement : Judgement
    replicates : int or None
        With which it was measured last.
    together : str or None
        The same in trials that were measured by turns, which alone tells small differences.
    files : dict of str to str
        SHA-256 of what was made, hexadecimal: ``baseline``, ``weights`` of the compressed program,
        ``compressed``, ``artifact``.
    artifact : str
        The deployed file, relative to the run.
    format : str
        Of that file.
    correct : list of int
        1 for each measured sample that it classified right, in the order of ``samples``.
    samples : list of int
        Indices in the data set.
    target : str
        Name of the machine that ran it.
    remarks : tuple of str
    """

    name: str
    configuration: Configuration
    seed: int
    stage: Literal["measured", "rejected", "failed"]
    reason: str = ""
    figures: dict[str, Known] = {}
    judgement: Judgement = Judgement(feasibility="undecided")
    replicates: int | None = None
    together: str | None = None
    files: dict[str, str] = {}
    artifact: str = ""
    format: str = ""
    correct: list[int] = []
    samples: list[int] = []
    target: str = ""
    remarks: tuple[str, ...] = ()


def static_figures(
    size_bytes: int, analysis: Analysis | None, network: Analysis | None, made: Compressed | None
) -> dict[str, Known]:
    """Return what is known of a candidate before it is measured.

    Parameters
    ----------
    size_bytes : int
        Of the deployed file.
    analysis : Analysis or None
        Of that file's graph, None where its format tells none.
    network : Analysis or None
        Of the network that it was made from, for parameters and MACs.
    made : Compressed or None
        What was done to the baseline, if anything.
    """
    figures = {"size_mib": _exact(size_bytes / MIB)}
    counted = network or analysis
    if made is not None:
        figures["parameters"] = _exact(made.parameters_after)
        figures["macs"] = _exact(made.macs_after)
    elif counted is not None:
        figures["parameters"] = _exact(counted.parameters)
        unknown = f"{len(counted.unknown)} operators are not counted" if counted.unknown else ""
        figures["macs"] = Known(why=unknown) if unknown else _exact(counted.macs)
    if network is not None:
        figures["state_mib"] = _exact(network.weight_bytes / MIB)
    if analysis is not None:
        needed = analysis.weight_bytes + analysis.peak_activation_bytes
        figures["model_memory_mib"] = _exact(needed / MIB)
    else:
        figures["model_memory_mib"] = Known(why="the format tells no graph")
    return figures


def measured_figures(record: RunRecord) -> dict[str, Known]:
    """Return what a run record says of a candidate, by metric."""
    values = measure_all(record)
    latency_ns = [np.array(one.target_ns) for one in record.replicates if one.target_ns]
    quality = next((values[key] for key in _QUALITIES if key in values), Value(None))
    figures = {
        "accuracy": known_of(quality, 1),
        "latency_p50_ms": known_of(values["p50"], 1e6),
        "latency_p95_ms": known_of(percentile_value(latency_ns, 0.95), 1e6),
        "peak_memory_mib": known_of(values["peak"], MIB),
    }
    mean = _mean(latency_ns)
    figures["latency_mean_ms"] = known_of(mean, 1e6)
    if latency_ns:
        figures["latency_std_ms"] = Known(number=float(np.concatenate(latency_ns).std()) / 1e6)
    figures["throughput_per_s"] = _rate(mean, record.batch_size)
    figures["energy_mj"] = _energy(record, mean)
    return figures


def answers_of(record: RunRecord) -> tuple[list[int], list[int]]:
    """Return which samples were measured, and 1 for each that was classified right."""
    kept = record.predictions
    if record.quality.task != "classification" or kept.truth is None:
        return [], []
    pairs = zip(kept.predicted, kept.truth, strict=True)
    return list(kept.index), [int(ours == truth) for ours, truth in pairs]


def _mean(latency_ns: list[Any]) -> Value:
    if not latency_ns:
        return Value(None)
    means = [float(one.mean()) for one in latency_ns]
    found = with_interval(float(np.concatenate(latency_ns).mean()), replicate_interval(means))
    return found._replace(single=len(means) == 1)


def _rate(mean: Value, batch_size: int) -> Known:
    """Return samples per second, one inference after another."""
    if mean.number is None:
        return Known(why="not measured")
    low, high = mean.interval or (mean.number, mean.number)
    rate = batch_size * 1e9
    return Known(number=rate / mean.number, low=rate / high, high=rate / low)


def _energy(record: RunRecord, mean: Value) -> Known:
    """Return the energy of an inference: of the first meter, or an estimate, said to be one."""
    for one in energies_of(record.replicates):
        value = Value(one.above_idle_j, one.interval, single=one.interval is None)
        return known_of(value._replace(number=None, why=one.doubt) if one.doubt else value, 1e-3)
    power_w = option_of(record, "nominal_power_w")
    if power_w is None or mean.number is None:
        return Known(why="no meter reads it, and no nominal_power_w was given")
    low, high = mean.interval or (mean.number, mean.number)
    # Nanoseconds times watts are nanojoules.
    scale = power_w * 1e-6
    why = f"an estimate: mean latency times {power_w:g} W, which nobody measured"
    return Known(number=mean.number * scale, low=low * scale, high=high * scale, why=why)


def _exact(number: float) -> Known:
    return Known(number=number, low=number, high=number)
