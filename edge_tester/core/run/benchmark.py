"""Run a benchmark from its plan to its record."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from edge_tester.core import registry
from edge_tester.core.artifact import Artifact
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import UnreachableError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.pattern import LoadPattern
from edge_tester.core.record import RunRecord
from edge_tester.core.run.hostruntime import HostRuntime
from edge_tester.core.run.observer import Observer
from edge_tester.core.run.plan import Measurement, Plan, single_stream
from edge_tester.core.run.running import started
from edge_tester.core.runtime import Runtime
from edge_tester.core.runtimeprotocol import RuntimeProtocol


def measure(
    model: ModelWrapper,
    dataset: Dataset,
    runtime: Runtime,
    *,
    compiler: ModelCompiler | None = None,
    protocol: RuntimeProtocol | None = None,
    measurement: Measurement | None = None,
    pattern: LoadPattern | None = None,
    report_directory: Path = Path("build/report"),
    report_name: str = "run",
    observer: Observer | None = None,
    command_line: Sequence[str] = (),
) -> RunRecord:
    """Run one benchmark and write its record.

    Parameters
    ----------
    model : ModelWrapper
    dataset : Dataset
    runtime : Runtime
        What shall run the model on the target.
    compiler : ModelCompiler, optional
        Without one the model file is deployed as it is.
    protocol : RuntimeProtocol, optional
        Link to an agent, or LoopbackProtocol to run the model in this process; without
        one an agent is started on this machine, in a process of its own, for this run.
    measurement : Measurement, optional
    pattern : LoadPattern, optional
        When inferences begin; one after the other by default.
    report_directory : Path
    report_name : str
        The record is ``report_directory/report_name.json``.
    observer : Observer, optional
    command_line : sequence of str
        For the record.

    Raises
    ------
    EdgeTesterError, KeyboardInterrupt
        What was measured until then is in the record, marked incomplete.
    """
    plan = Plan(
        model,
        dataset,
        runtime,
        compiler,
        protocol,
        measurement or Measurement(),
        pattern or single_stream(),
    )
    path = Path(report_directory) / f"{report_name}.json"
    return run_plan(plan, path, observer=observer, command_line=command_line)


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
    """Run a model in this process, in the framework that it was made with, and write its record.

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
    loopback = registry.load("runtimeprotocols", "loopback")()
    if not isinstance(loopback, RuntimeProtocol):
        raise TypeError(f"{loopback} is no runtime protocol.")
    return measure(
        model,
        dataset,
        model.host_runtime() or HostRuntime.of(model),
        protocol=loopback,
        measurement=measurement,
        report_directory=report_directory,
        report_name=report_name,
        observer=observer,
        command_line=command_line,
    )


def run_plan(
    plan: Plan,
    path: Path,
    *,
    observer: Observer | None = None,
    command_line: Sequence[str] = (),
    artifact: Artifact | None = None,
) -> RunRecord:
    """Run a plan so that whatever was measured gets into its record.

    What can be wrong from the beginning is found before anything is compiled.

    Parameters
    ----------
    plan : Plan
        Its data set is not prepared.
    path : Path
        The record.
    observer : Observer, optional
    command_line : sequence of str
        For the record.
    artifact : Artifact, optional
        What the compiler has made of the model before; without it, it does so now.

    Raises
    ------
    EdgeTesterError, KeyboardInterrupt
        What was measured until then is in the record, marked incomplete.
    """
    observer = observer or Observer()
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(started(plan, path, observer, command_line, artifact))
        while run.more:
            try:
                with contextlib.closing(run.replicate()) as steps:
                    for _ in steps:
                        pass
            except UnreachableError as error:
                time.sleep(run.broke(error))
        return run.written()
