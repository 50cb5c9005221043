"""Plots that show several records beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from edge_tester.core.results.words import Kind, amount, printable
from edge_tester.core.tensors import Array
from edge_tester.report._theme import LIGHT, marker, series_name
from edge_tester.report._verdict_plot import verdict_drawing
from edge_tester.report.context import RecordView, Report
from edge_tester.report.plots import (
    FONT_SIZE,
    LINEAR_SPAN,
    WIDTH,
    Drawing,
    canvas,
    name_axes,
    place_labels,
    scale,
    style,
)

# Fewer values make no density; they are drawn one by one.
LEAST_FOR_DENSITY: Final = 20
_ROW = 62
_LABEL_LENGTH = 22
# More points, or a longer name, are labelled with the runs' numbers.
_CROWD = 6
_BINS = 120


def comparison_drawings(report: Report) -> list[Drawing]:
    """Return the plots that the records of a report have the numbers for."""
    views = report.views
    verdict = verdict_drawing(report)
    drawings = [] if verdict is None else [verdict]
    timed = [view for view in views if view.record.target_ns]
    if len(timed) > 1:
        drawings.append(_distributions(timed))
    kinds: list[tuple[str, str, Kind, str]] = [
        ("p50", "accuracy-latency", "time", "latency on the target (p50)"),
        ("size", "accuracy-size", "bytes", "model size"),
    ]
    for key, name, kind, what in kinds:
        shown = [v for v in views if _known(v, "accuracy") and _known(v, key)]
        if len(shown) > 1:
            drawings.append(_trade_off(shown, key, name, kind, what))
    return drawings


def _known(view: RecordView, key: str) -> bool:
    value = view.values.get(key)
    return value is not None and value.number is not None


def _trade_off(views: Sequence[RecordView], key: str, name: str, kind: Kind, what: str) -> Drawing:
    points: list[tuple[float, float]] = []
    bars: list[tuple[float, float, float, float]] = []
    with style():
        figure, axes = canvas(330)
        for view in views:
            x, y = view.values[key], view.values["accuracy"]
            point = (float(x.number or 0), float(y.number or 0))
            colour = LIGHT[series_name(view.position)]
            axes.errorbar(
                *point,
                xerr=_arms(point[0], x.interval),
                yerr=_arms(point[1], y.interval),
                fmt=marker(view.position),
                color=colour,
                markersize=7,
                elinewidth=1.4,
                capsize=0,
            )
            points.append(point)
            left, right = x.interval or (point[0], point[0])
            bottom, top = y.interval or (point[1], point[1])
            bars.append((left, point[1], right, point[1]))
            bars.append((point[0], bottom, point[0], top))
        lefts, bottoms, rights, tops = zip(*bars, strict=True)
        # Where the axis is linear it begins at 0, so that distances are fair.
        wide = max(rights) > LINEAR_SPAN * min(lefts)
        scale(axes.xaxis, kind, min(lefts) if wide else 0, max(rights))
        scale(axes.yaxis, "percent", min(bottoms), max(tops))
        name_axes(axes, what[0].upper() + what[1:], "Accuracy")
        numbered = len(views) > _CROWD or any(len(v.label) > _LABEL_LENGTH for v in views)
        place_labels(
            axes,
            points,
            [str(view.number) if numbered else printable(view.label) for view in views],
            [LIGHT[series_name(view.position)] for view in views],
            bars,
        )
    logarithmic = f" The axis of {what} is logarithmic." if axes.get_xscale() == "log" else ""
    title = f"Accuracy and {what}"
    legend = " Numbers are those of the runs in the table." if numbered else ""
    return Drawing(
        name,
        title,
        f"Up and to the left is better. Bars are 95 % intervals.{logarithmic}{legend}",
        f"{title} of {len(views)} runs; the numbers are in the table of the comparison.",
        figure,
        WIDTH,
    )


def _arms(number: float, interval: tuple[float, float] | None) -> list[list[float]] | None:
    """Return the lengths of an error bar; a median of an interval's ends may lie outside."""
    if interval is None:
        return None
    return [[max(0.0, number - interval[0])], [max(0.0, interval[1] - number)]]


def _distributions(views: Sequence[RecordView]) -> Drawing:
    series = [np.maximum(view.record.target_ns, 1) for view in views]
    low, high = min(one.min() for one in series), max(one.max() for one in series)
    with style():
        figure, axes = canvas(_ROW * len(views) + 46, left=12, right=20, top=2)
        scale(axes.xaxis, "time", float(low), float(high))
        logarithmic = axes.get_xscale() == "log"
        first, last = axes.get_xlim()
        edges: Array = np.linspace(first, last, _BINS + 1)
        if logarithmic:
            edges = np.geomspace(first, last, _BINS + 1)
        axes.set_ylim(len(views), 0)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        for row, (view, values) in enumerate(zip(views, series, strict=True)):
            _distribution(axes, view, values, row, edges)
        axes.set_xlabel("Latency on the target")
    kind = " on a logarithmic axis" if logarithmic else ""
    return Drawing(
        "latency-distributions",
        "Latency on the target, all inferences",
        f"Each hill shows how often a latency occurred{kind}; hills are equally high, whatever "
        "the number of inferences. The marker is the median (p50), the two strokes are p90 and "
        "p99. Further left is faster, narrower is steadier.",
        f"Distributions of latency of {len(views)} runs; the percentiles are in the table.",
        figure,
        WIDTH,
    )


def _distribution(axes: Any, view: RecordView, values: Array, row: int, edges: Array) -> None:
    colour, base = LIGHT[series_name(view.position)], row + 0.86
    if len(values) < LEAST_FOR_DENSITY:
        axes.plot(values, [base - 0.08] * len(values), "|", color=colour, markersize=9)
    else:
        counts, _ = np.histogram(values, edges)
        heights = np.convolve(counts, [0.25, 0.5, 0.25], "same")
        middles = (edges[:-1] + edges[1:]) / 2
        shown = np.flatnonzero(heights)
        part = slice(max(0, shown[0] - 1), shown[-1] + 2)
        tops = base - 0.5 * heights[part] / heights.max()
        axes.fill_between(middles[part], tops, base, color=colour, alpha=0.3, linewidth=0)
        axes.plot(middles[part], tops, color=colour, linewidth=1.2)
    told = []
    for key, kind, size in (("p50", marker(view.position), 7), ("p90", "|", 9), ("p99", "|", 9)):
        number = view.values[key].number
        if number is not None:
            axes.plot(
                [max(number, 1)],
                [base],
                kind,
                color=colour,
                markersize=size,
                markeredgewidth=1.8,
                clip_on=False,
                zorder=4,
            )
            told.append(f"{key} {amount(number, 'time')}")
    axes.axhline(base, color=LIGHT["rule"], linewidth=0.8, zorder=0)
    transform = axes.get_yaxis_transform()
    axes.text(
        0,
        row + 0.2,
        printable(view.brief if view.brief != view.label else f"{view.number}  {view.label}"),
        color=colour,
        weight="bold",
        transform=transform,
        va="center",
    )
    axes.text(
        1,
        row + 0.2,
        " · ".join(told),
        color=LIGHT["muted"],
        transform=transform,
        ha="right",
        va="center",
        fontsize=FONT_SIZE - 1.5,
    )
