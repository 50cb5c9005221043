"""What a run record says of a plan, its artifact and what was answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from edge_tester.core.artifact import Artifact
from edge_tester.core.dataset import Dataset
from edge_tester.core.figures import Quality
from edge_tester.core.options import Configurable, path_of
from edge_tester.core.pattern import facts_of
from edge_tester.core.record import (
    Block,
    ColdStart,
    Component,
    Machine,
    Memory,
    ModelFacts,
    Predictions,
    Replicate,
    RunRecord,
    require_encodable,
    with_classes,
)
from edge_tester.core.registry import ROLES
from edge_tester.core.run.deployment import Deployment
from edge_tester.core.run.evaluation import Evaluation
from edge_tester.core.run.plan import Plan
from edge_tester.core.system.machine import describe_machine
from edge_tester.core.tensors import TensorSpec
from edge_tester.core.wire.payloads import Counters

# Base class -> role as records name it, the singular of the folder; one of none has its own name.
_ROLE_NAMES = {name: folder[:-1] for folder, (_, name) in ROLES.items()}


def opening(
    plan: Plan,
    deployment: Deployment,
    evaluation: Evaluation,
    *,
    name: str,
    created: str,
    command_line: Sequence[str],
    together: str | None = None,
) -> RunRecord:
    """Return what a record says before anything is measured.

    Parameters
    ----------
    plan : Plan
    deployment : Deployment
    evaluation : Evaluation
    name, created : str
        Of the record.
    command_line : sequence of str
    together : str, optional
        What the records of runs that are measured together have in common.
    """
    artifact, machine = deployment.artifact, deployment.machine
    used = [plan.model, plan.dataset, deployment.client.protocol, plan.measurement, plan.pattern]
    runtime = Component(
        role="runtime", name=path_of(type(plan.runtime)), options=deployment.runtime_options
    )
    packages = (*plan.model.distributions, *distributions_of(artifact))
    return RunRecord(
        name=name,
        created=created,
        complete=False,
        incomplete_reason="nothing was measured",
        command_line=list(command_line),
        together=together,
        batch_size=plan.dataset.inference_batch_size,
        components=[*components_of(used, artifact), runtime],
        model=model_facts(artifact, deployment.inputs, deployment.outputs),
        replicates=[],
        host_interval="between_oks" if plan.measurement.classical else "flight",
        pattern=facts_of(plan.pattern),
        quality=evaluation.summary(),
        predictions=Predictions(index=[], truth=None, predicted=[]),
        class_names=evaluation.class_names,
        runtime_facts=deployment.facts,
        remarks=[
            *remarks_of(artifact),
            *deployment.remarks,
            *thread_remarks(deployment.facts, machine),
        ],
        target=machine,
        host=describe_machine(packages),
    )


def closed(
    record: RunRecord,
    replicates: Sequence[Replicate],
    predictions: Predictions,
    quality: Quality,
    *,
    incomplete_reason: str | None = None,
    **facts: Any,
) -> RunRecord:
    """Return a record with what was measured.

    Parameters
    ----------
    record : RunRecord
        As it was before.
    replicates : sequence of Replicate
    predictions : Predictions
    quality : Quality
    incomplete_reason : str, optional
        Why the run ended early; without it the record counts as complete.
    **facts
        Further fields, known by now.
    """
    blocks = [block for replicate in replicates for block in replicate.blocks]
    following = [block for block in blocks if not block.arrivals_ns]
    together = any(block.untimed or len(block.target_ns) > 1 for block in following)
    return with_classes(
        msgspec.structs.replace(
            record,
            complete=incomplete_reason is None,
            incomplete_reason=incomplete_reason,
            replicates=list(replicates),
            pace="loop" if together else "isolated",
            predictions=predictions,
            quality=quality.without_classes(),
            **facts,
        )
    )


def components_of(used: Sequence[Configurable], artifact: Artifact) -> list[Component]:
    """Return the classes that took part, the compilers with the options that they really had.

    Parameters
    ----------
    used : sequence of Configurable
        All but compilers and the runtime.
    artifact : Artifact
        What was deployed.
    """
    found = [
        Component(role=_role(part), name=path_of(type(part)), options=part.to_options())
        for part in used
    ]
    made = [step for step in _steps(artifact) if step.producer]
    # The first step of a chain comes first.
    return found + [
        Component(
            role="compiler",
            name=step.producer,
            options=step.options,
            versions=step.tool_versions,
            facts=step.facts,
        )
        for step in reversed(made)
    ]


def require_recordable(
    used: Sequence[Configurable], dataset: Dataset, class_names: Sequence[str]
) -> None:
    """See whether what classes of others say of themselves can be kept in a record.

    Heard before the work it costs nothing, at the end it would cost the run.

    Parameters
    ----------
    used : sequence of Configurable
        All classes whose options are recorded.
    dataset : Dataset
        Prepared.
    class_names : sequence of str

    Raises
    ------
    RecordError
        An option, a class name or a fact is no value of JSON.
    """
    owner = type(dataset).__name__
    require_encodable(
        **{f"The options of {type(one).__name__}": one.to_options() for one in used},
        **{f"The class names of {owner}": list(class_names)},
        **{f"The facts of {owner}": dataset.facts()},
    )


def distributions_of(artifact: Artifact) -> list[str]:
    """Return the packages whose versions decided what all steps made."""
    return [name for step in _steps(artifact) for name in step.tool_versions]


def model_facts(
    artifact: Artifact, inputs: list[TensorSpec], outputs: list[TensorSpec]
) -> ModelFacts:
    """Describe a deployed model, and all files that led to it."""
    weights = artifact.weights
    return ModelFacts(
        name=artifact.path.name,
        format=artifact.format,
        size_bytes=artifact.content_bytes or artifact.size_bytes,
        sha256=artifact.sha256,
        inputs=inputs,
        outputs=outputs,
        quantized_weight_share=weights.quantized_share if weights else None,
        weight_elements=weights.elements if weights else {},
        compiler_facts=artifact.facts,
        parents=[_parent(step) for step in list(_steps(artifact))[1:]],
    )


def remarks_of(artifact: Artifact) -> list[str]:
    """Return the remarks on all files that led to this one, the first file's first."""
    return [text for step in reversed(list(_steps(artifact))) for text in step.remarks]


