"""Measure a model on the host, in its own framework: ``edge-tester measure-host``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from edge_tester.core.dataset import Dataset
from edge_tester.core.model import ModelWrapper
from edge_tester.core.record import RunRecord
from edge_tester.core.run.host import Measurement
from edge_tester.core.run.hostruntime import HostRuntime
from edge_tester.core.run.observer import Observer
from edge_tester.core.run.requirements import require_packages
from edge_tester.runtimeprotocols.loopback import LoopbackProtocol
from edge_tester.scenarios._command import Command, Parsed
from edge_tester.scenarios._program import Logging, guard
from edge_tester.scenarios._progress import TerminalProgress
from edge_tester.scenarios._record import default_report, record_run, show

COMMAND = Command(
    "measure-host",
    "Run a model on this machine, in the framework that it was made with, and write a run record.",
    roles=("modelwrappers", "datasets"),
    required=("modelwrappers", "datasets"),
    extras=(Measurement,),
    trailing=("report_directory", "report_name"),
    default_trailing=default_report,
)


def measure_host(
    model: ModelWrapper,
    dataset: Dataset,
    *,
    measurement: Measurement | None = None,
    report_directory: Path = Path("build/report"),
    report_name: str = "host",
    observer: Observer | None = None,
    command_line: Sequence[str] = (),
) -> RunRecord:
    """Run one benchmark in this process and write its record.

    Parameters
    ----------
    model : ModelWrapper
    dataset : Dataset
    measurement : Measurement, optional
    report_directory : Path
    report_name : str
        The record is ``report_directory/report_name.json``.
    observer : Observer, optional
    command_line : sequence of str
        For the record.
    """
    runtime = model.host_runtime() or HostRuntime.of(model)
    protocol = LoopbackProtocol()
    protocol.runtime = runtime
    path = Path(report_directory) / f"{report_name}.json"
    require_packages(model, dataset, runtime=runtime)
    return record_run(
        path, model, dataset, protocol, runtime, None, measurement, observer, command_line
    )


def conduct(parsed: Parsed) -> None:
    """Do what a command line or a scenario file says."""
    parsed.extra(Logging).start()
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
    show(record, directory / f"{name}.json")


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    conduct(COMMAND.parse(arguments))


if __name__ == "__main__":
    sys.exit(guard(main))
