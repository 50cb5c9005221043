"""The figures of one record: each with what makes it comparable with others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edge_tester.core.record import RunRecord
from edge_tester.core.statistics import (
    block_bootstrap_interval,
    missing_values,
    percentile,
    wilson_interval,
)
from edge_tester.report.words import Kind


class Measure(NamedTuple):
    """Something that is measured in every run.

    Attributes
    ----------
    key : str
    title : str
    kind : str
        Of number; decides the units.
    """

    key: str
    title: str
    kind: Kind


MEASURES = (
    Measure("accuracy", "Accuracy", "percent"),
    Measure("top5", "Top-5 accuracy", "percent"),
    Measure("mse", "Mean squared error", "number"),
    Measure("mae", "Mean absolute error", "number"),
    Measure("r2", "R²", "number"),
    Measure("p50", "Latency p50", "time"),
    Measure("p90", "Latency p90", "time"),
    Measure("p99", "Latency p99", "time"),
    Measure("size", "Model size", "bytes"),
    Measure("peak", "Peak memory", "bytes"),
    Measure("cpu", "CPU time per inference", "time"),
    Measure("first", "First inference", "time"),
    Measure("load", "Load", "time"),
    Measure("quantized", "Quantized weights", "percent"),
)
QUALITY = ("accuracy", "top5", "mse", "mae", "r2")
"""Keys of the measures of how good the answers are."""
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


class Value(NamedTuple):
    """A number in base units, or what keeps it from being known.

    Attributes
    ----------
    number : float or None
    interval : tuple of float, or None
        95 % interval.
    missing : int
        How many more inferences it needs.
    """

    number: float | None
    interval: tuple[float, float] | None = None
    missing: int = 0


def measure_all(record: RunRecord) -> dict[str, Value]:
    """Return the figures of a record by the keys of :data:`MEASURES`.

    Figures of another task than the record's are left out.
    """
    quality, latency_ns = record.quality, record.latency.target_ns
    values: dict[str, Value] = {}
    if quality.task == "classification":
        values["accuracy"] = _share(quality.accuracy, quality.samples)
        if quality.top5_accuracy is not None:
            values["top5"] = _share(quality.top5_accuracy, quality.samples)
    if quality.task == "regression":
        values["mse"] = Value(quality.mse)
        values["mae"] = Value(quality.mae)
        values["r2"] = Value(quality.r2)
    for key, fraction in PERCENTILES.items():
        missing = missing_values(len(latency_ns), fraction)
        values[key] = Value(None if missing else percentile(latency_ns, fraction), None, missing)
    if values["p50"].number is not None:
        values["p50"] = values["p50"]._replace(
            interval=block_bootstrap_interval(latency_ns, np.median)
        )
    time_ns = record.cpu.time_ns
    known = time_ns is not None and len(latency_ns) > 0
    values["cpu"] = Value((time_ns or 0) / len(latency_ns) if known else None)
    values["first"] = Value(record.cold_start.first_inference_ns)
    values["load"] = Value(record.cold_start.load_ns)
    values["peak"] = Value(record.memory.peak_bytes)
    values["size"] = Value(record.model.size_bytes)
    values["quantized"] = Value(record.model.quantized_weight_share)
    return values


def _share(share: float | None, samples: int) -> Value:
    if share is None or samples == 0:
        return Value(share)
    return Value(share, wilson_interval(round(share * samples), samples))
