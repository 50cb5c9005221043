"""The layers of a LiteRT (TensorFlow Lite) file that can be quantized, and all of its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from edge_tester.compilers._shared.flatbuffer import Flatbuffer
from edge_tester.core.backends import backend
from edge_tester.core.selectivecompiler import Layer
from edge_tester.core.tensors import Array


def layers_of(source: Flatbuffer) -> list[Layer]:
    """Return the operations of a float32 model that write floats, in the order of the graph."""
    found = []
    for graph, operation, kind in source.operations():
        inputs = [graph.Tensors(i) for i in _indices(operation.InputsAsNumpy()) if i >= 0]
        outputs = [graph.Tensors(i) for i in _indices(operation.OutputsAsNumpy())]
        constants = [source.constant(one) for one in inputs]
        floats = source.schema.TensorType.FLOAT32
        if not any(one.Type() == floats for one in outputs):
            continue
        names = tuple(one.Name().decode() for one in outputs)
        found.append(
            Layer(
                name=names[0],
                kind=kind,
                inputs=tuple(
                    one.Name().decode()
                    for one, constant in zip(inputs, constants, strict=True)
                    if constant is None and one.Type() == floats
                ),
                outputs=names,
                # What was fused has the names of all its parts.
                node=names[0].partition(";")[0],
                # Vectors are biases.
                weights=sum(c.size for c in constants if c is not None and c.ndim > 1),
            )
        )
    return found


def scope_of(layer: Layer) -> str:
    """Return the regular expression by which a recipe knows a layer: the names of its outputs."""
    return "^" + ";".join(map(re.escape, layer.outputs)) + ";?$"


def all_tensors(
    owner: object, source: Flatbuffer, samples: Iterator[dict[str, Array]]
) -> Iterator[dict[str, Array]]:
    """Yield all float tensors of a model, by name, for one sample after the other.

    Delegates would share the memory of tensors: plain kernels run it.
    """
    module: Any = backend("ai_edge_litert.interpreter", owner)
    interpreter = module.Interpreter(
        model_content=source.content,
        num_threads=1,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    graph = source.model.Subgraphs(0)
    places = _indices(graph.InputsAsNumpy())
    written = {
        int(i)
        for index in range(graph.OperatorsLength())
        for i in _indices(graph.Operators(index).OutputsAsNumpy())
        if graph.Tensors(int(i)).Type() == source.schema.TensorType.FLOAT32
    }
    names = {i: graph.Tensors(i).Name().decode() for i in (*places, *written)}
    for sample in samples:
        for place, values in zip(places, sample.values(), strict=True):
            interpreter.set_tensor(place, values)
        interpreter.invoke()
        yield {names[i]: np.array(interpreter.get_tensor(i)) for i in sorted(names)}


def _indices(found: Any) -> list[int]:
    # What has none gives the number 0 instead of an array.
    return [] if isinstance(found, int) else [int(one) for one in found]
