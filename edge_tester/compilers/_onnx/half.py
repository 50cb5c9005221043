"""ONNX models in half precision, and from there to float32, which alone is quantized."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from edge_tester.core.backends import backend
from edge_tester.core.errors import CompilationError

LARGEST_FLOAT16 = float(np.finfo(np.float16).max)


def in_float16(owner: object, model: Any) -> Any:
    """Return a model that computes in float16 what it computed in float32.

    Its inputs and outputs keep their types; operations that have no float16 stay in float32.

    Parameters
    ----------
    owner : object
        Who asks, for messages.
    model : onnx.ModelProto

    Raises
    ------
    CompilationError
        A weight is beyond what float16 can hold, and would become another number.
    """
    onnx: Any = backend("onnx", owner)
    for constant in model.graph.initializer:
        if constant.data_type != onnx.TensorProto.FLOAT:
            continue
        largest = float(np.abs(onnx.numpy_helper.to_array(constant)).max(initial=0))
        if LARGEST_FLOAT16 < largest < np.inf:
            raise CompilationError(
                f"{type(owner).__name__}: {constant.name!r} has a weight of {largest:g}, float16 "
                f"holds at most {LARGEST_FLOAT16:g}."
            )
    converter: Any = backend("onnxruntime.transformers.float16", owner)
    with warnings.catch_warnings():
        # It says of each tiny weight that it becomes the smallest number that float16 has.
        warnings.simplefilter("ignore")
        made = converter.convert_float_to_float16(model, keep_io_types=True)
    # Its casts stand at the end, whoever reads them; ONNX wants whoever writes first.
    tools: Any = backend("onnxruntime.transformers.onnx_model", owner)
    tools.OnnxModel.graph_topological_sort(made.graph)
    return made


def in_float32(onnx: Any, model: Any) -> bool:
    """Let a model compute in float32 what it computed in float16; tell whether that was anything.

    Its inputs and outputs keep their types.

    Parameters
    ----------
    onnx : module
    model : onnx.ModelProto
        Is changed.
    """
    half = onnx.TensorProto.FLOAT16
    graph = model.graph
    if not _convert(onnx, graph):
        return False
    first, last = [], []
    for tensor in graph.input:
        if tensor.type.tensor_type.elem_type == half:
            _rename(graph, tensor.name, f"{tensor.name}/float32", places=("input",))
            first.append(_cast(onnx, tensor.name, f"{tensor.name}/float32", "FLOAT"))
    for tensor in graph.output:
        if tensor.type.tensor_type.elem_type == half:
            _rename(graph, tensor.name, f"{tensor.name}/float32", places=("input", "output"))
            last.append(_cast(onnx, f"{tensor.name}/float32", tensor.name, "FLOAT16"))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*first, *nodes, *last])
    return True


def _convert(onnx: Any, graph: Any) -> bool:
    """Convert constants and casts of a graph and of those inside it."""
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    found = any(t.type.tensor_type.elem_type == half for t in (*graph.input, *graph.output))
    del graph.value_info[:]
    for constant in graph.initializer:
        if constant.data_type == half:
            _widen(onnx, constant)
            found = True
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype") and attribute.i == half:
                attribute.i = single
                found = True
            if attribute.HasField("t") and attribute.t.data_type == half:
                _widen(onnx, attribute.t)
                found = True
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                found = _convert(onnx, inner) or found
    return found


def _widen(onnx: Any, constant: Any) -> None:
    values = onnx.numpy_helper.to_array(constant).astype("float32")
    constant.CopyFrom(onnx.numpy_helper.from_array(values, constant.name))


def _rename(graph: Any, before: str, after: str, places: tuple[str, ...]) -> None:
    for node in graph.node:
        for place in places:
            names = getattr(node, place)
            for position, name in enumerate(names):
                if name == before:
                    names[position] = after


def _cast(onnx: Any, source: str, target: str, kind: str) -> Any:
    to = getattr(onnx.TensorProto, kind)
    return onnx.helper.make_node("Cast", [source], [target], to=to)
