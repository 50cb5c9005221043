"""The plot of verdicts: how long each run takes compared with the baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from edge_tester.core.results.verdicts import Versus
from edge_tester.core.results.words import printable, ratio, shortened
from edge_tester.core.statistics.comparing import Comparison
from edge_tester.report._theme import LIGHT, marker, series_name
from edge_tester.report.context import Report
from edge_tester.report.plots import FONT_SIZE, WIDTH, Drawing, canvas, style

_ROW = 40
_LONGEST_NAME = 44
# Beyond the outermost interval.
_AIR = 0.12
_STEPS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


def verdict_drawing(report: Report) -> Drawing | None:
    """Return the plot of the ratios of median latencies, None where there is none."""
    compared = [one for one in report.verdicts if one.latency is not None]
    if not compared:
        return None
    views = {view.brief: view for view in report.views}
    comparisons = [one.latency for one in compared if one.latency is not None]
    with style():
        figure, axes = canvas(_ROW * len(compared) + 58, left=12, right=20, top=6)
        _scale(axes, comparisons)
        margin = comparisons[0].margin
        axes.axvspan(1 / (1 + margin), 1 + margin, color=LIGHT["rule"], alpha=0.6, linewidth=0)
        axes.axvline(1, color=LIGHT["muted"], linewidth=1)
        for row, one in enumerate(compared):
            _row(axes, one, row, views[one.name].position)
        axes.set_xlabel(f"Median latency divided by that of {shortened(report.baseline, 30)}")
    return Drawing(
        "latency-ratios",
        "Faster or slower than the baseline",
        "Each line is the interval of a ratio by which its verdict holds, at 95 % or more; left of "
        f"1 is faster. The band is the margin of {100 * margin:.3g} %: a line within it is "
        "equivalent, a line that holds 1 and leaves the band is unknown.",
        f"Ratios of {len(compared)} runs to {report.baseline}; the intervals are in the table.",
        figure,
        WIDTH,
    )


def _scale(axes: Any, comparisons: Sequence[Comparison]) -> None:
    margin = comparisons[0].margin
    low = min(1 / (1 + margin), *(one.low for one in comparisons))
    high = max(1 + margin, *(one.high for one in comparisons))
    air = _AIR * math.log(high / low)
    axes.set_xscale("log")
    axes.set_xlim(low * math.exp(-air), high * math.exp(air))
    axes.set_ylim(len(comparisons), 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    ticks = _ticks(low, high)
    axes.set_xticks(ticks, [ratio(tick) for tick in ticks])
    axes.minorticks_off()


def _ticks(low: float, high: float) -> list[float]:
    """Return round ratios between two, 1 among them."""
    for step in _STEPS:
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < 6:
            return [round(number * step, 2) for number in range(max(1, first), last + 1)]
    powers = range(math.floor(math.log2(low)), math.ceil(math.log2(high)) + 1)
    every = 1 + len(powers) // 6
    return [2.0**power for power in powers if power % every == 0]


def _row(axes: Any, one: Versus, row: int, position: int) -> None:
    comparison, colour = one.latency, LIGHT[series_name(position)]
    if comparison is None:
        return
    axes.plot([comparison.low, comparison.high], [row + 0.72] * 2, color=colour, linewidth=2.2)
    axes.plot([comparison.ratio], [row + 0.72], marker(position), color=colour, markersize=7)
    transform = axes.get_yaxis_transform()
    name = printable(shortened(one.name, _LONGEST_NAME))
    axes.text(0, row + 0.3, name, color=colour, weight="bold", transform=transform, va="center")
    axes.text(
        1,
        row + 0.3,
        comparison.verdict,
        color=LIGHT["muted"],
        transform=transform,
        ha="right",
        va="center",
        fontsize=FONT_SIZE - 1.5,
    )
