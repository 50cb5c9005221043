"""ONNX models of half precision in float32, from which alone the quantizer quantizes."""

from __future__ import annotations

from typing import Any


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
