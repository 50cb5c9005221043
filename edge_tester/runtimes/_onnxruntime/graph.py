"""The graph of an ONNX model: which tensors it has, and parts cut out of it.

A quantization (QuantizeLinear, DequantizeLinear) that follows an operator belongs to it: the
tensor is what DequantizeLinear gives, under the name of what was quantized. A part that begins
there begins before the quantization, and has its own copy of it.

Source: onnx.proto; the names are those that ONNX Runtime's quantizer keeps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from edge_tester.core.errors import ModelError
from edge_tester.core.system.onnxmetadata import SCOPES

_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
_INTEGER_OPERATORS = ("DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "DequantizeLinear")
# Behind the names of inputs of parts, whose own names the outputs have.
GIVEN = "/given"
_FLOAT16_TYPES = ("FLOAT16", "BFLOAT16")


class Step(NamedTuple):
    """A tensor that is told of.

    Attributes
    ----------
    name : str
    raw : str
        What its operator gives.
    read : str
        What has its values in the graph; what DequantizeLinear gives, if it is quantized.
    node : NodeProto or None
        None of an input of the model.
    place : int
    scale, zero_point : float and int, or None
    """

    name: str
    raw: str
    read: str
    node: Any
    place: int
    scale: float | None = None
    zero_point: int | None = None


@dataclasses.dataclass
class Graph:
    """One model, read whole.

    Attributes
    ----------
    onnx : module
    model : ModelProto
    """

    onnx: Any
    model: Any

    def __post_init__(self) -> None:
        """Find what makes and what reads each tensor."""
        graph = self.model.graph
        self.nodes = list(graph.node)
        self.constants = {one.name: one for one in graph.initializer}
        self.inputs = [one.name for one in graph.input if one.name not in self.constants]
        self.outputs = [one.name for one in graph.output]
        self.made_by = {name: node for node in self.nodes for name in node.output if name}
        self.readers: dict[str, list[Any]] = {}
        # What is computed from constants alone counts as one.
        self.constant = set(self.constants)
        for node in self.nodes:
            read = list(self.read_by(node))
            for name in read:
                self.readers.setdefault(name, []).append(node)
            if all(name in self.constant for name in read):
                self.constant.update(node.output)

    def read_by(self, node: Any) -> Iterator[str]:
        """Yield what a node reads, from within its own graphs too."""
        yield from (name for name in node.input if name)
        for graph in self._graphs_of(node):
            made = {one.name for one in [*graph.input, *graph.initializer]}
            made.update(name for inner in graph.node for name in inner.output)
            for inner in graph.node:
                yield from (name for name in self.read_by(inner) if name not in made)
            yield from (one.name for one in graph.output if one.name not in made)

    def _graphs_of(self, node: Any) -> list[Any]:
        return [one.g for one in node.attribute if one.HasField("g")]

    def quantized(self, name: str) -> tuple[Any, Any] | None:
        """Return the nodes that quantize and dequantize a tensor, if it is done in one way."""
        found = [one for one in self.readers.get(name, []) if one.op_type == _QUANTIZE]
        if len(found) != 1 or found[0].input[0] != name:
            return None
        after = self.readers.get(found[0].output[0], [])
        back = [one for one in after if one.op_type == _DEQUANTIZE]
        return (found[0], back[0]) if len(after) == 1 == len(back) else None

    def steps(self) -> list[Step]:
        """Return what may be told of, in the order of the graph; all types of values."""
        found = [Step(name, name, name, None, -1) for name in self.inputs]
        hidden: set[str] = set()
        for name in {*self.inputs, *self.made_by}:
            if (pair := self.quantized(name)) is not None:
                hidden.update((pair[0].output[0], pair[1].output[0]))
        for place, node in enumerate(self.nodes):
            for name in node.output:
                if not name or name in self.constant or name in hidden:
                    continue
                if node.op_type == _QUANTIZE:
                    continue
                found.append(self._step(name, node, place))
        return found

    def _step(self, name: str, node: Any, place: int) -> Step:
        pair = self.quantized(name)
        if pair is None:
            return Step(name, name, name, node, place)
        back = pair[1].output[0]
        numbers = [self.number(one) for one in [*pair[1].input[1:], ""][:2]]
        scale = None if numbers[0] is None else float(numbers[0])
        zero_point = None if scale is None else int(numbers[1] or 0)
        shown = back if back in self.outputs else name
        return Step(shown, name, back, node, place, scale, zero_point)

    def number(self, name: str) -> Any:
        """Return a constant of one element, None of anything else."""
        tensor = self.constants.get(name)
        node = self.made_by.get(name)
        if tensor is None and node is not None and node.op_type == "Constant":
            tensor = next((one.t for one in node.attribute if one.name == "value"), None)
        if tensor is None:
            return None
        values = self.onnx.numpy_helper.to_array(tensor)
        return values.reshape(-1)[0] if values.size == 1 else None

    def before(self, step: Step, told: Mapping[str, str]) -> tuple[str, ...]:
        """Return the nearest told tensors that one is computed from.

        ``told`` has their names by what has their values in the graph.
        """
        found: dict[str, None] = {}
        waiting = list(self.read_by(step.node)) if step.node is not None else []
        seen = set()
        while waiting:
            name = waiting.pop(0)
            if name in seen or name in self.constant:
                continue
            seen.add(name)
            if name in told:
                found[told[name]] = None
            elif (node := self.made_by.get(name)) is not None:
                waiting += self.read_by(node)
        return tuple(found)

    def precision(self, step: Step) -> str:
        """Return the coarsest type that takes part in a node."""
        if step.scale is not None:
            return "integers"
        if step.node is None:
            return "float32"
        found = ["float32"]
        for name in self.read_by(step.node):
            node = self.made_by.get(name)
            if node is not None and node.op_type in _INTEGER_OPERATORS:
                found.append("integers")
            tensor = self.constants.get(name)
            if tensor is not None:
                kind = self.onnx.TensorProto.DataType.Name(tensor.data_type)
                found += ["float16"] * (kind in _FLOAT16_TYPES)
        if step.node.op_type in _INTEGER_OPERATORS or step.node.op_type.startswith("QLinear"):
            found.append("integers")
        return max(found, key=("float32", "float16", "integers").index)

    def scopes(self, step: Step) -> tuple[str, ...]:
        """Return the modules of PyTorch that a node is of, where its exporter tells."""
        if step.node is None:
            return ()
        text = next((one.value for one in step.node.metadata_props if one.key == SCOPES), "")
        # A list as Python writes it, of names in quotes; the last one is the function's.
        names = text.strip("[]").split(", ") if text else []
        return tuple(name[1:-1] for name in names[:-1] if name[1:-1])


def with_all_outputs(graph: Graph, steps: Sequence[Step]) -> Any:
    """Return the model with these tensors as its outputs, in this order; inputs are left out."""
    model = graph.onnx.ModelProto()
    model.CopyFrom(graph.model)
    del model.graph.output[:]
    names = [step.read for step in steps if step.node is not None]
    model.graph.output.extend(graph.onnx.ValueInfoProto(name=name) for name in names)
    return model


class Port(NamedTuple):
    """An input of a part: the tensor, its shape and numpy's name of its type."""

    step: Step
    shape: tuple[int, ...]
    dtype: str


