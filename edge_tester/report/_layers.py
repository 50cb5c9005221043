"""Layer by layer: how far a conversion is from its source along the graph, and a table of it."""

from __future__ import annotations

import math
from typing import Any, Final

from edge_tester.core.checking.findings import LIMITS_DB, Layer, Layers
from edge_tester.core.results.words import NOT_AVAILABLE, plural, printable, shortened
from edge_tester.report._details import Table
from edge_tester.report._theme import LIGHT
from edge_tester.report.plots import FONT_SIZE, WIDTH, Drawing, canvas, style

TITLE: Final = "Where the conversion differs, layer by layer"
_HEIGHT = 300
# Room above for two lines of legend, beside for the numbers.
_TOP, _LEFT = 50, 46
_LONGEST_NAME, _TABLE_NAME = 40, 42
# Of the axis of decibels, at either end.
_MARGIN_DB = 6
_MANY = 60


def layers_table(layers: Layers) -> Table:
    """Return all compared layers in the order of the conversion's graph."""
    head = ["Place", "Layer", "Name", "In the source", "Matched by", "Precision", "Verdict"]
    head += ["SQNR (dB)", "Its own (dB)", "Cosine", "Largest difference", "Largest value"]
    rows = [
        [
            str(one.place),
            one.kind,
            shortened(one.name, _TABLE_NAME),
            shortened(one.source, _TABLE_NAME),
            one.rule,
            one.precision,
            one.verdict,
            f"{one.sqnr_db:.1f}",
            NOT_AVAILABLE if one.own_sqnr_db is None else f"{one.own_sqnr_db:.1f}",
            NOT_AVAILABLE if one.cosine is None else f"{one.cosine:.5f}",
            f"{one.largest_difference:.3g}",
            f"{one.largest_value:.3g}",
        ]
        for one in layers.layers
    ]
    return Table(TITLE, head, rows, texts=7, note=" ".join([layers.words, *layers.remarks]))


def layers_drawing(layers: Layers) -> Drawing | None:
    """Return the plot of signal over noise along the graph, None where nothing was compared."""
    shown = layers.layers
    if not shown:
        return None
    with style():
        figure, axes = canvas(_HEIGHT, left=_LEFT, right=12, top=_TOP)
        places = range(len(shown))
        whole = [one.sqnr_db for one in shown]
        own = [math.nan if one.own_sqnr_db is None else one.own_sqnr_db for one in shown]
        limits = [LIMITS_DB[one.precision] for one in shown]
        size = 4.5 if len(shown) <= _MANY else 2.5
        axes.step(places, limits, where="mid", color=LIGHT["muted"], linestyle=(0, (4, 3)), lw=1)
        axes.plot(places, whole, color=LIGHT["series-1"], marker="o", markersize=size, lw=1.4)
        axes.plot(places, own, color=LIGHT["series-3"], marker="D", markersize=size, lw=0)
        known = [one for one in [*whole, *own, *limits] if not math.isnan(one)]
        axes.set_ylim(min(known) - _MARGIN_DB, max(known) + _MARGIN_DB)
        axes.set_xlim(-0.5, len(shown) - 0.5)
        axes.set_xlabel(f"{plural(len(shown), 'layer')} in the order of the graph")
        axes.set_xticks([])
        axes.set_ylabel("SQNR (dB)")
        if (broken := layers.broken) is not None:
            _mark(axes, shown.index(broken), broken)
        _legend(axes, any(not math.isnan(one) for one in own))
    return Drawing(
        "layers",
        TITLE,
        "Signal over the difference to the source, in decibels: less is worse. Whole models pass "
        "on what came in wrong; a layer's own error is what it makes of the source's tensors. The "
        "dashed line is what the precision explains.",
        layers.words,
        figure,
        WIDTH,
    )


def _mark(axes: Any, place: int, layer: Layer) -> None:
    """Point at the layer that breaks."""
    axes.axvline(place, color=LIGHT["warning"], linewidth=1.2, zorder=0)
    low, high = axes.get_xlim()
    right = place > (low + high) / 2
    axes.annotate(
        printable(shortened(f"{layer.kind}  {layer.name}", _LONGEST_NAME)),
        (place, 1),
        xycoords=("data", "axes fraction"),
        xytext=(-5 if right else 5, -5),
        textcoords="offset points",
        ha="right" if right else "left",
        va="top",
        color=LIGHT["warning"],
        fontsize=FONT_SIZE - 1,
    )


def _legend(axes: Any, has_own: bool) -> None:
    lines = [("series-1", "of the whole models")]
    lines += [("series-3", "of the layer alone, given the source's tensors")] * has_own
    for row, (colour, text) in enumerate(reversed(lines)):
        axes.annotate(
            f"{'●' if colour == 'series-1' else '◆'} {text}",
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, 8 + 16 * row),
            textcoords="offset points",
            color=LIGHT[colour],
            fontsize=FONT_SIZE - 1,
        )
