"""The layers of an ONNX graph that can be quantized, and what the user's names stand for."""

from __future__ import annotations

import math
from typing import Any

from edge_tester.core.selectivecompiler import Layer


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
    return [
        Layer(
            name=node.output[0],
            kind=node.op_type,
            inputs=tuple(name for name in node.input if name and name not in sizes),
            outputs=tuple(node.output),
            weights=_weights(node, sizes),
            node=node.name,
        )
        for node in model.graph.node
        if node.op_type in operations
    ]


def stand_ins(name: str, source: Any, model: Any) -> list[str]:
    """Return the layers that were made from one of the user's file, which is there no more.

    What is fused, such as a convolution with its normalization, keeps the name of the last tensor:
    the way from a node goes on to what reads it until there is one that is still there.

    Parameters
    ----------
    name : str
        Of a node, or a tensor that it writes.
    source : onnx.GraphProto
        The user's.
    model : onnx.ModelProto
        Prepared.
    """
    there = {tensor for node in model.graph.node for tensor in node.output}
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
