"""What leaving layers in float regains, and what calibrations come to: tables and plots."""

from __future__ import annotations

from typing import Final

from edge_tester.core.checking.calibrating import CalibrationReport, Trial
from edge_tester.core.checking.scoring import Worth
from edge_tester.core.checking.selective import Selection
from edge_tester.core.results.words import NOT_AVAILABLE, Kind, amount, plural, shortened
from edge_tester.report._details import Table
from edge_tester.report._theme import LIGHT, MARKERS, SERIES
from edge_tester.report.plots import FONT_SIZE, WIDTH, Drawing, canvas, name_axes, scale, style

SELECTION_TITLE: Final = "Layers in float"
CALIBRATION_TITLE: Final = "Calibration"
_FIGURES = {
    "accuracy": "Accuracy",
    "agreement": "Same class as in float",
    "signal_to_noise_db": "Signal to noise (dB)",
}
_LONGEST_NAME = 42
# Tensors and layers of the ranking that a report shows; the others do no harm to speak of.
_SHOWN = 15


def selection_table(selection: Selection) -> Table:
    """Return all quantizations that were tried, in their order."""
    rows = [
        [
            f"{number}" + (" (chosen)" if number == selection.chosen else ""),
            f"{step.weighted} of {selection.weighted_layers}",
            amount(step.weights_in_float, "percent"),
            *_worth(step.worth),
            amount(step.size_bytes, "bytes"),
            NOT_AVAILABLE if step.latency_ns is None else amount(step.latency_ns, "time"),
        ]
        for number, step in enumerate(selection.steps)
    ]
    source = ["float", *[NOT_AVAILABLE] * 2, *_worth(selection.source), *[NOT_AVAILABLE] * 2]
    head = ["Step", "Layers in float", "Weights in float", *_FIGURES.values(), "Size", "Latency"]
    goal = (
        f"{selection.goal:.1f} dB"
        if selection.figure == "signal_to_noise_db"
        else amount(selection.goal, "percent")
    )
    kept = ", ".join(shortened(one, _LONGEST_NAME) for one in selection.keep_float) or "none"
    end = "is reached" if selection.reached else "is not reached"
    return Table(
        SELECTION_TITLE,
        head,
        [source, *rows],
        texts=2,
        note=f"The goal, {_FIGURES[selection.figure].lower()} of at least {goal}, {end}. Layers "
        "with weights are counted. Judged on "
        f"{plural(selection.source.samples, 'sample')} that are not measured. In float: {kept}.",
    )


def harm_table(selection: Selection) -> Table | None:
    """Return the tensors and layers that harm most; None if nothing was ranked."""
    if not selection.ranking:
        return None
    rows = [
        [shortened(one.name, _LONGEST_NAME), one.what, str(len(one.layers)), f"{one.harm:.3g}"]
        for one in selection.ranking[:_SHOWN]
    ]
    return Table(
        "What harms most",
        ["Name", "What", "Layers", "Harm"],
        rows,
        texts=2,
        note="Power of the error of the scores as part of their own where nothing else is "
        "quantized. A tensor is in float only if all its layers are.",
    )


def selection_drawing(selection: Selection) -> Drawing:
    """Return the plot of the figure that is judged by, over the layers in float."""
    kind: Kind = "number" if selection.figure == "signal_to_noise_db" else "percent"
    known = [
        (step.weighted, value, number)
        for number, step in enumerate(selection.steps)
        if (value := getattr(step.worth, selection.figure)) is not None
    ]
    source = getattr(selection.source, selection.figure)
    levels = [value for _, value, _ in known] + [selection.goal]
    levels += [] if source is None else [source]
    with style():
        figure, axes = canvas(260)
        scale(axes.yaxis, kind, min(levels), max(levels))
        axes.set_xlim(-0.3, max([one[0] for one in known], default=0) + 0.7)
        axes.xaxis.get_major_locator().set_params(integer=True)
        for level, name, colour in (
            (source, "float", LIGHT["muted"]),
            (selection.goal, "goal", LIGHT["accent"]),
        ):
            if level is not None:
                axes.axhline(level, color=colour, linewidth=1, dashes=(4, 3))
                axes.annotate(
                    name,
                    (1, level),
                    xycoords=("axes fraction", "data"),
                    xytext=(0, 3 if name == "float" else -11),
                    textcoords="offset points",
                    ha="right",
                    color=colour,
                    fontsize=FONT_SIZE - 1,
                )
        for weighted, value, number in known:
            chosen = number == selection.chosen
            axes.plot(
                [weighted],
                [value],
                marker="D" if chosen else "o",
                markersize=8 if chosen else 6,
                color=LIGHT["series-2" if chosen else "series-1"],
                linestyle="none",
            )
        name_axes(
            axes,
            f"Layers in float, of {selection.weighted_layers} with weights",
            _FIGURES[selection.figure],
        )
    return Drawing(
        "layers-in-float",
        SELECTION_TITLE,
        "Each quantization that was tried; the diamond is the chosen one.",
        f"{_FIGURES[selection.figure]} of {plural(len(known), 'quantization')} over the number of "
        "layers in float; the table has the numbers.",
        figure,
        WIDTH,
    )


