"""Outputs of the layers of a Keras model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from edge_tester.core.errors import ModelError
from edge_tester.core.inspects import INPUT, Tensor
from edge_tester.core.tensors import Array


def inspect(keras: Any, network: Any, inputs: Sequence[Array]) -> list[Tensor]:
    """Return what each layer of a functional or sequential model gives in one inference.

    Models within the model are looked into. A layer that is used again has the number of the use
    behind its name, and one with several outputs theirs.

    Parameters
    ----------
    keras : module
    network : keras.Model
    inputs : sequence of ndarray

    Raises
    ------
    ModelError
        The model is a class of its own, whose graph nobody can see.
    """
    found = list(_layers(keras, network, list(inputs), ""))
    given = [
        Tensor(name=one.name, type=INPUT, place=-1, values=np.array(values), dtype=str(one.dtype))
        for one, values in zip(network.inputs, inputs, strict=True)
        if values.dtype.kind == "f"
    ]
    outputs = {id(one): place for place, one in enumerate(network.outputs)}
    names = {key: name for key, name, _, _, _ in found}
    names |= {id(one): one.name for one in network.inputs}
    return given + [
        Tensor(
            name=name,
            type=kind,
            place=place,
            values=np.array(values, np.result_type(values, np.float32)),
            dtype=values.dtype.name,
            precision="float16" if values.dtype == np.float16 else "float32",
            inputs=tuple(names[one] for one in before if one in names),
            output=outputs.get(key),
        )
        for place, (key, name, kind, values, before) in enumerate(found)
    ]


_Found = tuple[int, str, str, Any, list[int]]


def _layers(keras: Any, network: Any, inputs: Sequence[Any], prefix: str) -> Iterator[_Found]:
    """Yield of each output its identity, name, type, values, and what it is computed from."""
    functional = getattr(network, "_functional", network)
    if getattr(functional, "_nodes_by_depth", None) is None:
        raise ModelError(
            f"Keras model {network.name!r} is a {type(network).__name__}, whose layers cannot be "
            "seen: a functional or a sequential model is needed."
        )
    depths = functional._nodes_by_depth
    nodes = [node for depth in sorted(depths, reverse=True) for node in depths[depth]]
    tensors = [tensor for node in nodes for tensor in node.outputs]
    # In eager mode, so that nothing is fused or reordered.
    answers = keras.Model(functional.inputs, tensors)(list(inputs), training=False)
    answers = answers if isinstance(answers, list | tuple) else [answers]
    values = {id(one): np.asarray(got) for one, got in zip(tensors, answers, strict=True)}
    uses: dict[str, int] = {}
    for node in nodes:
        operation = node.operation
        if node.is_input:
            continue
        use = uses[operation.name] = uses.get(operation.name, 0) + 1
        called = prefix + (operation.name if use == 1 else f"{operation.name}:{use}")
        before = [id(one) for one in node.input_tensors]
        if isinstance(operation, keras.Model):
            fed = [values[one] for one in before]
            yield from _layers(keras, operation, fed, f"{called}/")
        for index, tensor in enumerate(node.outputs):
            got = values[id(tensor)]
            if got.dtype.kind == "f":
                own = called if len(node.outputs) == 1 else f"{called}.{index}"
                yield id(tensor), own, type(operation).__name__, got, before