def cold_start_of(counters: Counters) -> ColdStart:
    """Return what happened once, of a target's counters."""
    return ColdStart(load_ns=counters.load_ns, first_inference_ns=counters.first_inference_ns)


def memory_of(counters: Counters) -> Memory:
    """Return the memory of the process that ran the model, of a target's counters."""
    return Memory(
        peak_bytes=counters.peak_bytes,
        before_load_bytes=counters.before_load_bytes,
        load_peak_bytes=counters.load_peak_bytes,
        inference_peak_bytes=counters.inference_peak_bytes,
    )


def thread_remarks(facts: Mapping[str, Any], machine: Machine) -> list[str]:
    """Say if a runtime has more threads than the target lets it run at once."""
    threads, usable = facts.get("num_threads"), machine.cpu_count
    if not isinstance(threads, int) or not usable or threads <= usable:
        return []
    return [
        f"The runtime has {threads} threads, but may use {usable} processors: such an inference is "
        "slower than with as many threads as processors."
    ]


def clock_remarks(blocks: Sequence[Block]) -> list[str]:
    """Say if the host's clock contradicts the target's."""
    pairs = [
        (sum(block.target_ns) if len(block.host_ns) == 1 else target_ns, host_ns)
        for block in blocks
        for target_ns, host_ns in zip(block.target_ns, block.host_ns, strict=False)
    ]
    shorter = sum(host_ns < target_ns for target_ns, host_ns in pairs)
    if not shorter:
        return []
    return [
        f"{shorter} of {len(pairs)} host times are shorter than the target's time of the same "
        "inference (the host heard of its start too late): only the target's times count."
    ]


def _steps(artifact: Artifact | None) -> Iterator[Artifact]:
    """Yield an artifact, what it was made from, what that was made from, and so on."""
    while artifact is not None:
        yield artifact
        artifact = artifact.parent


def _parent(step: Artifact) -> dict[str, Any]:
    described = {"name": step.path.name, "format": step.format, "sha256": step.sha256}
    return {**described, "compiler_facts": step.facts} if step.facts else described


def _role(part: Configurable) -> str:
    for base in type(part).__mro__:
        if base.__name__ in _ROLE_NAMES:
            return _ROLE_NAMES[base.__name__]
    return type(part).__name__.lower()
