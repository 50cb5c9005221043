"""Intermediate tensors of ONNX models, by outputs that are added; parts as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_tester.core.errors import ModelError
from edge_tester.core.inspects import INPUT, Tensor
from edge_tester.core.system.temporary import TemporaryFolder
from edge_tester.core.tensors import Array
from edge_tester.runtimes._onnxruntime.graph import Graph, Port, Step, part, with_all_outputs

# One file of the format holds less than this; beyond, weights lie beside it.
_LARGEST_BYTES = (1 << 31) - (1 << 20)


def inspect(
    onnx: Any,
    file: Path,
    session_of: Callable[[Path], Any],
    feeds: Mapping[str, Array],
) -> list[Tensor]:
    """Return the tensors of one inference.

    Parameters
    ----------
    onnx : module
    file : Path
    session_of : callable
        Makes a session of a file.
    feeds : mapping of str to ndarray
    """
    graph = Graph(onnx, onnx.load(str(file)))
    steps = graph.steps()
    with TemporaryFolder() as folder:
        target = Path(folder) / "all.onnx"
        write(onnx, with_all_outputs(graph, steps), target)
        found = session_of(target).run(None, dict(feeds))
    inner = [step for step in steps if step.node is not None]
    values = {step.name: one for step, one in zip(inner, found, strict=True)}
    values |= {step.name: feeds[step.name] for step in steps if step.node is None}
    told = [step for step in steps if is_real(values[step.name])]
    names = {step.read: step.name for step in told} | {step.raw: step.name for step in told}
    return [_tensor(graph, step, values[step.name], names) for step in told]


def is_real(values: Any) -> bool:
    """Tell whether an output is a tensor of real numbers."""
    return isinstance(values, np.ndarray) and values.dtype.kind == "f"


def _tensor(graph: Graph, step: Step, values: Array, names: Mapping[str, str]) -> Tensor:
    output = step.read if step.read in graph.outputs else step.raw
    return Tensor(
        name=step.name,
        type=INPUT if step.node is None else step.node.op_type,
        place=step.place,
        values=np.array(values, np.float32 if values.dtype == np.float16 else values.dtype),
        dtype=values.dtype.name,
        scale=step.scale,
        zero_point=step.zero_point,
        precision="float16" if values.dtype == np.float16 else graph.precision(step),
        inputs=graph.before(step, names),
        scopes=graph.scopes(step),
        output=graph.outputs.index(output) if output in graph.outputs else None,
    )


def cut(
    onnx: Any, file: Path, target: Path, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> list[str]:
    """Write a part; see :meth:`edge_tester.core.inspects.Cuts.cut`."""
    graph = Graph(onnx, onnx.load(str(file)))
    steps = {step.name: step for step in graph.steps()}
    for one in [*inputs, *outputs]:
        if one.name not in steps:
            raise ModelError(f"{file} has no tensor {one.name!r}.")
    ports = [Port(steps[one.name], np.shape(one.values), one.dtype) for one in inputs]
    model, names = part(graph, ports, [steps[one.name] for one in outputs])
    write(onnx, model, target)
    return names


def write(onnx: Any, model: Any, target: Path) -> None:
    """Write a model, its weights in a file beside it if there are too many."""
    beside = model.ByteSize() > _LARGEST_BYTES
    onnx.save(model, str(target), save_as_external_data=beside, location=f"{target.name}.data")
