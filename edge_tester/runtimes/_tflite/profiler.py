"""The times of a .tflite model's operators: from benchmark_model, or by cutting the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edge_tester.core.profiles import Profile, unavailable
from edge_tester.runtimes._tflite import benchmark_model, prefixes
from edge_tester.runtimes._tflite.delegates import executors

if TYPE_CHECKING:
    from edge_tester.core.tensors import Array

# By the numbers of :func:`executors`; of several delegates asked for, nothing tells which.
_EXECUTORS = ("delegate", "XNNPACK", prefixes.BUILT_IN)
_BUILT_IN = _EXECUTORS.index(prefixes.BUILT_IN)
# What these pass on is no tensor, so that nothing tells what a delegate took with them.
_RESOURCES = frozenset({"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"})


class Asked(NamedTuple):
    """What is profiled.

    Attributes
    ----------
    path : Path
        The model.
    inputs : list of dict
        Details of the interpreter's inputs.
    values : sequence of ndarray
        For these.
    num_threads : int
    xnnpack : bool
    delegates, delegate_options : tuple of str
    inferences : int
    """

    path: Path
    inputs: list[dict[str, Any]]
    values: Sequence[Array]
    num_threads: int
    xnnpack: bool
    delegates: tuple[str, ...]
    delegate_options: tuple[str, ...]
    inferences: int


def profile(asked: Asked, interpreter: Any, interpreter_of: Callable[..., Any]) -> Profile:
    """Return the times of the operators, or why there are none.

    Parameters
    ----------
    asked : Asked
    interpreter : Interpreter
        Of the whole model, its tensors allocated.
    interpreter_of : callable
        Makes an interpreter of ``model_content``, as the whole one was made.
    """
    if (program := benchmark_model.found()) is not None:
        return benchmark_model.profile(
            program, asked.path, _shapes(asked), _flags(asked), asked.inferences
        )
    if asked.delegates:
        return unavailable(
            prefixes.TOOL,
            "A delegate takes the graph as a whole: a beginning of it is another graph to it. "
            f"{benchmark_model.PROGRAM} on the target's PATH tells of its operators.",
        )
    found = executors(interpreter, 0)
    if found is None:
        return unavailable(prefixes.TOOL, "This interpreter does not tell its operators.")
    tensors = {one["index"]: one for one in interpreter.get_tensor_details()}
    kinds = {one["op_name"] for one, _ in found}
    sure = {executor for _, executor in found} == {_BUILT_IN} or not kinds & _RESOURCES
    operators = [_operator(one, executor if sure else None, tensors) for one, executor in found]

    def made(content: bytes) -> Any:
        beginning = interpreter_of(model_content=content)
        for detail, values in zip(asked.inputs, asked.values, strict=True):
            if detail["shape"].tolist() != list(values.shape):
                beginning.resize_tensor_input(detail["index"], values.shape)
        beginning.allocate_tensors()
        return beginning

    def feed(beginning: Any) -> None:
        for detail, values in zip(asked.inputs, asked.values, strict=True):
            beginning.set_tensor(detail["index"], values)

    return prefixes.profile(asked.path.read_bytes(), made, feed, operators)


def _operator(
    one: dict[str, Any], executor: int | None, tensors: dict[int, dict[str, Any]]
) -> prefixes.Operator:
    import numpy as np

    outputs = [tensors[index] for index in one["outputs"].tolist() if index in tensors]
    return prefixes.Operator(
        type=one["op_name"],
        name=str(outputs[0]["name"]) if outputs else "",
        outputs=len(outputs),
        dtypes=[np.dtype(output["dtype"]).name for output in outputs],
        delegate=None if executor is None else _EXECUTORS[executor],
    )


def _shapes(asked: Asked) -> dict[str, list[int]]:
    return {
        detail["name"]: list(values.shape)
        for detail, values in zip(asked.inputs, asked.values, strict=True)
    }


def _flags(asked: Asked) -> dict[str, str]:
    flags = {
        "num_threads": str(asked.num_threads),
        "use_xnnpack": str(asked.xnnpack).lower(),
    }
    if asked.delegates:
        # It takes one.
        flags["external_delegate_path"] = asked.delegates[0]
        options = [pair.replace("=", ":", 1) for pair in asked.delegate_options]
        flags["external_delegate_options"] = ";".join(options)
    return flags
