"""Measure a model on the host, in its own framework: ``edge-tester measure-host``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from edge_tester.core.dataset import Dataset
from edge_tester.core.model import ModelWrapper
from edge_tester.core.run.benchmark import measure_host
from edge_tester.core.run.plan import Measurement
from edge_tester.scenarios._command import Command, Parsed
from edge_tester.scenarios._program import Logging, guard
from edge_tester.scenarios._progress import TerminalProgress
from edge_tester.scenarios._show import Reports, default_report, show

COMMAND = Command(
    "measure-host",
    "Run a model on this machine, in the framework that it was made with, and write a run record.",
    roles=("modelwrappers", "datasets"),
    required=("modelwrappers", "datasets"),
    extras=(Measurement, Reports),
    trailing=("report_directory", "report_name"),
    default_trailing=default_report,
)


def conduct(parsed: Parsed) -> None:
    """Do what a command line or a scenario file says."""
    parsed.extra(Logging).start()
    reports = parsed.extra(Reports).suffixes()
    directory, name = Path(parsed.trailing["report_directory"]), parsed.trailing["report_name"]
    with TerminalProgress() as progress:
        record = measure_host(
            parsed.needed(ModelWrapper),
            parsed.needed(Dataset),
            measurement=parsed.extra(Measurement),
            report_directory=directory,
            report_name=name,
            observer=progress,
            command_line=parsed.command_line,
        )
    show(record, directory / f"{name}.json", reports)


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    conduct(COMMAND.parse(arguments))


if __name__ == "__main__":
    sys.exit(guard(main))
