"""The figures of one record: each with what makes it comparable with others."""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

import msgspec
import numpy as np

from edge_tester.core.figures import Quality
from edge_tester.core.results.parts import ColdStart, Memory, ModelFacts
from edge_tester.core.results.words import (
    NOT_AVAILABLE,
    Kind,
    amount,
    plural,
    span,
    unit_for,
)
from edge_tester.core.statistics import (
    block_bootstrap_interval,
    missing_values,
    percentile,
    wilson_interval,
)


class Measured(Protocol):
    """What figures are computed from: a run record."""

    @property
    def quality(self) -> Quality:
        """How good the answers were."""

    @property
    def model(self) -> ModelFacts:
        """What ran."""

    @property
    def target_ns(self) -> list[int]:
        """Time of every inference but the cold ones [ns]."""

    @property
    def cpu_time_ns(self) -> int | None:
        """Processor time of all of them [ns]."""

    @property
    def cold_start(self) -> ColdStart:
        """What happens once."""

    @property
    def memory(self) -> Memory:
        """Of the process that ran the model."""


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
_OF_SAMPLES: Final = {"Accuracy", "Top-5 accuracy", "Mean squared error"}


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


class Figure(msgspec.Struct, frozen=True):
    """One number of one record, with its unit and its interval."""

    title: str
    text: str
    detail: str


def figures_of(record: Measured) -> list[Figure]:
    """Return the figures of a record in the order of :data:`MEASURES`."""
    values = measure_all(record)
    known = [figure_of(one, values[one.key]) for one in MEASURES if one.key in values]
    return [*known, *_single_latencies(record, values)]


def figure_of(measure: Measure, value: Value) -> Figure:
    """Return a value for readers."""
    if value.missing:
        needs = f"needs {plural(value.missing, 'more inference')}"
        return Figure(measure.title, NOT_AVAILABLE, needs)
    interval = span(value.interval, unit_for(measure.kind, [value.number]))
    detail = f"95 % interval {interval}" if interval else ""
    return Figure(measure.title, amount(value.number, measure.kind), detail)


def told(figure: Figure, samples: int) -> str:
    """Return the text of a figure as a terminal has it, in one line."""
    text = figure.text
    if figure.detail.startswith("needs"):
        text = f"{text}: {figure.detail}"
    return f"{text} of {plural(samples, 'sample')}" if figure.title in _OF_SAMPLES else text


def _single_latencies(record: Measured, values: dict[str, Value]) -> list[Figure]:
    """Return every latency where they are too few for any percentile."""
    latency_ns = record.target_ns
    if not latency_ns or values["p50"].number is not None:
        return []
    texts = ", ".join(amount(time_ns, "time") for time_ns in latency_ns)
    return [Figure("Latency of each inference", texts, "")]


def measure_all(record: Measured) -> dict[str, Value]:
    """Return the figures of a record by the keys of :data:`MEASURES`.

    Figures of another task than the record's are left out.
    """
    quality, latency_ns = record.quality, record.target_ns
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
    time_ns = record.cpu_time_ns
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
