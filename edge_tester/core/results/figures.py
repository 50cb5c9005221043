"""The figures of one record as readers see them: each with its unit and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from edge_tester.core.results.conditions import (
    COUNTED,
    clocks_hz,
    counted,
    processors_busy,
    temperatures_c,
)
from edge_tester.core.results.energy import energies_of, estimated_j
from edge_tester.core.results.measures import (
    MEASURES,
    Measure,
    Measured,
    highest,
    measure_all,
    option_of,
)
from edge_tester.core.results.parts import Replicate
from edge_tester.core.results.settling import DOUBTS, Settling, settling_of
from edge_tester.core.results.values import PERCENTILES, Value
from edge_tester.core.results.words import NOT_AVAILABLE, amount, plural, span, unit_for
from edge_tester.core.statistics.percentiles import missing_values

_OF_SAMPLES: Final = {
    *("Accuracy", "Top-5 accuracy", "Mean squared error"),
    *("mAP at IoU 0.50 to 0.95", "mAP at IoU 0.50"),
}


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
    more = [
        *_peaks(record.replicates),
        *_energies(record),
        *_conditions(record.replicates),
        *_settled(settling),
    ]
    return [*known, *more, *_single_latencies(record)]


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


def _energies(record: Measured) -> list[Figure]:
    """Return the energy of an inference as each meter read it, or an estimate, said to be one."""
    found = []
    for one in energies_of(record.replicates):
        above = Value(one.above_idle_j, one.interval, single=one.interval is None)
        if one.doubt:
            above = Value(None, why=one.doubt)
        figure = figure_of(Measure("energy", f"Energy per inference ({one.name})", "energy"), above)
        detail = [figure.detail] if figure.detail else []
        if one.idle_w is not None:
            detail.append(f"above {one.idle_w:.3g} W idle, in all {amount(one.whole_j, 'energy')}")
        found.append(Figure(figure.title, figure.text, "; ".join(detail)))
    power_w = option_of(record, "nominal_power_w")
    if not found and power_w is not None:
        estimate = amount(estimated_j(record.replicates, power_w), "energy")
        about = f"an estimate: latency times {power_w:g} W, which nobody measured"
        found.append(Figure("Energy per inference, estimated", estimate, about))
    return found


def _conditions(replicates: Sequence[Replicate]) -> list[Figure]:
    """Return what processors counted, and how hot and how fast they were."""
    found = []
    for name, title in COUNTED.items():
        if (value := counted(replicates, name)) is not None:
            found.append(figure_of(Measure(name, title, "number"), value))
    blocks = [block for one in replicates for block in one.blocks]
    if temperatures := [one for one, _ in temperatures_c(blocks)]:
        span_c = f"from {temperatures[0]:.0f} °C, at most {max(temperatures):.0f} °C"
        found.append(Figure("Temperature", f"{temperatures[-1]:.0f} °C", span_c))
    if clocks := [one / 1e9 for one, _ in clocks_hz(blocks)]:
        span_hz = f"{min(clocks):.2f} to {max(clocks):.2f} GHz"
        found.append(Figure("Clock", f"{clocks[-1]:.2f} GHz", span_hz))
    if busy := processors_busy(blocks):
        shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in busy.items())
        found.append(Figure("Processors busy", shares, "with anything, during inferences"))
    return found


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
        figure_of(measure, highest([getattr(one, name) for one in memories]))
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
