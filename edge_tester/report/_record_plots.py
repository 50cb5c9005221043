"""Plots about one record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from edge_tester.core.backends import backend
from edge_tester.core.record import Replicate
from edge_tester.core.results.values import PERCENTILES
from edge_tester.core.results.words import amount, plural, shortened
from edge_tester.core.statistics.steady import steadiness_of
from edge_tester.core.tensors import Array
from edge_tester.report._profile import profile_drawing
from edge_tester.report._quality import names_of
from edge_tester.report._theme import LIGHT, series_name
from edge_tester.report.context import RecordView
from edge_tester.report.plots import (
    FONT_SIZE,
    LINEAR_SPAN,
    WIDTH,
    Drawing,
    canvas,
    name_axes,
    scale,
    style,
    tick_label,
)

# More points are drawn as an envelope: each point costs 40 bytes of the file.
MOST_POINTS: Final = 2000
ENVELOPE_PIECES: Final = 300
LEAST_FOR_SHARES: Final = 5
MOST_NUMBERED_CLASSES: Final = 40
# A larger matrix is drawn in squares of several classes.
MOST_SQUARES: Final = 60
# Fewer points may be larger.
_FEW = 100
_OPACITIES = 12
_LABEL_LENGTH = 14


def record_drawings(view: RecordView) -> list[Drawing]:
    """Return the plots that this record has the numbers for, quality last."""
    latency_ns = view.record.target_ns
    drawings = []
    if len(latency_ns) > 1:
        drawings.append(_over_time(view))
    if len(latency_ns) >= LEAST_FOR_SHARES:
        drawings.append(_shares(view))
    if (operators := profile_drawing(view)) is not None:
        drawings.append(operators)
    quality = view.record.quality
    if quality.task == "classification" and quality.confusion_matrix and quality.samples:
        drawings.append(_confusion(view))
    return drawings


def _over_time(view: RecordView) -> Drawing:
    values: Array = np.array(view.record.target_ns, np.float64)
    colour = LIGHT[series_name(view.position)]
    with style():
        figure, axes = canvas(290)
        low, high = float(values.min()), float(values.max())
        median = float(np.median(values))
        # One slow inference must not press all others into a line.
        scale(axes.yaxis, "time", max(low, 1) if high > LINEAR_SPAN * median else 0, high)
        if len(values) <= MOST_POINTS:
            axes.plot(
                np.arange(1, len(values) + 1),
                values,
                "o",
                color=colour,
                markersize=3 if len(values) > _FEW else 6,
                markeredgewidth=0,
                alpha=0.75,
            )
            caption = "Every inference in its order, the first after loading excluded."
        else:
            pieces = np.array_split(values, ENVELOPE_PIECES)
            ends = np.cumsum([len(piece) for piece in pieces])
            lows, highs = [p.min() for p in pieces], [p.max() for p in pieces]
            axes.fill_between(ends, lows, highs, color=colour, alpha=0.3, linewidth=0)
            axes.plot(ends, [np.median(p) for p in pieces], color=colour, linewidth=1.2)
            caption = (
                f"{plural(len(values), 'inference')} in {ENVELOPE_PIECES} groups of consecutive "
                "ones: the band spans from the least to the greatest of each group, the line is "
                "its median. Every inference counts in the numbers."
            )
        if _draw_levels(axes, view.record.replicates):
            caption += " Dark lines are the levels that they had."
            if len(view.record.replicates) > 1:
                caption += " Strokes on the axis are where replicates begin."
        _count_inferences(axes, len(values))
        name_axes(axes, "Inference", "Latency on the target")
    if axes.get_yscale() == "log":
        caption += " The axis of latency is logarithmic."
    return Drawing(
        "latency-over-time",
        "Latency over time",
        caption,
        f"Latency of {plural(len(values), 'inference')} in their order.",
        figure,
        WIDTH,
    )


def _draw_levels(axes: Any, replicates: Sequence[Replicate]) -> bool:
    """Draw the levels of all replicates; return whether there were any."""
    offset, found = 0, False
    for replicate in replicates:
        count = len(replicate.target_ns)
        levels = steadiness_of(replicate.target_ns).levels
        ends = [one.begin for one in levels[1:]] + [count] * bool(levels)
        for level, end in zip(levels, ends, strict=True):
            found = True
            axes.plot(
                [offset + level.begin + 1, offset + end],
                [level.latency_ns] * 2,
                color=LIGHT["ink"],
                linewidth=1.6,
                solid_capstyle="butt",
                zorder=5,
            )
        if len(replicates) > 1:
            axes.plot(
                [offset + 1],
                [0],
                "|",
                color=LIGHT["muted"],
                markersize=9,
                transform=axes.get_xaxis_transform(),
                clip_on=False,
            )
        offset += count
    return found


def _count_inferences(axes: Any, count: int) -> None:
    ticker = backend("matplotlib.ticker", "The report")
    room = 0.02 * count
    axes.set_xlim(1 - room, count + room)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _shares(view: RecordView) -> Drawing:
    values: Array = np.sort(np.maximum(view.record.target_ns, 1)).astype(np.float64)
    shares = np.arange(1, len(values) + 1) / len(values)
    # A step that no eye can tell from its neighbours only makes the file larger.
    kept = np.unique(np.linspace(0, len(values) - 1, 300).round().astype(int))
    colour = LIGHT[series_name(view.position)]
    with style():
        figure, axes = canvas(290)
        scale(axes.xaxis, "time", float(values[0]), float(values[-1]))
        axes.step(values[kept], shares[kept], where="post", color=colour, linewidth=1.6)
        axes.set_ylim(-0.03, 1.05)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
        axes.yaxis.set_major_formatter(lambda value, _: tick_label(value, "percent"))
        told = []
        for key, share in PERCENTILES.items():
            number = view.values[key].number
            if number is not None:
                axes.plot([max(number, 1)], [share], "o", color=colour, markersize=6)
                axes.annotate(
                    key,
                    (max(number, 1), share),
                    xytext=(8, -9),
                    textcoords="offset points",
                    va="center",
                    fontsize=FONT_SIZE - 1,
                )
                told.append(f"{key}: {amount(number, 'time')}")
        _tell(axes, values, told)
        name_axes(axes, "Latency on the target", "Share of inferences")
    return Drawing(
        "latency-shares",
        "Distribution of latency",
        "How many of the inferences took at most so long.",
        f"Cumulative distribution of the latency of {plural(len(values), 'inference')}.",
        figure,
        WIDTH,
    )


def _tell(axes: Any, values: Array, lines: list[str]) -> None:
    """Write lines into the corner that the curve leaves free."""
    middle = axes.transData.inverted().transform(axes.transAxes.transform((0.6, 0)))[0]
    early = np.searchsorted(values, middle) > 0.4 * len(values)
    axes.text(
        0.98 if early else 0.02,
        0.06 if early else 0.95,
        "\n".join(lines),
        transform=axes.transAxes,
        ha="right" if early else "left",
        va="bottom" if early else "top",
        linespacing=1.6,
    )


def _confusion(view: RecordView) -> Drawing:
    counts: Array = np.array(view.record.quality.confusion_matrix, np.int64)
    classes = len(counts)
    names = names_of(view.record.quality, view.record.class_names)
    numbered = classes <= MOST_NUMBERED_CLASSES
    group = 1 if numbered else math.ceil(classes / MOST_SQUARES)
    starts = np.arange(0, classes, group)
    shown = np.add.reduceat(np.add.reduceat(counts, starts, axis=0), starts, axis=1)
    labels = [shortened(names[i], _LABEL_LENGTH) for i in starts]
    size = len(shown)
    margin = 16 + round(6.6 * max(map(len, labels)))
    turned = max(map(len, labels)) > 3
    cell = max(22.0 if numbered else 5.0, (WIDTH - margin - 12) / size)
    cell = min(cell, 44.0)
    bottom = margin + 18 if turned else 46
    width, height = round(margin + 12 + cell * size), round(bottom + 34 + cell * size)
    with style():
        figure, axes = canvas(height, width=width, left=margin, right=12, bottom=bottom)
        axes.grid(False)
        axes.set_xlim(0, size)
        axes.set_ylim(size, 0)
        totals = shown.sum(axis=1, keepdims=True)
        _squares(axes, shown / np.maximum(totals, 1))
        if numbered:
            _counts(axes, shown, totals, min(FONT_SIZE, 0.42 * cell))
        step = 1 if numbered else math.ceil(size / 12)
        ticks = np.arange(0, size, step)
        axes.set_xticks(ticks + 0.5, [labels[i] for i in ticks], rotation=90 if turned else 0)
        axes.set_yticks(ticks + 0.5, [labels[i] for i in ticks])
        name_axes(axes, "Predicted class", "True class")
    caption = "Rows are true classes. Right answers are blue, mistakes orange, each the stronger "
    caption += "the larger its part of the row."
    if group > 1:
        caption += f" Each square stands for {group} × {group} classes."
    return Drawing(
        "confusion-matrix",
        "Confusion matrix",
        caption,
        f"Confusion matrix of {classes} classes over {plural(int(counts.sum()), 'sample')}.",
        figure,
        width,
    )


def _squares(axes: Any, shares: Array) -> None:
    """Draw all squares of one colour and strength as one path, which keeps the file small."""
    paths = backend("matplotlib.path", "The report")
    patches = backend("matplotlib.patches", "The report")
    # The root lets rare mistakes stand out from the paper, and still differ.
    levels = np.ceil(np.sqrt(shares) * _OPACITIES).astype(int)
    diagonal = np.eye(len(shares), dtype=bool)
    gap = 0.03
    corners = np.array([[gap, gap], [1 - gap, gap], [1 - gap, 1 - gap], [gap, 1 - gap], [gap, gap]])
    codes = [1, 2, 2, 2, 79]
    for level in range(1, _OPACITIES + 1):
        for right in (True, False):
            rows, columns = np.nonzero((levels == level) & (diagonal == right))
            if len(rows) == 0:
                continue
            vertices = np.stack([columns, rows], axis=1)[:, np.newaxis] + corners
            path = paths.Path(vertices.reshape(-1, 2), codes * len(rows))
            colour = LIGHT["series-1" if right else "series-2"]
            strength = level / _OPACITIES
            axes.add_patch(patches.PathPatch(path, facecolor=colour, alpha=strength, linewidth=0))


def _counts(axes: Any, counts: Array, totals: Array, size: float) -> None:
    for row, column in zip(*np.nonzero(counts), strict=True):
        strong = counts[row, column] > 0.4 * totals[row, 0]
        axes.text(
            column + 0.5,
            row + 0.5,
            f"{counts[row, column]}",
            ha="center",
            va="center",
            fontsize=size,
            color=LIGHT["paper" if strong else "ink"],
        )
