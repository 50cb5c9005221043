"""The figures of one record: each with what makes it comparable with others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import msgspec
import numpy as np

from edge_tester.core.figures import Quality
from edge_tester.core.results.parts import Component, ModelFacts, PatternFacts, Replicate
from edge_tester.core.results.patterns import pattern_values
from edge_tester.core.results.settling import DOUBTS, Settling, settling_of
from edge_tester.core.results.values import PERCENTILES, Value, latency_values, with_interval
from edge_tester.core.results.words import (
    NOT_AVAILABLE,
    Kind,
    amount,
    plural,
    span,
    unit_for,
)
from edge_tester.core.statistics.intervals import replicate_interval, wilson_interval
from edge_tester.core.statistics.percentiles import missing_values
from edge_tester.core.statistics.sequential import sequence_interval


class Measured(Protocol):
    """What figures are computed from: a run record."""

    @property
    def quality(self) -> Quality:
        """How good the answers were."""

    @property
    def model(self) -> ModelFacts:
        """What ran."""

    @property
    def batch_size(self) -> int:
        """Samples per inference."""

    @property
    def replicates(self) -> list[Replicate]:
        """What was measured, by fresh processes."""

    @property
    def pattern(self) -> PatternFacts:
        """What of the inferences is a result."""

    @property
    def components(self) -> list[Component]:
        """What took part; how to measure is among it."""


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
    Measure("query_p50", "Query latency p50", "time"),
    Measure("query_p90", "Query latency p90", "time"),
    Measure("query_p99", "Query latency p99", "time"),
    Measure("waiting", "Mean waiting time", "time"),
    Measure("missed", "Missed deadlines", "percent"),
    Measure("throughput", "Throughput", "rate"),
    Measure("utilisation", "Utilisation", "percent"),
    Measure("duty", "Duty cycle", "percent"),
    Measure("energy", "Energy per event (estimate)", "energy"),
    Measure("battery", "Battery life (estimate)", "lifetime"),
    Measure("size", "Model size", "bytes"),
    Measure("peak", "Peak memory", "bytes"),
    Measure("cpu", "CPU time per inference", "time"),
    Measure("first", "First inference", "time"),
    Measure("load", "Load", "time"),
    Measure("quantized", "Quantized weights", "percent"),
)
QUALITY = ("accuracy", "top5", "mse", "mae", "r2")
"""Keys of the measures of how good the answers are."""
_OF_SAMPLES: Final = {"Accuracy", "Top-5 accuracy", "Mean squared error"}


class Figure(msgspec.Struct, frozen=True):
    """One number of one record, with its unit and its interval."""

    title: str
    text: str
    detail: str


def figures_of(record: Measured) -> list[Figure]:
    """Return the figures of a record in the order of :data:`MEASURES`."""
    values = measure_all(record)
    known = [figure_of(one, values[one.key]) for one in MEASURES if one.key in values]
    settling = settling_of(record.replicates)
    doubt = DOUBTS.get(settling.kind)
    if doubt is not None:
        titles = {
            one.title for one in MEASURES if one.key in PERCENTILES and values[one.key].number
        }
        known = [_doubted(one, doubt) if one.title in titles else one for one in known]
    return [*known, *_peaks(record.replicates), *_settled(settling), *_single_latencies(record)]


def figure_of(measure: Measure, value: Value) -> Figure:
    """Return a value for readers."""
    if value.why:
        return Figure(measure.title, NOT_AVAILABLE, value.why)
    if value.missing:
        needs = f"needs about {plural(value.missing, 'more inference')}"
        return Figure(measure.title, NOT_AVAILABLE, needs)
    interval = span(value.interval, unit_for(measure.kind, [value.number]))
    detail = f"95 % interval {interval}" if interval else ""
    if value.single:
        detail = "its interval needs replicates"
    return Figure(measure.title, amount(value.number, measure.kind), detail)


def _doubted(figure: Figure, doubt: str) -> Figure:
    return Figure(
        figure.title, figure.text, f"{figure.detail}, {doubt}" if figure.detail else doubt
    )


def _peaks(replicates: Sequence[Replicate]) -> list[Figure]:
    """Return the memory of loading and of inferences, where they are known apart."""
    memories = [one.memory for one in replicates]
    parts = [
        (Measure("load_peak", "Peak memory of loading", "bytes"), "load_peak_bytes"),
        (Measure("inference_peak", "Peak memory of inferences", "bytes"), "inference_peak_bytes"),
    ]
    if not memories or any(one.inference_peak_bytes is None for one in memories):
        return []
    return [
        figure_of(measure, _highest([getattr(one, name) for one in memories]))
        for measure, name in parts
    ]


def _settled(settling: Settling) -> list[Figure]:
    """Return whether latencies became steady, and how long that took."""
    figures = [Figure("Steady state", settling.text, settling.detail)]
    if settling.warm_up is not None:
        figures.append(Figure("Warm-up", *settling.warm_up))
    return figures


def told(figure: Figure, samples: int) -> str:
    """Return the text of a figure as a terminal has it, in one line."""
    text = figure.text
    if figure.text == NOT_AVAILABLE and figure.detail:
        text = f"{text}: {figure.detail}"
    elif any(figure.detail.endswith(doubt) for doubt in DOUBTS.values()):
        text = f"{text}, {figure.detail.rpartition(', ')[2]}"
    return f"{text} of {plural(samples, 'sample')}" if figure.title in _OF_SAMPLES else text


def _single_latencies(record: Measured) -> list[Figure]:
    """Return every latency where they are too few for any percentile."""
    latency_ns = [one for replicate in record.replicates for one in replicate.target_ns]
    few = missing_values(len(latency_ns), PERCENTILES["p50"])
    if not latency_ns or not few or record.pattern.kind == "throughput":
        return []
    texts = ", ".join(amount(time_ns, "time") for time_ns in latency_ns)
    return [Figure("Latency of each inference", texts, "")]


def measure_all(record: Measured) -> dict[str, Value]:
    """Return the figures of a record by the keys of :data:`MEASURES`.

    Figures of another task than the record's are left out.
    """
    quality = record.quality
    values: dict[str, Value] = {}
    if quality.task == "classification":
        values["accuracy"] = _share(quality.accuracy, quality.samples)
        if quality.top5_accuracy is not None:
            values["top5"] = _share(quality.top5_accuracy, quality.samples)
    if quality.task == "regression":
        values["mse"] = Value(quality.mse)
        values["mae"] = Value(quality.mae)
        values["r2"] = Value(quality.r2)
    values |= latency_values([np.array(one.target_ns) for one in record.replicates])
    if _until_precise(record) and values["p50"].number is not None:
        medians = [float(np.median(one.target_ns)) for one in record.replicates if one.target_ns]
        # Whoever stops as soon as it is narrow needs one that holds whenever he looks.
        found = with_interval(values["p50"].number, sequence_interval(medians))
        values["p50"] = found._replace(single=values["p50"].single)
    values |= pattern_values(record.pattern, record.replicates, record.batch_size)
    values["cpu"] = _processor_time(record.replicates)
    cold = [one.cold_start for one in record.replicates]
    values["first"] = _typical([one.first_inference_ns for one in cold])
    values["load"] = _typical([one.load_ns for one in cold])
    values["peak"] = _highest([one.memory.peak_bytes for one in record.replicates])
    values["size"] = Value(record.model.size_bytes)
    values["quantized"] = Value(record.model.quantized_weight_share)
    return values


def _until_precise(record: Measured) -> bool:
    return any(
        part.role == "measurement" and part.options.get("precision") is not None
        for part in record.components
    )


def _processor_time(replicates: Sequence[Replicate]) -> Value:
    """Return the processor time of an inference, if every block tells it."""
    counts = [len(one.target_ns) for one in replicates]
    times_ns = [one.cpu_time_ns for one in replicates]
    pairs = [(t, n) for t, n in zip(times_ns, counts, strict=True) if t is not None and n]
    if not pairs or len(pairs) < sum(n > 0 for n in counts):
        return Value(None)
    number = sum(t for t, _ in pairs) / sum(n for _, n in pairs)
    return with_interval(number, replicate_interval([t / n for t, n in pairs]))


def _typical(numbers: Sequence[int | None]) -> Value:
    """Return the geometric mean of what each replicate did once."""
    known = [one for one in numbers if one is not None]
    if len(known) < 2 or min(known) <= 0:
        return Value(known[0] if known else None)
    number = float(np.exp(np.log(known).mean()))
    return with_interval(number, replicate_interval(known))


def _highest(numbers: Sequence[int | None]) -> Value:
    """Return the largest of what each replicate needed."""
    known = [one for one in numbers if one is not None]
    return with_interval(max(known), replicate_interval(known)) if known else Value(None)


def _share(share: float | None, samples: int) -> Value:
    if share is None or samples == 0:
        return Value(share)
    return Value(share, wilson_interval(round(share * samples), samples))
