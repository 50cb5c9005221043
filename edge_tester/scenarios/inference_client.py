"""Compile, deploy and measure a model on a target: ``edge-tester client``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import OptionError, UnreachableError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import Configurable, option
from edge_tester.core.pattern import LoadPattern
from edge_tester.core.run.benchmark import measure
from edge_tester.core.run.plan import Measurement
from edge_tester.core.runtime import Runtime
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.scenarios._command import Command, Parsed
from edge_tester.scenarios._plans import completed
from edge_tester.scenarios._program import Logging, guard
from edge_tester.scenarios._progress import TerminalProgress
from edge_tester.scenarios._show import Reports, default_report, show


class Target(Configurable):
    """Where the model runs."""

    start_agent: bool = option(
        False, help="Start an agent on this machine for this run, in a process of its own"
    )


def _answers(protocol: RuntimeProtocol) -> bool:
    """Tell whether something listens where a client would go that was told nothing.

    An address that was given is meant, also if nothing is there.
    """
    if protocol.chosen_options():
        return True
    try:
        protocol.start_client()
    except UnreachableError:
        return False
    protocol.disconnect()
    return True


def link_of(parsed: Parsed) -> RuntimeProtocol | None:
    """Return the link that a command line or a scenario file means; None for an own agent.

    Raises
    ------
    OptionError
        It wants an agent of its own, and yet says where one is.
    """
    named = parsed.needed(RuntimeProtocol)
    if parsed.extra(Target).start_agent:
        if named.chosen_options():
            raise OptionError(
                "--start-agent starts an agent of its own, so these do not apply: "
                f"{', '.join(named.chosen_options())}."
            )
        return None
    return None if parsed.left_out("runtimeprotocols") and not _answers(named) else named


def conduct(parsed: Parsed) -> None:
    """Do what a command line or a scenario file says."""
    parsed.extra(Logging).start()
    reports = parsed.extra(Reports).suffixes()
    protocol = link_of(parsed)
    directory, name = Path(parsed.trailing["report_directory"]), parsed.trailing["report_name"]
    with TerminalProgress() as progress:
        if protocol is None and not parsed.extra(Target).start_agent:
            progress.tell("No agent runs on this machine: one is started for this run.")
        if parsed.left_out("datasets"):
            progress.tell("No data set is named: random inputs are run, and nothing is evaluated.")
        record = measure(
            parsed.needed(ModelWrapper),
            parsed.needed(Dataset),
            parsed.needed(Runtime),
            compiler=parsed.part(ModelCompiler),
            protocol=protocol,
            measurement=parsed.extra(Measurement),
            pattern=parsed.part(LoadPattern),
            report_directory=directory,
            report_name=name,
            observer=progress,
            command_line=parsed.command_line,
        )
    show(record, directory / f"{name}.json", reports)


COMMAND = Command(
    "client",
    "Compile a model, run it on a target and write a run record. MODEL and DATASET may be "
    "your own files: a .tflite, .onnx, .keras, .h5 or TorchScript file, a SavedModel; an .npz "
    "file or a folder of class folders of images.",
    roles=("modelwrappers", "compilers", "runtimeprotocols", "runtimes", "datasets"),
    by_flag=("patterns",),
    required=("modelwrappers",),
    extras=(Measurement, Reports, Target),
    trailing=("report_directory", "report_name"),
    default_trailing=default_report,
    complete=completed,
)


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    conduct(COMMAND.parse(arguments))


if __name__ == "__main__":
    sys.exit(guard(main))
