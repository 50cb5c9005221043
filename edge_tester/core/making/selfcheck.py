"""Run what a compiler has made once, and compare it with what it was made from."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import CompilationError
from edge_tester.core.making import likeness
from edge_tester.core.making.trial import (
    ADVICE,
    Answers,
    Ready,
    Result,
    Source,
    run_result,
    run_source,
)
from edge_tester.core.model import ModelWrapper
from edge_tester.core.tensors import Array

# How far inputs are moved, as part of the largest, to see how far answers move by themselves.
_NUDGES = {"float32": 1e-5, "float16": 1e-3}
# A difference of less than this many times as much is what rounding alone may do.
_BY_ITSELF = 3


@dataclasses.dataclass(frozen=True)
class Findings:
    """What there is to say of a result that passed.

    Attributes
    ----------
    facts : dict
        How it was checked, and how near it comes to its source.
    remarks : tuple of str
        Doubts.
    """

    facts: dict[str, Any]
    remarks: tuple[str, ...] = ()


def checked(result: Result, model: ModelWrapper, dataset: Dataset | None, ready: Ready) -> Findings:
    """Load a result, run it on a few samples, and compare it with the model it was made from.

    Parameters
    ----------
    result : Result
    model : ModelWrapper
        Its source.
    dataset : Dataset or None
        Where the samples come from: those for calibrating if there are any, else others that
        are not measured. Without any, random numbers are taken.
    ready : mapping of runtime class to Helper
        Processes that wait for it.

    Raises
    ------
    CompilationError
        The result cannot be loaded or run, or answers otherwise than its source, by more than
        its precision explains.
    """
    source, why = run_source(model, dataset)
    answers, reason = run_result(result, source.inputs if source else None, ready)
    if answers is None:
        return Findings({"run": False, "reason": reason})
    facts: dict[str, Any] = {"run": True, "runtime": answers.runtime}
    if source is None:
        return Findings({**facts, "compared": False, "reason": why})
    facts["inputs"] = source.kind
    reason = _incomparable(result, source, answers, model)
    if reason:
        remark = f"What {result.compiler} made was run, but not compared with its source: {reason}"
        return Findings({**facts, "compared": False, "reason": reason}, (remark,))
    return _compared(result, source, answers, model, {**facts, "compared": True})


def _incomparable(result: Result, source: Source, answers: Answers, model: ModelWrapper) -> str:
    if not source.repeats:
        return (
            f"{model.model_path.name} gives different answers for the same input, because it "
            "draws random numbers or keeps a state."
        )
    if likeness.same_sizes(source.runs, answers.runs):
        return ""
    outputs = model.specs()[1]
    if len(source.runs[0]) == len(answers.runs[0]) and any(None in o.shape[1:] for o in outputs):
        return "the sizes of its outputs depend on what is computed, and differ."
    shapes = [", ".join(str(np.shape(one)) for one in each.runs[0]) for each in (source, answers)]
    raise CompilationError(
        f"{result.compiler}: the outputs of the result have the shapes {shapes[1]}, those of "
        f"{model.model_path.name} {shapes[0]}.{ADVICE}"
    )


def _compared(
    result: Result,
    source: Source,
    answers: Answers,
    model: ModelWrapper,
    facts: dict[str, Any],
) -> Findings:
    precision = likeness.coarsest(result.weights, answers.specs, model.precision())
    found = likeness.compare(source.runs, answers.runs)
    outputs = [spec.name for spec in model.specs()[1]] or [""] * len(found)
    facts["precision"] = precision
    facts["largest_difference"] = max((one.difference for one in found), default=0.0)
    ratios = [one.signal_to_noise_db for one in found if one.signal_to_noise_db is not None]
    if ratios:
        facts["signal_to_noise_db"] = round(min(ratios), 2)
    remarks = []
    for name, one in zip(outputs, found, strict=False):
        where = f"output {name!r} of the result of {result.compiler}"
        how = f"on {source.kind}, run by {answers.runtime}"
        if one.not_finite:
            raise CompilationError(
                f"{result.compiler}: {one.not_finite} values of output {name!r} are NaN or "
                f"infinite where those of {model.model_path.name} are finite, {how}.{ADVICE}"
            )
        if one.constant:
            raise CompilationError(
                f"{result.compiler}: output {name!r} does not depend on the input, that of "
                f"{model.model_path.name} does, {how}.{ADVICE}"
            )
        ratio = one.signal_to_noise_db
        low = ratio is not None and ratio < likeness.LOW_SIGNAL_TO_NOISE_DB
        if precision == "integers":
            if low:
                remarks.append(
                    f"Quantizing lost much: {where} has a signal-to-noise ratio of {ratio:.1f} dB "
                    f"against {model.model_path.name}, {how}."
                )
        elif one.difference > likeness.TOLERANCES[precision]:
            position = outputs.index(name)
            moved = _moves_by_itself(model, source, precision)[position]
            told = (
                f"differs from {model.model_path.name} by {one.difference:.3g} of the largest "
                f"value, {how}; {precision} explains {likeness.TOLERANCES[precision]:g}"
            )
            if one.difference > _BY_ITSELF * moved:
                raise CompilationError(f"{result.compiler}: output {name!r} {told}.{ADVICE}")
            remarks.append(
                f"{where[0].upper()}{where[1:]} {told}. Inputs that differ by rounding move the "
                f"model's own answer by {moved:.3g}, so this says nothing."
            )
    return Findings(facts, tuple(remarks))


def _moves_by_itself(model: ModelWrapper, source: Source, precision: str) -> list[float]:
    """Return by how much each output changes where the inputs do by what rounding would."""
    generator = np.random.default_rng(0)
    most = [0.0] * len(source.runs[0])
    for _ in range(2):
        nudged = [
            [_nudged(values, _NUDGES[precision], generator) for values in inputs]
            for inputs in source.inputs
        ]
        runs = [model.run(inputs) for inputs in nudged]
        most = [max(pair) for pair in zip(most, likeness.changes(source.runs, runs), strict=True)]
    return most


def _nudged(values: Array, part: float, generator: np.random.Generator) -> Array:
    if not np.issubdtype(values.dtype, np.floating):
        return values
    step = part * float(np.abs(np.nan_to_num(values)).max(initial=0.0))
    moved: Array = (values + generator.uniform(-step, step, values.shape)).astype(values.dtype)
    return moved
