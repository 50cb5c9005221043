"""What is done before anything is measured: whatever can be wrong is found before it takes long."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from edge_tester.core.artifact import Artifact
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.errors import ModelError, OptionError
from edge_tester.core.making.chain import compile_model, suffix_of
from edge_tester.core.pattern import facts_of
from edge_tester.core.run.capabilities import require_profiles
from edge_tester.core.run.deployment import require_target
from edge_tester.core.run.evaluation import Evaluation
from edge_tester.core.run.localagent import local_agent
from edge_tester.core.run.observer import Observer
from edge_tester.core.run.plan import Plan
from edge_tester.core.run.recording import require_recordable
from edge_tester.core.run.requirements import require_packages
from edge_tester.core.runtimeprotocol import RuntimeProtocol


def prepared(plan: Plan, path: Path) -> Evaluation:
    """See whether all is there and fits together, before anything takes long."""
    model, dataset, compiler, runtime = plan.model, plan.dataset, plan.compiler, plan.runtime
    require_packages(model, dataset, compiler, runtime if plan.local else None)
    facts_of(plan.pattern)
    require_replicable(plan)
    require_profiles(plan)
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
    if compiler is not None:
        compiler.check_choices()
        if compiler.calibrates:
            compiler.check_calibration(dataset)
    # Raises if there is nothing to measure.
    dataset.test_indices()
    evaluation = Evaluation(model, dataset)
    used = [model, dataset, plan.protocol, plan.measurement, plan.pattern]
    recorded = [one for one in used if one is not None]
    require_recordable(recorded, dataset, evaluation.class_names)
    return evaluation


def require_replicable(plan: Plan) -> None:
    """See whether there can be as many fresh processes as are wanted.

    Raises
    ------
    OptionError
    """
    measurement, protocol = plan.measurement, plan.protocol
    if protocol is None or not protocol.in_process:
        return
    if (measurement.replicates or 1) > 1 or measurement.precision is not None:
        raise OptionError(
            f"{type(protocol).__name__} runs the model in this process: there is no fresh one for "
            "each of several replicates. Use an agent, or neither --replicates nor --precision."
        )


@contextlib.contextmanager
def target(plan: Plan) -> Iterator[RuntimeProtocol]:
    """Give the link to the target; start an agent on this machine if none is named."""
    if plan.protocol is not None:
        plan.protocol.runtime = plan.runtime
    opened = local_agent([plan.runtime]) if plan.protocol is None else plan.protocol.opened()
    with opened as link:
        yield link


def made(plan: Plan, link: RuntimeProtocol, evaluation: Evaluation, observer: Observer) -> Artifact:
    """Return what is deployed: the model as it is, or what the compiler makes of it."""
    if plan.compiler is None:
        return plan.model.artifact()
    # Whatever the target or the labels lack is said before compiling, not an hour later.
    require_target(plan, link)
    evaluation.check_source()
    return compile_model(plan.compiler, plan.model, plan.dataset, observer.tell)


def _beside(record: Path, source: Path, compiler: ModelCompiler) -> Path:
    """Return where a compiled model goes for which no place was named; never its source's."""
    suffix = suffix_of(compiler.output_format)
    path = record.with_name(f"{record.stem}{suffix}")
    return (
        path
        if path.resolve() != source.resolve()
        else record.with_name(f"{record.stem}-compiled{suffix}")
    )