def part(graph: Graph, ports: Sequence[Port], outputs: Sequence[Step]) -> tuple[Any, list[str]]:
    """Return the model that computes some tensors from others, and its inputs' names.

    Raises
    ------
    ModelError
        A tensor that is to be an output is an input of the whole.
    """
    onnx = graph.onnx
    for one in outputs:
        if one.node is None:
            raise ModelError(f"{one.name!r} is an input of the model: no part computes it.")
    renamed, added, untouched = {}, [], []
    for port in ports:
        given = port.step.name + GIVEN
        pair = graph.quantized(port.step.raw)
        renamed[port.step.raw] = given
        if pair is not None:
            # What reads it reads a quantization of its own; the old one makes the output.
            copies = [_copy(onnx, one) for one in pair]
            for copy, source in zip(copies, (given, given + copies[0].output[0]), strict=True):
                copy.name += GIVEN
                copy.input[0] = source
            copies[0].output[0] = given + copies[0].output[0]
            copies[1].output[0] = renamed[pair[1].output[0]] = given + copies[1].output[0]
            added += copies
            untouched.append(pair[0].output[0])
    nodes = added
    for node in graph.nodes:
        nodes.append(copy := _copy(onnx, node))
        if node.output[0] not in untouched:
            _rename(copy, renamed)
    return _written(graph, nodes, ports, outputs)


def _written(
    graph: Graph, nodes: Sequence[Any], ports: Sequence[Port], outputs: Sequence[Step]
) -> tuple[Any, list[str]]:
    """Return a model of those nodes that are needed, and the names of its inputs."""
    onnx, wanted = graph.onnx, {one.read for one in outputs}
    kept = []
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted.update(graph.read_by(node))
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    old = graph.model.graph
    del model.graph.node[:], model.graph.input[:], model.graph.output[:]
    del model.graph.initializer[:], model.graph.value_info[:]
    model.graph.node.extend(reversed(kept))
    model.graph.initializer.extend(one for one in old.initializer if one.name in wanted)
    used = [port for port in ports if port.step.name + GIVEN in wanted]
    for port in used:
        kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype))
        name = port.step.name + GIVEN
        model.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, port.shape))
    whole = [one for one in old.input if one.name in wanted and one.name in graph.inputs]
    model.graph.input.extend(whole)
    names = [one.read for one in outputs]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return model, [*(port.step.name for port in used), *(one.name for one in whole)]


def _copy(onnx: Any, node: Any) -> Any:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy


def _rename(node: Any, names: Mapping[str, str]) -> None:
    for place, name in enumerate(node.input):
        node.input[place] = names.get(name, name)
    for attribute in node.attribute:
        if attribute.HasField("g"):
            made = {name for inner in attribute.g.node for name in inner.output}
            made.update(one.name for one in attribute.g.input)
            inside = {old: new for old, new in names.items() if old not in made}
            for inner in attribute.g.node:
                _rename(inner, inside)
