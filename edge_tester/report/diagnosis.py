"""Where conversions break, what to do about it, why one is slow: chapters of a page."""

from __future__ import annotations

from collections.abc import Iterator

from edge_tester.core.checking.calibrating import CalibrationReport
from edge_tester.core.checking.cutting import CutDown
from edge_tester.core.checking.diagnosis import Diagnosis
from edge_tester.core.checking.findings import Layers
from edge_tester.core.checking.operators import Operators
from edge_tester.core.checking.selective import Selection
from edge_tester.core.results.words import amount
from edge_tester.report._details import Table
from edge_tester.report._layers import layers_drawing, layers_table
from edge_tester.report._selective import (
    calibration_drawing,
    calibration_table,
    harm_table,
    ranges_table,
    selection_drawing,
    selection_table,
)
from edge_tester.report.page import Section

_MOST_OPERATORS = 12


def diagnosis_sections(diagnosis: Diagnosis) -> list[Section]:
    """Return a chapter for each thing that was looked into, and one for what could not be."""
    return list(_sections(diagnosis))


def findings_of(diagnosis: Diagnosis) -> list[str]:
    """Say what was found, a sentence for each conversion."""
    found = [f"{name}: {words}." for name, words in diagnosis.feeding.items()]
    for name, layers in diagnosis.layers.items():
        if (layer := layers.broken) is not None:
            found.append(
                f"{name} breaks at {layer.kind} {layer.name!r}"
                + (
                    f"; {diagnosis.cuts[name].folder} has the part that shows it."
                    if name in diagnosis.cuts
                    else "."
                )
            )
        else:
            found.append(f"{name}: no layer stands out.")
    for name, one in diagnosis.selections.items():
        step = one.steps[one.chosen]
        if not step.kept:
            found.append(f"{name} needs no layer in float.")
        elif one.reached:
            found.append(f"{name} reaches its goal with {len(step.kept)} layers in float.")
        else:
            found.append(f"{name} does not reach its goal with {len(step.kept)} layers in float.")
    return found


def _sections(diagnosis: Diagnosis) -> Iterator[Section]:
    for number, (name, layers) in enumerate(diagnosis.layers.items()):
        yield _layers(f"layers-{number}", name, layers, diagnosis.cuts.get(name))
    for number, (name, selection) in enumerate(diagnosis.selections.items()):
        yield _selection(f"selective-{number}", name, selection)
    for number, (name, report) in enumerate(diagnosis.calibrations.items()):
        yield _calibration(f"calibration-{number}", name, report)
    for number, (name, operators) in enumerate(diagnosis.operators.items()):
        yield _operators(f"operators-{number}", name, diagnosis.profiled, operators)
    if diagnosis.reasons:
        yield Section("not-found-out", "What could not be found out", diagnosis.reasons)


def _layers(anchor: str, name: str, layers: Layers, cut: CutDown | None) -> Section:
    sentences = [layers.words]
    if cut is not None:
        sentences.append(
            f"The part in {cut.folder} computes {cut.operators} of {cut.operators_whole} tensors "
            f"and shows {100 * min(1.0, cut.share):.0f} % of the difference; reproduce.py there "
            "needs nothing but the framework."
        )
    drawing = layers_drawing(layers)
    notes = [*layers.remarks, *(cut.remarks if cut else [])]
    return Section(
        anchor,
        f"Layers of {name}",
        sentences,
        [],
        [] if drawing is None else [drawing],
        [layers_table(layers)],
        notes,
    )


def _selection(anchor: str, name: str, one: Selection) -> Section:
    kept = ", ".join(one.keep_float) or "none"
    said = "is reached" if one.reached else "is not reached"
    figures = {
        "accuracy": "accuracy",
        "agreement": "answers in common with the source",
        "signal_to_noise_db": "signal-to-noise ratio (dB)",
    }
    sentences = [
        f"The goal, at least {one.goal:.4g} of {figures[one.figure]}, {said}. In float: {kept}.",
        f"The file is {one.path}; --keep-float of the compiler makes it again.",
    ]
    harm = harm_table(one)
    return Section(
        anchor,
        f"Layers of {name} left in float",
        sentences,
        [selection_table(one)],
        [selection_drawing(one)] if len(one.steps) > 1 else [],
        [] if harm is None else [harm],
    )


def _calibration(anchor: str, name: str, report: CalibrationReport) -> Section:
    drawing, ranges = calibration_drawing(report), ranges_table(report)
    return Section(
        anchor,
        f"Calibrations of {name}",
        [],
        [calibration_table(report)],
        [] if drawing is None else [drawing],
        [] if ranges is None else [ranges],
        report.left_out,
    )


def _operators(anchor: str, name: str, first: str, found: Operators) -> Section:
    rows = [
        [
            one.type,
            one.name,
            *(amount(time_ns, "time") for time_ns in one.times_ns),
            *(f"{100 * share:.1f}" for share in one.shares),
            " → ".join(str(each) for each in one.delegates) if one.moved else "the same",
        ]
        for one in found.timed[:_MOST_OPERATORS]
    ]
    head = ["Operator", "Name", first, name, f"{first} (%)", f"{name} (%)", "Run by"]
    tables = [Table("Operators in both, the most slowed one first", head, rows, texts=2)]
    left = [
        [kind, *(amount(times.get(kind), "time") if times.get(kind) else "-" for times in sides)]
        for sides in [found.left_over]
        for kind in sorted({*sides[0], *sides[1]})
    ]
    folded = [Table("In one alone", ["Operator", first, name], left, texts=1)] if left else []
    there = [
        f"{one.types[0]} at {one.places[0]} and {one.types[1]} at {one.places[1]} undo each other: "
        f"{100 * one.share:.1f} % of the time of {name}."
        for one in found.conversions[1].there_and_back
    ]
    sentences = [
        f"Of the time of {each}, {100 * converted.share:.1f} % goes into layouts and types, by "
        f"{converted.count} operators."
        for each, converted in zip((first, name), found.conversions, strict=True)
    ]
    if found.moved:
        sentences.append(f"{len(found.moved)} operators are run by something else.")
    notes = ["Times are those of profiled runs: shares count."]
    return Section(
        anchor,
        f"{name} beside {first}, operator by operator",
        [*sentences, *there],
        tables,
        [],
        folded,
        notes,
    )
