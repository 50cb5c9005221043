"""What a sweep leaves as tables, and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

import edge_tester
from edge_tester.core.analysis import Analysis, layer_rows, summary_row
from edge_tester.core.results.known import Known
from edge_tester.core.results.tables import csv_of
from edge_tester.core.search.fronts import Fronts, Result, by_constraints
from edge_tester.core.search.limits import METRICS
from edge_tester.core.search.settings import FRONTS, SweepSettings
from edge_tester.core.search.space import PRECISION
from edge_tester.core.system.files import write_atomically

Row = dict[str, Any]
# Options of a compression that decide what network there is, not what it has learned.
_SHAPING = ("pruning", "importance", "scope", "steps", "sparsity", "sparsity_fraction")


def write_tables(
    found: Fronts,
    settings: SweepSettings,
    analyses: dict[str, Analysis],
    directory: Path,
) -> None:
    """Write all tables of a sweep, and ``summary.json``.

    Parameters
    ----------
    found : Fronts
    settings : SweepSettings
    analyses : dict of str to Analysis
        Of the deployed files, by the name of the result.
    directory : Path
    """
    results = found.results
    tables = {
        "sweep_results.csv": result_rows(results, settings),
        "pareto_frontier_latency.csv": front_rows(results, "latency"),
        "pareto_frontier_energy.csv": front_rows(results, "energy"),
        "pareto_frontier_memory.csv": front_rows(results, "memory"),
        "precision_tradeoffs.csv": precision_rows(results),
        "layerwise_breakdown.csv": [
            {**row, "model": name} for name, one in analyses.items() for row in layer_rows(one)
        ],
        "hardware_summary.csv": [
            {**summary_row(one), "model": name} for name, one in analyses.items()
        ],
    }
    for name, rows in tables.items():
        content = csv_of(rows) if rows else ""
        write_atomically(directory / name, content.encode("utf-8", "replace"))
    write_atomically(directory / "summary.json", _summary(found, settings))


def result_rows(results: Sequence[Result], settings: SweepSettings) -> list[Row]:
    """Return a row for each configuration, with all figures and their intervals."""
    options = list(dict.fromkeys(name for one in results for name in one.configuration.compression))
    rows = []
    for one in results:
        row: Row = {"name": one.name, PRECISION: one.configuration.precision}
        row |= {name: one.configuration.compression.get(name) for name in options}
        row |= {"seeds": len(one.trials), "stage": _stage(one)}
        for metric in METRICS:
            row |= _cells(metric, one.figures.get(metric, Known()))
        latency = one.figures.get("latency_p50_ms", Known()).number
        if settings.cpu_frequency_scale != 1:
            row["latency_p50_ms_at_frequency_scale_estimate"] = (
                None if latency is None else latency / settings.cpu_frequency_scale
            )
        row["energy_is_estimate"] = "estimate" in one.figures.get("energy_mj", Known()).why
        row["feasibility"] = one.judgement.feasibility
        row["violated"] = "; ".join(one.judgement.violated)
        for name in settings.memory_budgets_mib:
            flag = f"budget {name}:"
            row[f"over_budget_{name}"] = any(w.startswith(flag) for w in one.judgement.violated)
        for front in FRONTS:
            row[f"on_front_{front}"] = front in one.best
            row[f"on_front_{front}_probability"] = one.fronts.get(front)
        rows.append(row)
    return rows


def front_rows(results: Sequence[Result], front: str) -> list[Row]:
    """Return a row for each candidate on a front by its figures, the cheapest first."""
    metric = FRONTS[front]
    chosen = [one for one in results if front in one.best]
    rows = [
        {
            "name": one.name,
            PRECISION: one.configuration.precision,
            **_cells("accuracy", one.figures["accuracy"]),
            **_cells(metric, one.figures[metric]),
            "probability": one.fronts[front],
            "feasibility": one.judgement.feasibility,
        }
        for one in chosen
    ]
    return sorted(rows, key=lambda row: float(row[metric]))


def precision_rows(results: Sequence[Result]) -> list[Row]:
    """Return a row for each compression and precision, with what the precision changes.

    Compared are candidates of the same pruned network, with the first one.
    """
    groups: dict[str, list[Result]] = {}
    for one in results:
        own = {k: v for k, v in one.configuration.compression.items() if k in _SHAPING}
        groups.setdefault(repr(sorted(own.items())), []).append(one)
    rows = []
    for group in groups.values():
        first = group[0]
        for one in group:
            row: Row = {
                "name": one.name,
                PRECISION: one.configuration.precision,
                "compared_with": first.configuration.precision,
            }
            for metric in ("accuracy", "latency_p50_ms", "energy_mj", "model_memory_mib"):
                ours, theirs = (x.figures.get(metric, Known()).number for x in (one, first))
                row[metric] = ours
                known = ours is not None and theirs is not None
                if metric == "accuracy":
                    row["accuracy_change_points"] = (
                        100 * (ours - theirs) if known else None  # type: ignore[operator]
                    )
                else:
                    row[f"{metric}_ratio"] = (
                        ours / theirs if known and theirs else None  # type: ignore[operator]
                    )
            rows.append(row)
    return rows


def _summary(found: Fronts, settings: SweepSettings) -> bytes:
    recommendations = {
        front: None if one is None else one.name
        for front, one in by_constraints(found.results).items()
    }
    content = {
        "edge_tester": edge_tester.__version__,
        "candidates": len(found.results),
        "feasibility": {one.name: one.judgement.feasibility for one in found.results},
        "rejected": {
            one.name: list(one.judgement.violated)
            for one in found.results
            if one.judgement.feasibility == "infeasible"
        },
        "failed": {
            trial.name: trial.reason
            for one in found.results
            for trial in one.trials
            if trial.stage == "failed"
        },
        "fronts": {
            front: [one.name for one in found.results if front in one.best] for front in FRONTS
        },
        "hypervolumes": found.areas,
        "recommended": recommendations,
        "undecided_until_measured_longer": found.more,
        "undecided_until_more_test_samples": found.samples,
        "limits": settings.limits.given(),
        "memory_budgets_mib": settings.memory_budgets_mib,
        "active_budget": settings.active_budget,
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=1)


def _cells(metric: str, known: Known) -> Row:
    cells: Row = {metric: known.number}
    if not METRICS[metric].static and metric != "latency_std_ms":
        cells |= {f"{metric}_low": known.low, f"{metric}_high": known.high}
    return cells


def _stage(one: Result) -> str:
    stages = {trial.stage for trial in one.trials}
    return next(stage for stage in ("failed", "rejected", "measured") if stage in stages)
