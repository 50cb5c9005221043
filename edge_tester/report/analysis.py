"""What the layers of a model cost: tables, and plots along the graph and under the roof."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from edge_tester.core.analysis import Analysis, Layer
from edge_tester.core.analysis.roofline import Machine
from edge_tester.core.results.words import amount, plural, shortened
from edge_tester.report._details import Table
from edge_tester.report._theme import LIGHT
from edge_tester.report.page import Page, Section
from edge_tester.report.plots import WIDTH, Drawing, canvas, name_axes, scale, style

_HEIGHT: Final = 250
_LEFT: Final = 76
_TABLE_NAME: Final = 44
_GIGA: Final = 1e9
_COUNTS: Final = ((10**9, " (10⁹)"), (10**6, " (10⁶)"), (10**3, " (10³)"), (1, ""))
_DEFINITION = (
    "Counted are the multiply-accumulates of convolutions, products of matrices, attention and "
    "recurrent cells. Elementwise operators, pooling, normalizing and what only moves data have "
    "none by this definition."
)


def analysis_page(found: Analysis, machines: Sequence[Machine]) -> Page:
    """Return the page on one model.

    Parameters
    ----------
    found : Analysis
    machines : sequence of Machine
        That were measured, of one thread first.
    """
    drawings = layer_drawings(found)
    roof = None if found.machine is None else _roof_drawing(found, found.machine)
    rows = [[title, value] for title, value in total_rows(found)]
    return Page(
        "Analysis",
        found.name,
        [f"{found.format}, {plural(found.batch_size, 'sample')} in an inference"],
        [
            f"{found.macs_text} multiply-accumulates, {plural(found.parameters, 'parameter')}.",
            f"{amount(found.peak_activation_bytes, 'bytes')} of activations at a time, most of "
            f"all while {found.peak_layer} runs.",
        ],
        list(found.notes),
        [
            Section("totals", "The model", [], [Table("", [], rows)], [], [], [_DEFINITION]),
            Section(
                "layers",
                "Layer by layer",
                [f"{plural(len(found.layers), 'operator')} in the order in which they run."],
                [],
                drawings,
                [_layer_table(found)],
            ),
            *(
                [
                    Section(
                        "roofline",
                        "Under the roof",
                        roof_words(machines),
                        [],
                        [roof],
                        [],
                        [
                            "An estimate is the longer one of two times: of the operations at the "
                            "measured rate of float32, and of the bytes at that of the memory. A "
                            "real operator reaches neither; what finds its data in the caches may "
                            "be faster, and integers have another rate."
                        ],
                    )
                ]
                if roof is not None
                else []
            ),
        ],
    )


def layer_drawings(found: Analysis) -> list[Drawing]:
    """Return plots of the activations that are live, and of the work, along the graph."""
    drawings = [_memory_drawing(found), _work_drawing(found)]
    return [one for one in drawings if one is not None]


def total_rows(found: Analysis) -> list[tuple[str, str]]:
    """Return the totals of a model with their titles."""
    least = "at least " if found.incomplete else ""
    rows = [
        ("Parameters", f"{least}{found.parameters:,}"),
        ("Multiply-accumulates", found.macs_text),
        ("Constants", least + _bytes(found.weight_bytes)),
        ("File", _bytes(found.file_bytes)),
        ("Peak of activations", least + _bytes(found.peak_activation_bytes)),
        ("  while this runs", shortened(found.peak_layer, _TABLE_NAME)),
        ("Arena with offsets", least + _bytes(found.arena_bytes)),
        ("Sum of all activations", least + _bytes(found.activation_sum_bytes)),
    ]
    if found.estimated_ns is not None:
        bound = "at least " if found.unknown else ""
        rows.append(("Latency by the roof (estimate)", bound + amount(found.estimated_ns, "time")))
    if found.measured_ns is not None:
        rows.append(("Latency p50 (measured)", amount(found.measured_ns, "time")))
    if found.measured_memory_bytes is not None:
        rows.append(
            ("Memory of the process (measured)", amount(found.measured_memory_bytes, "bytes"))
        )
    return rows


def roof_words(machines: Sequence[Machine]) -> list[str]:
    """Return what was measured of this machine, a sentence for each number of threads."""
    return [
        f"This machine, measured with {plural(one.threads, 'thread')}: "
        f"{one.peak_flops_per_s / 1e9:.1f} GFLOP/s (float32 matrices), "
        f"{one.bandwidth_bytes_per_s / 1e9:.1f} GB/s (sum of arrays); best of "
        f"{one.repetitions} repetitions."
        for one in machines
    ]


def _bytes(size: int) -> str:
    exact = f"{size:,} bytes"
    return exact if size < 1024 else f"{exact} ({amount(size, 'bytes')})"


def _layer_table(found: Analysis) -> Table:
    head = ["", "Operator", "Layer", "Kind", "Parameters", "MACs", "Writes (bytes)"]
    head += ["Live (bytes)", "Moves (bytes)", "Operations per byte", "Estimate", "Bound by"]
    head += ["Profiled", "Share of time"]
    rows = [
        [
            str(one.place),
            shortened(one.name, _TABLE_NAME),
            shortened(one.layer, _TABLE_NAME),
            one.kind,
            f"{one.parameters:,}",
            "unknown" if one.macs is None else f"{one.macs:,}",
            _count(one.activation_bytes),
            f"{one.live_bytes:,}",
            _count(one.moved_bytes),
            "-" if one.intensity is None else f"{one.intensity:.3g}",
            "-" if one.estimated_ns is None else amount(one.estimated_ns, "time"),
            one.bound or "-",
            "-" if one.time_ns is None else amount(one.time_ns, "time"),
            "-" if one.time_share is None else f"{100 * one.time_share:.1f} %",
        ]
        for one in found.layers
    ]
    return Table("All layers", head, rows, texts=4)


def _count(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _memory_drawing(found: Analysis) -> Drawing | None:
    if not found.peak_activation_bytes:
        return None
    live = [one.live_bytes for one in found.layers]
    with style():
        figure, axes = canvas(_HEIGHT, left=_LEFT, right=12)
        axes.bar(range(len(live)), live, width=1.0, color=LIGHT["series-1"], linewidth=0)
        scale(axes.yaxis, "bytes", 0, max(live))
        axes.axhline(found.arena_bytes, color=LIGHT["warning"], lw=1, linestyle=(0, (4, 3)))
        _along(axes, found, "Bytes of activations")
    return Drawing(
        "memory",
        "Activations that are needed at a time",
        f"The most, {amount(found.peak_activation_bytes, 'bytes')}, while {found.peak_layer} "
        f"runs. The dashed line is an arena with an offset for each, "
        f"{amount(found.arena_bytes, 'bytes')}; all of them together are "
        f"{amount(found.activation_sum_bytes, 'bytes')}.",
        f"Bytes of activations along {plural(len(live), 'layer')}, which are in the table.",
        figure,
        WIDTH,
    )


def _work_drawing(found: Analysis) -> Drawing | None:
    if not found.macs:
        return None
    with style():
        figure, axes = canvas(_HEIGHT, left=_LEFT, right=12)
        most = max(one.macs or 0 for one in found.layers)
        size, unit = next((s, u) for s, u in _COUNTS if most >= s)
        counts = [(one.macs or 0) / size for one in found.layers]
        axes.bar(range(len(counts)), counts, width=1.0, color=LIGHT["series-3"], linewidth=0)
        for one in found.layers:
            if one.macs is None:
                axes.axvline(one.place, color=LIGHT["warning"], lw=1.2)
        scale(axes.yaxis, "number", 0, most / size)
        _along(axes, found, f"Multiply-accumulates{unit}")
    unknown = "" if not found.unknown else " Layers that are not counted are thin lines."
    return Drawing(
        "macs",
        "Multiply-accumulates of each layer",
        f"{found.macs_text} in all.{unknown}",
        f"Multiply-accumulates of {plural(len(counts), 'layer')}, which are in the table.",
        figure,
        WIDTH,
    )


def _along(axes: Any, found: Analysis, vertical: str) -> None:
    axes.set_xlim(-0.5, len(found.layers) - 0.5)
    axes.set_xticks([])
    name_axes(axes, f"{plural(len(found.layers), 'layer')} in the order of the graph", vertical)


def _roof_drawing(found: Analysis, machine: Machine) -> Drawing | None:
    shown = [one for one in found.layers if one.macs and one.intensity]
    if not shown:
        return None
    least = min(*(one.intensity or 1.0 for one in shown), machine.ridge) / 3
    most = max(*(one.intensity or 1.0 for one in shown), machine.ridge) * 3
    timed = [one for one in shown if one.time_ns]
    speeds = [_speed(one, one.time_ns) for one in timed]
    with style():
        figure, axes = canvas(300, left=_LEFT, right=14)
        bandwidth, peak = machine.bandwidth_bytes_per_s / _GIGA, machine.peak_flops_per_s / _GIGA
        roof = [(x, bandwidth * x) for x in (least, machine.ridge)] + [(most, peak)]
        axes.plot(*zip(*roof, strict=True), color=LIGHT["ink"], lw=1.4)
        under = [min(bandwidth * (one.intensity or 0.0), peak) for one in shown]
        for layers, heights, marker, colour in (
            (shown, under, "o", "series-1"),
            (timed, speeds, "D", "series-2"),
        ):
            places = [one.intensity for one in layers]
            axes.plot(places, heights, marker, color=LIGHT[colour], markersize=4)
        scale(axes.xaxis, "number", least, most)
        scale(axes.yaxis, "number", min([*under, *speeds]) / 2, peak * 2)
        name_axes(axes, "Operations per byte that is moved", "Operations per ns")
    profiled = " Diamonds are what the profile says." if timed else ""
    return Drawing(
        "roofline",
        f"Roofline of {plural(machine.threads, 'thread')}",
        f"The line is what this machine can do; points on it are {plural(len(shown), 'layer')}, "
        f"each where it can be at best.{profiled}",
        f"Roofline with {plural(len(shown), 'layer')}, which are in the table.",
        figure,
        WIDTH,
    )


def _speed(layer: Layer, time_ns: int | None) -> float:
    return 2 * (layer.macs or 0) / (time_ns or 1)
