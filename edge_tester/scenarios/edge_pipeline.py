"""Go from a model to a decision what to deploy: ``edge-tester pipeline``."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edge_tester.core.backends import backend
from edge_tester.core.options import Configurable, option
from edge_tester.core.pipeline.evaluation import Evaluation, Verdict
from edge_tester.core.pipeline.phases import Phase
from edge_tester.core.pipeline.settings import Settings
from edge_tester.report import render_page
from edge_tester.report.pipeline import pipeline_page, write_runbooks
from edge_tester.scenarios._command import Command
from edge_tester.scenarios._program import Logging, guard
from edge_tester.scenarios._progress import TerminalProgress
from edge_tester.scenarios._settings_file import understood
from edge_tester.scenarios._yaml import blaming, read_mapping

FOLDER = "build/pipeline"


class Conduct(Configurable):
    """How a pipeline is gone through."""

    new: bool = option(False, help="Begin a new run; otherwise the newest one goes on")
    target: str = option(
        "",
        help="Address of a device to measure on, such as ssh://pi@raspberrypi, in place of the "
        "file's address",
    )


COMMAND = Command(
    "pipeline",
    "Go through an edge evaluation: what this machine has, proof on it, conversions and their "
    "checks, runbooks for devices or the measurement there, and a decision by thresholds. A "
    "failed phase is marked and the rest goes on; an interrupted run goes on where it was, and "
    "does again only what has changed. The status is 1 if a phase, or a candidate in it, failed.",
    extras=(Conduct,),
    trailing=("pipeline_file",),
)


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    parsed = COMMAND.parse(arguments)
    parsed.extra(Logging).start()
    path = Path(parsed.trailing["pipeline_file"])
    content = read_mapping(path)
    with blaming(path):
        plan, settings, folder = understood(content, path, Settings, FOLDER)
    if address := parsed.extra(Conduct).target:
        settings = msgspec.structs.replace(settings, address=address)
    directory = _run_directory(folder, new=parsed.extra(Conduct).new)
    with TerminalProgress() as progress:
        evaluation = Evaluation(plan, settings, directory, progress, parsed.command_line)
        phases = evaluation.run().done
    write_runbooks(phases, directory)
    render_page(pipeline_page(plan, settings, phases, directory), directory / "report.html")
    _show(phases, directory)
    lost = any(phase.status == "failed" or phase.content.get("failures") for phase in phases)
    return 1 if lost else 0


def _run_directory(folder: Path, *, new: bool) -> Path:
    """Return the newest run in a folder, or a new one named by the date."""
    runs = sorted(path for path in folder.glob("[0-9][0-9][0-9][0-9]-*") if path.is_dir())
    if runs and not new:
        return runs[-1]
    name = datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    (folder / name).mkdir(parents=True)
    return folder / name


def _show(phases: Sequence[Phase], directory: Path) -> None:
    """Print what became of each phase, and the decision."""
    console = backend("rich.console", "edge-tester").Console()
    text = backend("rich.text", "edge-tester").Text
    for phase in phases:
        about = f": {phase.reason}" if phase.reason else ""
        console.print(text(f"{phase.name:<15} {phase.status}{about}"))
        for name, reason in phase.content.get("failures", {}).items():
            console.print(text(f"  {name} failed: {reason}"))
    last = phases[-1]
    if last.status == "done":
        decision = msgspec.convert(last.content, Verdict).decision
        console.print()
        console.print(text(decision.sentence))
        console.print(text(f"Why: {decision.rule}"))
        console.print(text(f"Confidence: {decision.confidence}"))
        for one in decision.unknown:
            console.print(text(f"* {one}"))
    console.print(f"Report: {directory / 'report.html'}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(guard(main))
