"""What a sweep found: which candidates fit, which are on a front, and which one to deploy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from edge_tester.core.analysis import Analysis
from edge_tester.core.results.known import Known
from edge_tester.core.results.words import plural
from edge_tester.core.search.fronts import Fronts, Result, by_constraints
from edge_tester.core.search.limits import METRICS
from edge_tester.core.search.settings import FRONTS, SweepSettings
from edge_tester.core.search.tables import precision_rows
from edge_tester.report._details import Table
from edge_tester.report._sweep_plots import front_drawing
from edge_tester.report.analysis import layer_drawings
from edge_tester.report.page import Page, Section

_NONE: Final = "-"
_COLUMNS: Final = (
    "accuracy",
    "latency_p50_ms",
    "latency_p95_ms",
    "energy_mj",
    "model_memory_mib",
    "size_mib",
    "parameters",
    "macs",
)
_TABLES: Final = (
    "sweep_results.csv",
    "pareto_frontier_latency.csv",
    "pareto_frontier_energy.csv",
    "pareto_frontier_memory.csv",
    "precision_tradeoffs.csv",
    "layerwise_breakdown.csv",
    "hardware_summary.csv",
    "summary.json",
    "manifest.json",
)


def sweep_page(
    found: Fronts,
    settings: SweepSettings,
    analyses: Mapping[str, Analysis],
    about: Sequence[str],
    directory: Path,
) -> Page:
    """Return the page of a sweep.

    Parameters
    ----------
    found : Fronts
    settings : SweepSettings
    analyses : mapping of str to Analysis
        Of the deployed files, by the name of the result.
    about : sequence of str
        Model, data and target.
    directory : Path
        Of the run, for the commands.
    """
    chosen = by_constraints(found.results)
    return Page(
        "Sweep",
        "Candidates under hard limits",
        about,
        _findings(found, chosen),
        _cautions(found),
        [
            _decision(chosen, directory),
            _fronts(found),
            _candidates(found, settings),
            _precisions(found),
            *_layers(chosen, analyses),
        ],
    )


def _findings(found: Fronts, chosen: Mapping[str, Result | None]) -> list[str]:
    sentences = []
    names: dict[str, list[str]] = {}
    for front, one in chosen.items():
        if one is not None:
            names.setdefault(one.name, []).append(front)
    for name, fronts in names.items():
        sentences.append(f"For {_listed(fronts)}: {name}.")
    if not names:
        sentences.append("No candidate is shown to fit.")
    excluded = [one for one in found.results if one.judgement.feasibility == "infeasible"]
    if excluded:
        sentences.append(f"{plural(len(excluded), 'candidate')} excluded by the limits.")
    return sentences


def _cautions(found: Fronts) -> list[str]:
    cautions = []
    if found.more:
        cautions.append(
            f"Not decided, since latencies are not known well enough: {', '.join(found.more)}. "
            "More replicates (most_replicates) would tell."
        )
    if found.samples:
        cautions.append(
            f"Not decided, since the test samples are too few: {', '.join(found.samples)}."
        )
    failed = [t for one in found.results for t in one.trials if t.stage == "failed"]
    if failed:
        cautions.append(f"{plural(len(failed), 'candidate')} failed; the table says why.")
    if any("estimate" in one.figures.get("energy_mj", Known()).why for one in found.results):
        cautions.append(
            "Energies are estimates, latency times a power that nobody measured: they say what "
            "latencies say."
        )
    return cautions


def _decision(chosen: Mapping[str, Result | None], directory: Path) -> Section:
    rows = []
    for front, one in chosen.items():
        if one is None:
            rows.append([front, _NONE, _NONE, _NONE, "none is shown to fit"])
            continue
        verify = f"edge-tester sweep verify {directory} {one.name}"
        metric = FRONTS[front]
        cost = f"{METRICS[metric].title}: {_told(one.figures[metric])}"
        rows.append([front, one.name, _told(one.figures["accuracy"]), cost, verify])
    head = ["For", "Candidate", "Accuracy", "Cost", "Makes it again, and compares"]
    return Section(
        "decision",
        "What to deploy",
        [
            "Of the candidates that are shown to fit, those whose accuracy is within the interval "
            "of the best; of them the one with the lowest cost."
        ],
        [Table("", head, rows)],
        links=[(name, name) for name in _TABLES],
    )


def _fronts(found: Fronts) -> Section:
    drawings = [
        drawing
        for front, metric in FRONTS.items()
        if (drawing := front_drawing(found.results, front, metric)) is not None
    ]
    rows = [
        [one.name, *(_chance(one, front) for front in FRONTS)]
        for one in found.results
        if one.fronts
    ]
    areas = [f"{front} {area:.4g}" for front, area in found.areas.items()]
    tables = [Table("Probability of being on the front", ["Candidate", *FRONTS], rows, 1)]
    return Section(
        "fronts",
        "Accuracy against what it costs",
        [f"Hypervolumes: {', '.join(areas)}."] if areas else ["No candidate can be compared."],
        tables if rows else [],
        drawings,
        notes=[
            "A candidate is on a front if no other is at least as good in both and better in one. "
            "The probability says how often it is, over draws of what all figures may be: "
            "accuracies by resampling the samples that all answered about, costs from their "
            "intervals. Nothing that violates a limit competes.",
            "The hypervolume is the accuracy above 0 times the part of the highest cost that is "
            "saved, of all that is on the front.",
        ],
    )


def _candidates(found: Fronts, settings: SweepSettings) -> Section:
    rows = [
        [
            one.name,
            _verdict(one),
            *(_plainly(one.figures.get(metric, Known())) for metric in _COLUMNS),
        ]
        for one in found.results
    ]
    head = ["Candidate", "Limits", *(METRICS[metric].title for metric in _COLUMNS)]
    folded = []
    violated = [[one.name, what] for one in found.results for what in one.judgement.violated]
    if violated:
        folded.append(
            Table("Limits and budgets that are violated", ["Candidate", "What"], violated)
        )
    failed = [
        [t.name, t.reason] for one in found.results for t in one.trials if t.stage == "failed"
    ]
    if failed:
        folded.append(Table("Failed", ["Candidate", "Why"], failed))
    limits = [
        f"{name} {'at most' if METRICS[name].most else 'at least'} {limit:g}"
        for name, limit in settings.limits.given().items()
    ]
    if settings.active_budget is not None:
        budget = settings.memory_budgets_mib[settings.active_budget]
        limits.append(f"model memory at most {budget:g} MiB ({settings.active_budget})")
    seeds = len(settings.seeds)
    notes = [
        "Model memory is weights and the activations that are needed at a time, by the graph of "
        "the file. sweep_results.csv has all figures with their intervals, and the memory of the "
        "whole process."
    ]
    if seeds > 1:
        notes.append(f"Figures are means over {seeds} seeds.")
    return Section(
        "candidates",
        "All candidates",
        [f"Limits: {', '.join(limits) or 'none'}."],
        [Table("", head, rows, 2)],
        folded=folded,
        notes=notes,
    )


def _precisions(found: Fronts) -> Section:
    rows = []
    for row in precision_rows(found.results):
        cells = [row["name"], row["compared_with"]]
        for key in ("accuracy", "accuracy_change_points", "latency_p50_ms_ratio"):
            cells.append(_number(row[key]))
        cells.append(_number(row["model_memory_mib_ratio"]))
        rows.append(cells)
    head = ["Candidate", "Compared with", "Accuracy", "Change (points)", "Latency (ratio)"]
    return Section(
        "precisions",
        "What each precision changes",
        ["Candidates of the same pruned network, beside the first precision."],
        [Table("", [*head, "Model memory (ratio)"], rows, 2)] if rows else [],
    )


def _layers(chosen: Mapping[str, Result | None], analyses: Mapping[str, Analysis]) -> list[Section]:
    names = dict.fromkeys(one.name for one in chosen.values() if one is not None)
    return [
        Section(
            f"layers-{number}",
            f"Layers of {name}",
            drawings=layer_drawings(analyses[name]),
            notes=list(analyses[name].notes),
        )
        for number, name in enumerate(names)
        if name in analyses
    ]


def _verdict(one: Result) -> str:
    if any(trial.stage == "failed" for trial in one.trials):
        return "failed"
    words = {"feasible": "fits", "infeasible": "does not fit", "undecided": "not known"}
    return words[one.judgement.feasibility]


def _chance(one: Result, front: str) -> str:
    if front not in one.fronts:
        return _NONE
    mark = "front, " if front in one.best else ""
    return f"{mark}{100 * one.fronts[front]:.0f} %"


def _told(known: Known) -> str:
    if known.number is None:
        return _NONE
    text = f"{known.number:,.4g}"
    if known.low is not None and known.high is not None and known.high > known.low:
        text += f" ({known.low:,.4g} to {known.high:,.4g})"
    return text


def _plainly(known: Known) -> str:
    return _NONE if known.number is None else f"{known.number:,.4g}"


def _number(value: Any) -> str:
    return _NONE if value is None else f"{value:.4g}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
