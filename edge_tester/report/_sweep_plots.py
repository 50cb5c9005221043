"""Candidates of a sweep as points: accuracy against a cost, with intervals and the front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from edge_tester.core.results.known import Known
from edge_tester.core.results.words import Kind, plural, printable, shortened
from edge_tester.core.search.fronts import Result, competes
from edge_tester.report._theme import LIGHT, series_name
from edge_tester.report.plots import FONT_SIZE, WIDTH, Drawing, canvas, name_axes, scale, style

_HEIGHT: Final = 330
_NAME: Final = 34
# Of a front: kind of number, and its base unit in that of the figure.
_COSTS: Final[dict[str, tuple[str, Kind, float]]] = {
    "latency": ("Latency p50", "time", 1e6),
    "energy": ("Energy of an inference", "energy", 1e-3),
    "memory": ("Model memory", "bytes", float(1 << 20)),
}


def front_drawing(results: Sequence[Result], front: str, metric: str) -> Drawing | None:
    """Return accuracy against a cost of all that can be compared, None for fewer than two."""
    shown = [one for one in results if competes(one, metric)]
    if len(shown) < 2:
        return None
    title, kind, unit = _COSTS[front]
    precisions = list(dict.fromkeys(one.configuration.precision for one in shown))
    ends = [end * unit for one in shown for end in _ends(one.figures[metric])]
    heights = [end for one in shown for end in _ends(one.figures["accuracy"])]
    with style():
        figure, axes = canvas(_HEIGHT, left=64, right=18)
        scale(axes.xaxis, kind, min(ends), max(ends))
        scale(axes.yaxis, "percent", min(heights), max(heights))
        _steps(axes, [one for one in shown if front in one.best], metric, unit)
        for one in shown:
            colour = LIGHT[series_name(precisions.index(one.configuration.precision))]
            _point(axes, one, metric, unit, colour, front in one.best)
        for number, name in enumerate(precisions):
            axes.plot([], [], "o", color=LIGHT[series_name(number)], label=printable(name))
        axes.legend(loc="lower right", fontsize=FONT_SIZE - 1, frameon=False)
        name_axes(axes, title, "Accuracy")
    best = sorted(
        (one for one in shown if front in one.best),
        key=lambda one: one.figures[metric].number or 0.0,
    )
    return Drawing(
        f"front-{front}",
        f"Accuracy against {title.lower()}",
        f"On the front, the cheapest first: {', '.join(shortened(b.name, _NAME) for b in best)}. "
        "Filled points are on it; crosses are 95 % intervals.",
        f"Accuracy and {title.lower()} of {plural(len(shown), 'candidate')}; a table has them.",
        figure,
        WIDTH,
    )


def _point(axes: Any, one: Result, metric: str, unit: float, colour: str, filled: bool) -> None:
    cost, accuracy = one.figures[metric], one.figures["accuracy"]
    x, y = (cost.number or 0.0) * unit, accuracy.number or 0.0
    low, high = (end * unit for end in _ends(cost))
    axes.plot([low, high], [y, y], color=colour, lw=1, alpha=0.6)
    axes.plot([x, x], _ends(accuracy), color=colour, lw=1, alpha=0.6)
    face = colour if filled else LIGHT["paper"]
    axes.plot([x], [y], "o", markersize=7, markeredgecolor=colour, markerfacecolor=face)


def _steps(axes: Any, best: Sequence[Result], metric: str, unit: float) -> None:
    """Draw what the front dominates."""
    points = sorted(
        ((one.figures[metric].number or 0.0) * unit, one.figures["accuracy"].number or 0.0)
        for one in best
    )
    if points:
        xs = [x for x, _ in points]
        ys = [y for _, y in points]
        axes.step(xs, ys, where="post", color=LIGHT["ink"], lw=1.1, linestyle=(0, (4, 3)))


def _ends(known: Known) -> tuple[float, float]:
    number = known.number or 0.0
    return (
        number if known.low is None else known.low,
        number if known.high is None else known.high,
    )
