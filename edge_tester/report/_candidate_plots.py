"""Plots of what is known of candidates beside latency and quality: memory, power."""

from __future__ import annotations

from collections.abc import Sequence

from edge_tester.core.pipeline.decision import Candidate
from edge_tester.core.results.known import Known
from edge_tester.core.results.words import plural, printable, shortened
from edge_tester.report._theme import LIGHT
from edge_tester.report.plots import FONT_SIZE, WIDTH, Drawing, canvas, style

_ROW = 38
_LONGEST_NAME = 40
_SHOWN = {"memory_mib": ("Peak memory", "MiB"), "power_w": ("Power while it infers", "W")}


def candidate_drawings(candidates: Sequence[Candidate]) -> list[Drawing]:
    """Return a plot for each figure that at least two candidates have."""
    found = []
    for key in _SHOWN:
        known = [
            (one.name, one.figures[key])
            for one in candidates
            if one.figures.get(key, Known()).number is not None and not one.simulated
        ]
        if len(known) > 1:
            found.append(_bars(key, known))
    return found


def _bars(key: str, known: Sequence[tuple[str, Known]]) -> Drawing:
    title, unit = _SHOWN[key]
    numbers = [one.number or 0.0 for _, one in known]
    with style():
        figure, axes = canvas(_ROW * len(known) + 58, left=12, right=20, top=6)
        axes.set_xlim(0, 1.08 * max([*numbers, *(one.high or 0.0 for _, one in known)]))
        axes.set_ylim(len(known), 0)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        for row, ((name, one), number) in enumerate(zip(known, numbers, strict=True)):
            colour = LIGHT["series-1"]
            axes.barh(row + 0.74, number, height=0.3, color=colour, linewidth=0)
            if one.low is not None and one.high is not None:
                axes.plot([one.low, one.high], [row + 0.74] * 2, color=LIGHT["ink"], linewidth=1.2)
            transform = axes.get_yaxis_transform()
            label = printable(shortened(name, _LONGEST_NAME))
            small = FONT_SIZE - 1
            axes.text(0, row + 0.32, label, transform=transform, va="center", fontsize=small)
            axes.text(
                1,
                row + 0.32,
                f"{number:.4g} {unit}",
                color=LIGHT["muted"],
                transform=transform,
                ha="right",
                va="center",
                fontsize=small,
            )
        axes.set_xlabel(f"{title} ({unit})")
    return Drawing(
        key.replace("_", "-"),
        title,
        "The thin line is the 95 % interval, where there is one.",
        f"{title} of {plural(len(known), 'candidate')}, which are in the table of the decision.",
        figure,
        WIDTH,
    )
