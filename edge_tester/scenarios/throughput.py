"""Find the highest rate of arrivals that keeps a latency: ``edge-tester throughput``."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np

from edge_tester.core import registry
from edge_tester.core.backends import backend
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import Configurable, option
from edge_tester.core.pattern import LoadPattern
from edge_tester.core.record import RunRecord
from edge_tester.core.results.capacity import Capacity, Probe, probed, search
from edge_tester.core.results.words import number, unit_for
from edge_tester.core.run.benchmark import run_plan
from edge_tester.core.run.plan import Measurement, Plan
from edge_tester.report import render_html
from edge_tester.scenarios._command import Command, Parsed
from edge_tester.scenarios._plans import plan_of, with_random_inputs
from edge_tester.scenarios._program import Logging, guard
from edge_tester.scenarios._progress import TerminalProgress

# Of the queries that may be late, about so many come: fewer tell little of their share.
_ALLOWED_QUERIES = 20


class Searching(Configurable):
    """What rate is searched for."""

    latency_bound_ms: float = option(
        minimum=0, unit="ms", help="Longest latency of a query, from its arrival to its end"
    )
    percentile: float = option(
        99.0, minimum=1, maximum=99.99, unit="%", help="Share of the queries that shall keep it"
    )
    resolution: float = option(
        5.0, minimum=0.1, maximum=100, unit="%", help="How closely the rate is to be known"
    )
    probes: int = option(15, minimum=1, help="Most rates to try")
    report_directory: Path = option(
        Path("build/throughput"), help="Folder for the records and the report"
    )


COMMAND = Command(
    "throughput",
    "Find the highest rate of random arrivals (MLPerf's Server) at which latencies stay within "
    "--latency-bound-ms. Each rate that is tried is a run with a record of its own; what is "
    "called kept, or not, is so with a confidence of 95 %.",
    roles=("modelwrappers", "compilers", "runtimeprotocols", "runtimes", "datasets"),
    required=("modelwrappers",),
    extras=(Searching, Measurement),
    complete=with_random_inputs,
)


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    conduct(COMMAND.parse(arguments))


def conduct(parsed: Parsed) -> None:
    """Do what a command line or a scenario file says."""
    parsed.extra(Logging).start()
    asked, measurement = parsed.extra(Searching), parsed.extra(Measurement)
    allowed = 1 - asked.percentile / 100
    least = math.ceil(_ALLOWED_QUERIES / allowed)
    measurement = dataclasses.replace(measurement, min_count=max(measurement.min_count, least))
    plan = plan_of(parsed, parsed.needed(ModelWrapper), measurement)
    records: list[RunRecord] = []
    with TerminalProgress() as progress:

        def run(plan: Plan, name: str) -> RunRecord:
            path = asked.report_directory / f"{name}.json"
            records.append(
                run_plan(plan.fresh(), path, observer=progress, command_line=parsed.command_line)
            )
            return records[-1]

        def probe(rate_hz: float) -> Probe:
            server = registry.load("patterns", "server")
            pattern = server.from_options({"target_rate_hz": rate_hz})
            one = dataclasses.replace(plan, pattern=cast(LoadPattern, pattern))
            record = run(one, f"{rate_hz:.6g}-per-second")
            bound_ns = round(asked.latency_bound_ms * 1e6)
            found = probed(rate_hz, record.replicates, bound_ns, allowed)
            progress.tell(_told(found))
            return found

        alone = run(plan, "one-after-another")
        most_hz = 1e9 / float(np.mean(alone.target_ns))
        found = search(probe, most_hz, asked.resolution / 100, asked.probes)
    _show(found, asked, alone.batch_size)
    report = asked.report_directory / "report.html"
    render_html(records, report)
    print(f"Report: {report}")


def _told(probe: Probe) -> str:
    low, high = (100 * end for end in probe.interval)
    return (
        f"{_rate(probe.rate_hz)} queries/s: {100 * probe.late:.3g} % late (99 % interval {low:.3g} "
        f"to {high:.3g} %): {probe.verdict}{', the queue grows' if probe.grows else ''}"
    )


def _show(found: Capacity, asked: Searching, batch_size: int) -> None:
    bound = f"{asked.percentile:g} % of the queries within {asked.latency_bound_ms:g} ms"
    each = f" of {batch_size} samples" if batch_size > 1 else ""
    if found.kept_hz:
        text = (
            f"At {_rate(found.kept_hz)} queries/s{each} the target keeps {bound}, at "
            f"{_rate(found.exceeded_hz)} it does not; in between it is not known"
            " (--min-count has more queries tell)."
        )
    else:
        lowest_hz = min(one.rate_hz for one in found.probes)
        text = f"No rate that was tried keeps {bound}; the lowest was {_rate(lowest_hz)} queries/s."
    backend("rich.console", "edge-tester").Console().print(text, highlight=False)


def _rate(rate_hz: float) -> str:
    return number(rate_hz, unit_for("rate", [rate_hz]))


if __name__ == "__main__":
    sys.exit(guard(main))
