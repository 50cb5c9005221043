"""Time per operator: a table of all, and a plot of those that take the most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from edge_tester.core.record import OperatorTime, Profile
from edge_tester.core.results.words import (
    NOT_AVAILABLE,
    Unit,
    plural,
    printable,
    shortened,
    unit_for,
)
from edge_tester.report._details import Table
from edge_tester.report._theme import LIGHT, series_name
from edge_tester.report.plots import FONT_SIZE, WIDTH, Drawing, canvas, scale, style

if TYPE_CHECKING:
    from edge_tester.report.context import RecordView

TITLE: Final = "Time per operator"
# Bars of the plot; what is left becomes one more.
SHOWN: Final = 15
_ROW = 34
_LONGEST_NAME = 46
# Times come behind, and are to be seen without scrolling; the record has the whole names.
_TABLE_TYPE, _TABLE_NAME = 32, 42


def profile_table(profile: Profile | None) -> Table | None:
    """Return the times of all operators in their order, or why there are none."""
    if profile is None:
        return None
    if not profile.operators:
        rows = [["Times", NOT_AVAILABLE], ["Why", profile.unavailable], ["Tool", profile.tool]]
        return Table(TITLE, [], rows)
    unit = unit_for("time", [max(one.time_ns for one in profile.operators)])
    rows = [
        [
            str(one.place),
            shortened(one.type, _TABLE_TYPE),
            _named(one),
            _shape(one),
            one.delegate or NOT_AVAILABLE,
            _time(one.time_ns, unit, profile.resolution_ns),
            f"{100 * profile.share(one):.1f}",
        ]
        for one in profile.operators
    ]
    head = ["Place", "Operator", "Name", "Output", "Run by", f"Time ({unit.name})", "Share (%)"]
    return Table("Time of all operators", head, rows, texts=5, note=profile.words)


def profile_drawing(view: RecordView) -> Drawing | None:
    """Return the plot of the operators that take the most, None where there are no times."""
    profile = view.record.profile
    if profile is None or not profile.operators:
        return None
    most = sorted(profile.operators, key=lambda one: -one.time_ns)
    # One that is left alone can be shown as well.
    shown = most if len(most) <= SHOWN + 1 else most[:SHOWN]
    rest = most[len(shown) :]
    colour = LIGHT[series_name(view.position)]
    with style():
        figure, axes = canvas(_ROW * (len(shown) + bool(rest)) + 58, left=12, right=20, top=6)
        times_ns = [one.time_ns for one in shown] + [sum(one.time_ns for one in rest)] * bool(rest)
        scale(axes.xaxis, "time", 0, float(max(times_ns)))
        axes.set_ylim(len(times_ns), 0)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        for row, one in enumerate(shown):
            label = f"{one.place} {one.type}" + (f"  {one.name}" if one.name != one.type else "")
            _bar(axes, row, one.time_ns, label.rstrip(), profile.share(one), colour)
        if rest:
            label = f"{plural(len(rest), 'other')}, each less than these"
            share = times_ns[-1] / profile.total_ns
            _bar(axes, len(shown), times_ns[-1], label, share, LIGHT["muted"])
        axes.set_xlabel("Time in one inference of the profiled run")
    kind = "differences between beginnings of the graph" if profile.differences else profile.tool
    return Drawing(
        "operator-times",
        TITLE,
        f"Those that take the most, by {kind}, with their place in the graph and their share of "
        "all. Profiled in a run of its own, whose times are longer than timed ones: shares count.",
        f"Times of {plural(len(profile.operators), 'operator')}, which are in the table.",
        figure,
        WIDTH,
    )


def _bar(axes: Any, row: int, time_ns: int, label: str, share: float, colour: str) -> None:
    axes.barh(row + 0.74, time_ns, height=0.34, color=colour, linewidth=0)
    transform = axes.get_yaxis_transform()
    text = printable(shortened(label, _LONGEST_NAME))
    axes.text(0, row + 0.32, text, transform=transform, va="center", fontsize=FONT_SIZE - 1)
    axes.text(
        1,
        row + 0.32,
        f"{100 * share:.1f} %",
        color=LIGHT["muted"],
        transform=transform,
        ha="right",
        va="center",
        fontsize=FONT_SIZE - 1,
    )


def _named(one: OperatorTime) -> str:
    name = shortened(one.name, _TABLE_NAME)
    if not one.fused:
        return name
    return (
        f"{name} (fused: {', '.join(shortened(each, _TABLE_NAME) for each in one.fused)})".strip()
    )


def _shape(one: OperatorTime) -> str:
    if one.shapes is None:
        return NOT_AVAILABLE
    dtypes: Sequence[str] = one.dtypes or [""] * len(one.shapes)
    sizes = ["×".join(map(str, shape)) or "scalar" for shape in one.shapes]
    pairs = zip(sizes, dtypes, strict=False)
    return ", ".join(f"{size} {dtype}".rstrip() for size, dtype in pairs)


def _time(time_ns: int, unit: Unit, resolution_ns: int) -> str:
    """Return a time with the digits that the tool's steps support."""
    digits = min(3, max(0, math.floor(math.log10(unit.size / resolution_ns))))
    return f"{time_ns / unit.size:,.{digits}f}"
