"""Run a benchmark from its plan to its record."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from edge_tester.core import registry
from edge_tester.core.artifact import Artifact
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import EdgeTesterError, ModelError, RecordError
from edge_tester.core.making.chain import compile_model, suffix_of
from edge_tester.core.model import ModelWrapper
from edge_tester.core.record import (
    Replicate,
    RunRecord,
    require_encodable,
    require_writable,
    write_record,
)
from edge_tester.core.results.words import moment
from edge_tester.core.run import measuring
from edge_tester.core.run.deployment import Deployment, deploy, fed, require_target
from edge_tester.core.run.evaluation import Evaluation
from edge_tester.core.run.feed import Feed
from edge_tester.core.run.hostruntime import HostRuntime
from edge_tester.core.run.journal import Journal, open_journal
from edge_tester.core.run.localagent import local_agent
from edge_tester.core.run.measuring import now
from edge_tester.core.run.observer import Observer
from edge_tester.core.run.outputs import OutputFiles
from edge_tester.core.run.pattern import BackToBack, LoadPattern
from edge_tester.core.run.plan import Measurement, Plan
from edge_tester.core.run.recording import clock_remarks, closed, opening, require_recordable
from edge_tester.core.run.requirements import require_packages
from edge_tester.core.run.tally import Tally
from edge_tester.core.runtime import Runtime
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.system.interrupts import uninterrupted


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
        pattern or BackToBack(),
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
    observer, created = observer or Observer(), now()
    require_encodable(**{"The command line": list(command_line)})
    earlier = require_writable(path)
    replacing = f", in place of the earlier one of {moment(earlier.created)}" if earlier else ""
    with open_journal(path, observer.tell) as journal:
        evaluation = _prepared(plan, path)
        with _target(plan) as link:
            made = artifact or _made(plan, link, evaluation, observer)
            with deploy(plan, made, observer, link) as deployment:
                feed = fed(plan, deployment, observer)
                evaluation.check(deployment.outputs, batched=deployment.batched)
                identity = {"name": path.stem, "created": created}
                begun = opening(plan, deployment, evaluation, command_line=command_line, **identity)
                run = _Run(plan, deployment, feed, evaluation, begun, observer)
                return _recorded(run, journal, path, replacing)


class _Run(NamedTuple):
    """A run that is about to measure."""

    plan: Plan
    deployment: Deployment
    feed: Feed
    evaluation: Evaluation
    begun: RunRecord
    observer: Observer


def _prepared(plan: Plan, path: Path) -> Evaluation:
    """See whether all is there and fits together, before anything takes long."""
    model, dataset, compiler, runtime = plan.model, plan.dataset, plan.compiler, plan.runtime
    require_packages(model, dataset, compiler, runtime if plan.local else None)
    plan.client_options()
    if compiler is not None and compiler.compiled_model_path is None:
        compiler.compiled_model_path = _beside(path, model.model_path, compiler)
    dataset.prepare()
    made = compiler.output_format if compiler else model.format
    if made not in runtime.input_formats:
        advice = "" if compiler else "; name a compiler between model and runtime"
        raise ModelError(
            f"{type(runtime).__name__} runs {', '.join(runtime.input_formats)}, "
            f"got {made!r} ({model.model_path}){advice}."
        )
    if compiler is not None and compiler.calibrates:
        compiler.check_calibration(dataset)
    # Raises if there is nothing to measure.
    dataset.test_indices()
    evaluation = Evaluation(model, dataset)
    used = [model, dataset, plan.protocol, plan.measurement, plan.pattern]
    recorded = [one for one in used if one is not None]
    require_recordable(recorded, dataset, evaluation.class_names)
    return evaluation


@contextlib.contextmanager
def _target(plan: Plan) -> Iterator[RuntimeProtocol]:
    """Give the link to the target; start an agent on this machine if none is named."""
    if plan.protocol is not None:
        yield plan.protocol
        return
    with local_agent([plan.runtime]) as link:
        yield link


def _made(
    plan: Plan, link: RuntimeProtocol, evaluation: Evaluation, observer: Observer
) -> Artifact:
    if plan.compiler is None:
        return plan.model.artifact()
    # Whatever the target or the labels lack is said before compiling, not an hour later.
    require_target(plan, link)
    evaluation.check_source()
    return compile_model(plan.compiler, plan.model, plan.dataset, observer.tell)


def _recorded(run: _Run, journal: Journal, path: Path, replacing: str) -> RunRecord:
    """Measure, and write the record; an interrupted one is marked incomplete."""
    plan, observer, started = run.plan, run.observer, now()
    remarks: list[str] = []
    journal.begin(run.begun, started)
    observer.begin("Running", len(run.feed.indices), "samples")
    with OutputFiles(plan.measurement.outputs_directory) as files:
        tally = Tally(run.evaluation, run.feed, files, journal.keep)
        try:
            replicate = measuring.measure(
                run.deployment,
                run.feed,
                plan.pattern,
                plan.measurement,
                lambda answers: observer.advance(tally.take(answers)),
                remarks.append,
            )
        # Whatever it is, a defect included: the figures are not to blame, and it is raised again.
        except (Exception, KeyboardInterrupt) as error:
            if tally.blocks:
                reason = _reason(error)
                record = _record(run, tally, tally.replicate(started), remarks, reason)
                _write(record, path, journal)
                observer.tell(f"Incomplete run kept in {path}{replacing}")
            raise
    record = _record(run, tally, replicate, remarks, None)
    _write(record, path, journal)
    if replacing:
        observer.tell(f"Record written{replacing}")
    return record


def _record(
    run: _Run, tally: Tally, replicate: Replicate, remarks: Sequence[str], reason: str | None
) -> RunRecord:
    model, dataset, evaluation = run.plan.model, run.plan.dataset, run.evaluation
    return closed(
        run.begun,
        [replicate],
        tally.predictions(),
        evaluation.summary(),
        incomplete_reason=reason,
        dataset_facts=dataset.facts(),
        input_facts=run.feed.input_facts(),
        remarks=[
            *model.remarks(),
            *dataset.remarks(),
            *run.begun.remarks,
            *remarks,
            *run.feed.remarks(at_chance=evaluation.at_chance()),
            *evaluation.remarks(),
            *clock_remarks(replicate.blocks),
        ],
    )


def _write(record: RunRecord, path: Path, journal: Journal) -> None:
    # Whoever presses Ctrl-C now shall have either the record or the journal.
    with uninterrupted():
        try:
            write_record(record, path)
        except RecordError as error:
            raise RecordError(f"{error} {journal.advice}") from error
        journal.remove()


def _reason(error: BaseException) -> str:
    if isinstance(error, (EdgeTesterError, KeyboardInterrupt)):
        return str(error) or "interrupted by the user"
    return f"{type(error).__name__}: {error}"


def _beside(record: Path, source: Path, compiler: ModelCompiler) -> Path:
    """Return where a compiled model goes for which no place was named; never its source's."""
    suffix = suffix_of(compiler.output_format)
    path = record.with_name(f"{record.stem}{suffix}")
    return (
        path
        if path.resolve() != source.resolve()
        else record.with_name(f"{record.stem}-compiled{suffix}")
    )
