"""The layers of an ONNX graph that can be quantized, and what the user's names stand for."""

from __future__ import annotations

import math
from typing import Any

from edge_tester.core.selectivecompiler import Layer

# What is computed with the layer before it.
_JOINED = ("Relu", "Clip")


def layers_of(model: Any, operations: list[str]) -> list[Layer]:
    """Return the nodes that the quantizer knows, in the order of the graph.

    Parameters
    ----------
    model : onnx.ModelProto
        Prepared; each node has a name of its own.
    operations : list of str
        What the quantizer knows.
    """
    sizes = {one.name: math.prod(one.dims) for one in model.graph.initializer}
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    answers = {one.name for one in model.graph.output}
    found, joined = [], set()
    for node in model.graph.node:
        if node.op_type not in operations or node.name in joined:
            continue
        outputs, kind, after = tuple(node.output), node.op_type, readers.get(node.output[0], [])
        if len(after) == 1 and after[0].op_type in _JOINED and outputs[0] not in answers:
            # The quantizer gives both one range, and kernels run them as one.
            joined.add(after[0].name)
            outputs, kind = tuple(after[0].output), f"{kind} {after[0].op_type}"
        layer = Layer(
            name=outputs[0],
            kind=kind,
            inputs=tuple(name for name in node.input if name and name not in sizes),
            outputs=outputs,
            weights=_weights(node, sizes),
            node=node.name,
        )
        found.append(layer)
    return found


def nodes_of(layers: list[Layer], model: Any) -> list[str]:
    """Return the names of the nodes that make up some layers."""
    names = {layer.node for layer in layers}
    written = {output for layer in layers for output in layer.outputs}
    return [
        node.name
        for node in model.graph.node
        if node.name in names or written.intersection(node.output)
    ]


def stand_ins(name: str, source: Any, layers: list[Layer]) -> list[str]:
    """Return the layers that were made from one of the user's file, which is there no more.

    What is fused, such as a convolution with its normalization, keeps the name of the last tensor:
    the way from a node goes on to what reads it until there is one that is still there.

    Parameters
    ----------
    name : str
        Of a node, or a tensor that it writes.
    source : onnx.GraphProto
        The user's.
    layers : list of Layer
        Of what it was made to.
    """
    there = {tensor for layer in layers for tensor in layer.outputs}
    waiting = [node for node in source.node if name == node.name or name in node.output]
    found, seen = [], set()
    while waiting:
        node = waiting.pop(0)
        if node.output[0] in seen:
            continue
        seen.add(node.output[0])
        if node.output[0] in there:
            found.append(node.output[0])
        else:
            waiting += [one for one in source.node if set(one.input) & set(node.output)]
    return found


def _weights(node: Any, sizes: dict[str, int]) -> int:
    """Count the weights of a node; vectors are biases, axes and factors."""
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul", "Gather"):
        return 0
    return sum(sizes.get(name, 0) for name in node.input[:2])
