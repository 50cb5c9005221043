"""Compare a model with itself, to know what a machine's noise hides: ``edge-tester calibrate``."""

from __future__ import annotations

import dataclasses
import importlib.resources
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from edge_tester.core import registry
from edge_tester.core.errors import EdgeTesterError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import Configurable, option
from edge_tester.core.record import RunRecord
from edge_tester.core.results.calibration import Calibration, calibrated
from edge_tester.core.results.disturbances import disturbances
from edge_tester.core.results.words import plural
from edge_tester.core.run.plan import Measurement
from edge_tester.core.run.replication import REPLICATES
from edge_tester.core.run.together import Job, run_together
from edge_tester.core.statistics.comparing import MARGIN
from edge_tester.core.statistics.verdicts import DIFFERENCE_ERROR
from edge_tester.scenarios._choice import Chosen
from edge_tester.scenarios._command import Command, Parsed
from edge_tester.scenarios._plans import plan_of
from edge_tester.scenarios._program import Logging, guard
from edge_tester.scenarios._progress import TerminalProgress

# Of each pair: several blocks of each, which take turns.
_DURATION_S = 0.5


class Calibrating(Configurable):
    """How a machine's noise is measured."""

    pairs: int = option(20, minimum=5, help="Pairs of fresh processes that are measured")
    margin: float = option(
        100 * MARGIN,
        minimum=0,
        maximum=100,
        unit="%",
        help="Difference of the latency that does not matter",
    )
    report_directory: Path = option(Path("build/calibrate"), help="Folder for the two records")


def _complete(chosen: list[Chosen]) -> list[Chosen]:
    """Add the shipped digits model, and random inputs, where they are left out."""
    by_role = {one.role: one for one in chosen}
    if "modelwrappers" not in by_role:
        shipped = importlib.resources.files("edge_tester.resources") / "digits.tflite"
        wrapper = registry.load("modelwrappers", "tflite_file")
        by_role["modelwrappers"] = Chosen("modelwrappers", wrapper, {"model_path": str(shipped)})
    if "datasets" not in by_role:
        data = registry.load("datasets", "random_inputs")
        by_role["datasets"] = Chosen("datasets", data, {})
    return [by_role[role] for role in registry.ROLES if role in by_role]


COMMAND = Command(
    "calibrate",
    "Compare a model with itself on a target: how often the settings call the same model faster "
    "or slower, how often their intervals are right, how small a change they see in which time, "
    "and what disturbs the target. Without a model it is the shipped digits model.",
    roles=("modelwrappers", "compilers", "runtimeprotocols", "runtimes", "datasets"),
    extras=(Calibrating, Measurement),
    complete=_complete,
)


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    parsed = COMMAND.parse(arguments)
    parsed.extra(Logging).start()
    asked, measurement = parsed.extra(Calibrating), parsed.extra(Measurement)
    each = measurement.replicates or REPLICATES
    begun_s = time.monotonic()
    first, second = _measured(parsed, asked)
    found = calibrated(
        first,
        second,
        replicates=min(each, asked.pairs),
        margin=asked.margin / 100,
        duration_s=time.monotonic() - begun_s,
    )
    for line in _told(found, first):
        print(line)


def _measured(parsed: Parsed, asked: Calibrating) -> tuple[RunRecord, RunRecord]:
    """Run the same plan twice, by turns."""
    measurement = dataclasses.replace(
        parsed.extra(Measurement),
        replicates=asked.pairs,
        min_duration_s=parsed.extra(Measurement).min_duration_s or asked.pairs * _DURATION_S,
    )
    plan = plan_of(parsed, parsed.needed(ModelWrapper), measurement)
    jobs = [Job(plan.fresh(), asked.report_directory / f"{name}.json") for name in ("a", "a-again")]
    with TerminalProgress() as progress:
        outcomes = run_together(jobs, observer=progress, command_line=parsed.command_line)
    for outcome in outcomes:
        if isinstance(outcome, EdgeTesterError):
            raise outcome
    first, second = (one for one in outcomes if isinstance(one, RunRecord))
    return first, second


def _told(found: Calibration, record: RunRecord) -> list[str]:
    lines = [
        f"{plural(found.pairs, 'pair')} of fresh processes of {record.model.name} on "
        f"{record.target.hostname}; comparisons of {found.replicates} of them:",
        f"  called it faster or slower than itself  {100 * found.false_alarms:6.1f} %   "
        f"(by design up to {100 * DIFFERENCE_ERROR:g} %)",
        f"  intervals of one run that were right    {100 * found.coverage:6.1f} %   "
        "(by design 95 %)",
        f"  spread of a pair's ratio                {100 * found.spread:6.2f} %",
        "Smallest change that is seen in 80 % of comparisons:",
        *(
            f"  {one.pairs:3} pairs, about {one.duration_s:5.0f} s  {100 * one.change:6.2f} %"
            for one in found.detectable
        ),
    ]
    disturbed = disturbances(record.blocks, record.target)
    return lines + (disturbed or ["Nothing disturbed the target beyond the ordinary."])


if __name__ == "__main__":
    sys.exit(guard(main))
