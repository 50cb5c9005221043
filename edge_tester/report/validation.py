"""Whether conversions still answer as their source does: a table and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from edge_tester.core.checking.outputs import ComparedOutput
from edge_tester.core.checking.validation import Conversion, Validation
from edge_tester.core.results.words import amount, plural, printable, shortened
from edge_tester.report._details import Table
from edge_tester.report._theme import LIGHT
from edge_tester.report.context import Report
from edge_tester.report.page import Section
from edge_tester.report.plots import FONT_SIZE, WIDTH, Drawing, canvas, style

_ROW = 40
_LONGEST_NAME = 44
_COLOURS: Final = {"alike": "supported", "differs": "warning", "unknown": "muted"}
WORDS: Final = {"alike": "agrees", "differs": "differs", "unknown": "not known"}
_NONE = "-"


def findings_of(validation: Validation) -> list[str]:
    """Say to somebody who must decide what a validation shows."""
    found = []
    words = {
        "alike": "within the tolerances",
        "unknown": "not known: more samples would tell",
        "differs": "not within the tolerances",
    }
    for verdict, text in words.items():
        names = [one.name for one in validation.conversions if one.verdict == verdict]
        if names:
            found.append(f"{_listed(names)}: {text}.")
    equal = [
        one.name
        for one in validation.conversions
        if one.outputs and all(output.agreement.identical for output in one.outputs)
    ]
    if equal:
        found.append(f"{_listed(equal)}: equal to {validation.source} in every value.")
    if validation.failures:
        found.append(f"{_listed(list(validation.failures))}: could not be made or run.")
    return found


def validation_section(validation: Validation, report: Report | None = None) -> Section:
    """Return the chapter on all conversions.

    Parameters
    ----------
    validation : Validation
    report : Report, optional
        Of the runs, for their latencies.
    """
    tolerances = validation.tolerances
    notes = [
        "The largest difference is a part of the largest value of the output. Allowed are "
        f"{tolerances.float32:g} for float32 and {tolerances.float16:g} for float16; integers must "
        f"answer with the same class for {100 * tolerances.agreement:g} % of the samples and lose "
        f"no more than {100 * tolerances.loss:g} points of accuracy, or keep "
        f"{tolerances.signal_to_noise_db:g} dB where there are no classes."
    ]
    if validation.random:
        notes.append(
            "The samples are random numbers: what a model answers to them tells little of what it "
            "answers to those of the device."
        )
    why = [[one.name, " ".join(one.reasons)] for one in validation.conversions]
    folded = [Table("Why", ["Conversion", "Reason"], why)] if why else []
    for title, reasons in (
        ("Could not be made or run", validation.failures),
        ("Not tried", validation.lacking),
    ):
        if reasons:
            rows = [list(pair) for pair in reasons.items()]
            folded.append(Table(title, ["Conversion", "Reason"], rows))
    folded += [_outputs_table(one) for one in validation.conversions if one.outputs]
    drawing = _drawing(validation.conversions)
    return Section(
        "conversions",
        "Conversions compared with their source",
        [f"{plural(validation.samples, 'sample')} through the source and each conversion."],
        [_table(validation, report)] if validation.conversions else [],
        [] if drawing is None else [drawing],
        folded,
        notes,
    )


def _table(validation: Validation, report: Report | None) -> Table:
    rows = []
    for one in validation.conversions:
        worst = _worst(one)
        ratio = worst.agreement.signal_to_noise_db if worst else None
        shares = [o.agreement.top1 for o in one.outputs if o.agreement.top1 is not None]
        answers = one.answers
        rows.append(
            [
                one.name,
                WORDS[one.verdict],
                one.precision,
                _NONE if worst is None else _difference(worst),
                _NONE if ratio is None else f"{ratio:.1f}",
                f"{100 * min(shares):.4g}" if shares else _NONE,
                _NONE if answers is None else f"{answers.now_right:,} / {answers.now_wrong:,}",
                amount(one.size_bytes, "bytes").replace(" ", "\N{NO-BREAK SPACE}"),
                "simulated" if one.simulated else _latency(one.name, report),
            ]
        )
    head = ["Conversion", "Verdict", "Computes in", "Largest difference", "SQNR (dB)"]
    head += ["Same class (%)", "Now right / wrong", "Size", "Latency p50"]
    return Table("", head, rows, texts=3)


def _latency(name: str, report: Report | None) -> str:
    if report is None:
        return _NONE
    for view in report.views:
        value = view.values.get("p50")
        if view.label == name and value is not None and value.number is not None:
            return amount(float(value.number), "time").replace(" ", "\N{NO-BREAK SPACE}")
    return _NONE


def _worst(one: Conversion) -> ComparedOutput | None:
    return max(one.outputs, key=lambda output: output.agreement.max_relative, default=None)


def _difference(output: ComparedOutput) -> str:
    return "0" if output.agreement.identical else f"{output.agreement.max_relative:.2g}"


def _outputs_table(one: Conversion) -> Table:
    rows = []
    for output in one.outputs:
        found = output.agreement
        rows.append(
            [
                output.name,
                output.moved or "as it is",
                "×".join(map(str, output.shape)) or "scalar",
                *(f"{value:.4g}" for value in (found.l2_mean, found.l2_max)),
                *(f"{value:.4g}" for value in (found.max_absolute, found.max_relative)),
                *(_told(v) for v in (found.cosine_mean, found.cosine_min)),
                *(_told(v) for v in (found.signal_to_noise_db, found.kl_mean)),
                _NONE if found.top1 is None else f"{100 * found.top1:.4g}",
                f"{found.not_finite:,}",
            ]
        )
    head = ["Output", "Order", "Shape", "L2 mean", "L2 max", "Max difference", "of the largest"]
    head += ["Cosine mean", "Cosine min", "SQNR (dB)", "KL (nat)", "Same class (%)", "NaN or inf"]
    return Table(f"All figures of {one.name}", head, rows, texts=3)


def _told(value: float | None) -> str:
    return _NONE if value is None else f"{value:.4g}"


def _drawing(conversions: Sequence[Conversion]) -> Drawing | None:
    """Return the plot of signal-to-noise ratios, None where there is nothing to show."""
    shown = [(one, worst) for one in conversions if (worst := _worst(one)) is not None]
    if not shown:
        return None
    ratios = [worst.agreement.signal_to_noise_db for _, worst in shown]
    most = max([60.0, *(value for value in ratios if value is not None)])
    with style():
        figure, axes = canvas(_ROW * len(shown) + 58, left=12, right=20, top=6)
        axes.set_xlim(min([0.0, *(v for v in ratios if v is not None)]), 1.08 * most)
        axes.set_ylim(len(shown), 0)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        for row, (one, worst) in enumerate(shown):
            _bar(axes, row, one, worst.agreement.signal_to_noise_db, 1.08 * most)
        axes.set_xlabel("Signal-to-noise ratio against the source (dB)")
    return Drawing(
        "signal-to-noise",
        "How near each conversion comes",
        "Of the output that differs most. Every 20 dB are one more digit that agrees; integers of "
        "8 bits keep about 20 to 40 dB, float32 more than 100 dB. A bar to the end has no "
        "difference at all.",
        f"Signal-to-noise ratios of {plural(len(shown), 'conversion')}, which are in the table.",
        figure,
        WIDTH,
    )


def _bar(axes: Any, row: int, one: Conversion, ratio: float | None, end: float) -> None:
    colour = LIGHT[_COLOURS[one.verdict]]
    axes.barh(row + 0.74, end if ratio is None else ratio, height=0.3, color=colour, linewidth=0)
    transform = axes.get_yaxis_transform()
    name = printable(shortened(one.name, _LONGEST_NAME))
    told = "no difference" if ratio is None else f"{ratio:.1f} dB"
    axes.text(0, row + 0.32, name, transform=transform, va="center", fontsize=FONT_SIZE - 1)
    axes.text(
        1,
        row + 0.32,
        f"{told}, {WORDS[one.verdict]}",
        color=LIGHT["muted"],
        transform=transform,
        ha="right",
        va="center",
        fontsize=FONT_SIZE - 1,
    )


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