def calibration_table(report: CalibrationReport) -> Table:
    """Return methods and numbers of samples side by side."""
    rows = [
        [
            one.method or "the tool's own",
            f"{one.samples:,}",
            *_worth(one.worth),
            NOT_AVAILABLE if one.clipped is None else amount(one.clipped, "percent"),
        ]
        for one in report.trials
    ]
    source = ["float", NOT_AVAILABLE, *_worth(report.source), NOT_AVAILABLE]
    return Table(
        CALIBRATION_TITLE,
        ["Method", "Samples", *_FIGURES.values(), "Most clipped"],
        [source, *rows],
        texts=1,
        note=" ".join(
            [
                f"Judged on {plural(report.source.samples, 'sample')} that are not measured. Most "
                "clipped: the largest share of the values of one tensor that is beyond its range.",
                *(f"Left out: {one}" for one in report.left_out),
            ]
        ),
    )


def ranges_table(report: CalibrationReport) -> Table | None:
    """Return the range of each tensor in each trial; None where the compiler tells none."""
    names = list(dict.fromkeys(one.name for trial in report.trials for one in trial.ranges))
    if not names:
        return None
    columns = [{one.name: one for one in trial.ranges} for trial in report.trials]
    rows = []
    for name in names:
        cells = [shortened(name, _LONGEST_NAME)]
        for column in columns:
            one = column.get(name)
            if one is None:
                cells.append(NOT_AVAILABLE)
                continue
            share = "" if not one.clipped else f" ({amount(one.clipped, 'percent')})"
            cells.append(f"{one.minimum:.3g} to {one.maximum:.3g}{share}")
        rows.append(cells)
    return Table(
        "Ranges of all tensors",
        ["Tensor", *(_trial(one) for one in report.trials)],
        rows,
        note="In parentheses: the share of the values that are beyond, where there are any.",
    )


def calibration_drawing(report: CalibrationReport) -> Drawing | None:
    """Return the plot of the signal-to-noise ratio over the samples, a line for each method.

    None where no trial has a ratio.
    """
    lines: dict[str, list[tuple[int, float]]] = {}
    for one in report.trials:
        if (ratio := one.worth.signal_to_noise_db) is not None:
            lines.setdefault(one.method or "", []).append((one.samples, ratio))
    if not lines:
        return None
    counts = [count for line in lines.values() for count, _ in line]
    ratios = [ratio for line in lines.values() for _, ratio in line]
    with style():
        figure, axes = canvas(260)
        scale(axes.xaxis, "number", min(counts), max(counts))
        scale(axes.yaxis, "number", min(ratios), max(ratios))
        for place, (method, line) in enumerate(lines.items()):
            axes.plot(
                *zip(*line, strict=True),
                marker=MARKERS[place % len(MARKERS)],
                color=LIGHT[f"series-{place % SERIES + 1}"],
                linewidth=1.5,
                label=method,
            )
        if len(lines) > 1:
            axes.legend(frameon=False, fontsize=FONT_SIZE - 1)
        name_axes(axes, "Samples that were calibrated with", "Signal to noise (dB)")
    return Drawing(
        "calibration",
        CALIBRATION_TITLE,
        "Ratio of the scores of the model in float to their error; more is better.",
        f"Signal-to-noise ratio of {plural(len(report.trials), 'calibration')} over the number of "
        "samples; the table has the numbers.",
        figure,
        WIDTH,
    )


def _worth(worth: Worth) -> list[str]:
    ratio = worth.signal_to_noise_db
    return [
        NOT_AVAILABLE if worth.accuracy is None else amount(worth.accuracy, "percent"),
        NOT_AVAILABLE if worth.agreement is None else amount(worth.agreement, "percent"),
        NOT_AVAILABLE if ratio is None else f"{ratio:.1f}",
    ]


def _trial(one: Trial) -> str:
    return " ".join([*([one.method] if one.method else []), f"{one.samples:,}"])
