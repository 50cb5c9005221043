"""Intermediate tensors of .tflite models, and parts cut out of them.

Without ``experimental_preserve_all_tensors`` a third to a half of the tensors hold what later
operators wrote, and delegates write none at all; so built-in kernels run here.
Source: schema.fbs of TensorFlow Lite, through its object API.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_tester.core.backends import backend
from edge_tester.core.errors import InputError, ModelError
from edge_tester.core.inspects import INPUT, Tensor
from edge_tester.core.tensors import Array, TensorSpec, require_fitting

GIVEN = "/given"
_IDENTIFIER = b"TFL3"
_NO_TENSOR = -1
_INTEGERS = ("int8", "uint8", "int16")


def inspect(
    owner: object,
    module: Any,
    file: Path,
    specs: Sequence[TensorSpec],
    inputs: Sequence[Array],
) -> list[Tensor]:
    """Return the tensors of one inference of an interpreter that is made for it.

    Parameters
    ----------
    owner : object
        Who asks, for messages.
    module : module
        With the interpreter.
    file : Path
    specs : sequence of TensorSpec
        Of the inputs.
    inputs : sequence of ndarray
    """
    require_fitting(owner, specs, inputs)
    interpreter = module.Interpreter(
        model_path=str(file),
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    given = interpreter.get_input_details()
    try:
        for detail, values in zip(given, inputs, strict=True):
            if tuple(detail["shape"]) != values.shape:
                interpreter.resize_tensor_input(detail["index"], values.shape)
        interpreter.allocate_tensors()
        for detail, values in zip(given, inputs, strict=True):
            interpreter.set_tensor(detail["index"], values)
        interpreter.invoke()
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{file}: {' '.join(str(error).split())}") from error
    return _Tensors(interpreter).told()


class _Tensors:
    """What an interpreter that has run tells."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter
        self._details = {one["index"]: one for one in interpreter.get_tensor_details()}
        self._operators = interpreter._get_ops_details()
        self._inputs = [one["index"] for one in interpreter.get_input_details()]
        self._outputs = [one["index"] for one in interpreter.get_output_details()]
        self._sources: dict[int, set[int]] = {}
        self._computed = set(self._inputs)
        self._kinds: dict[int, str] = {}

    def told(self) -> list[Tensor]:
        """Return all tensors of real numbers that depend on the inputs."""
        found = {index: self._tensor(index, INPUT, -1, "float32", ()) for index in self._inputs}
        for place, one in enumerate(self._operators):
            read = [index for index in one["inputs"].tolist() if index != _NO_TENSOR]
            dtypes = [self._kinds.get(index, self._dtype(index)) for index in read]
            made = [index for index in one["outputs"].tolist() if index in self._details]
            if not self._computed.intersection(read):
                # What is made of constants is as coarse as they are.
                self._kinds |= {
                    index: self._coarse([*dtypes, self._dtype(index)]) for index in made
                }
                continue
            self._computed.update(made)
            before: dict[int, None] = {}
            for index in read:
                before |= dict.fromkeys(
                    [index] if found.get(index) else self._sources.get(index, [])
                )
            for index in made:
                kind = self._coarse([*dtypes, self._dtype(index)])
                tensor = self._tensor(index, one["op_name"], place, kind, tuple(before))
                found[index] = tensor
                if tensor is None:
                    self._sources[index] = set(before)
        return [one for one in found.values() if one is not None]

    def _coarse(self, dtypes: Sequence[str]) -> str:
        if any(one in _INTEGERS or one == "integers" for one in dtypes):
            return "integers"
        return "float16" if "float16" in dtypes else "float32"

    def _dtype(self, index: int) -> str:
        detail = self._details.get(index)
        return np.dtype(detail["dtype"]).name if detail else ""

    def _tensor(
        self, index: int, kind: str, place: int, precision: str, before: Sequence[int]
    ) -> Tensor | None:
        """Return a tensor, None of what is not of real numbers or has no memory."""
        detail = self._details[index]
        dtype = np.dtype(detail["dtype"])
        scales = detail["quantization_parameters"]["scales"]
        points = detail["quantization_parameters"]["zero_points"]
        quantized = dtype.kind in "iu" and scales.size > 0
        if not quantized and dtype.kind != "f":
            return None
        try:
            values = self._interpreter.get_tensor(index)
        except ValueError:
            return None
        if quantized:
            whole = values.astype(np.float32)
            shape = [1] * values.ndim
            if scales.size > 1:
                shape[detail["quantization_parameters"]["quantized_dimension"]] = -1
            values = (whole - points.astype(np.float32).reshape(shape)) * scales.reshape(shape)
        return Tensor(
            name=self._name(index),
            type=kind,
            place=place,
            values=np.array(values, np.float32 if dtype.itemsize < 8 else np.float64),
            dtype=dtype.name,
            scale=float(scales[0]) if quantized and scales.size == 1 else None,
            zero_point=int(points[0]) if quantized and scales.size == 1 else None,
            precision=self._coarse([dtype.name]) if kind == INPUT else precision,
            inputs=tuple(self._name(one) for one in before),
            scopes=_scopes(detail["name"]),
            output=self._outputs.index(index) if index in self._outputs else None,
        )

    def _name(self, index: int) -> str:
        name = str(self._details[index]["name"])
        # Names need not be unique, nor be there at all.
        others = [i for i, one in self._details.items() if one["name"] == name]
        return name if len(others) == 1 and name else f"{name}#{index}"


def _scopes(name: str) -> tuple[str, ...]:
    """Return the layers of a name of TensorFlow's converter: those of the last fused operator."""
    return tuple(name.partition(";")[0].split("/")[:-1])


def cut(
    file: Path, target: Path, inputs: Sequence[Tensor], outputs: Sequence[Tensor], owner: object
) -> list[str]:
    """Write a part; see :meth:`edge_tester.core.inspects.Cuts.cut`."""
    schema: Any = backend("ai_edge_litert.schema_py_generated", owner)
    model = schema.ModelT.InitFromPackedBuf(file.read_bytes(), 0)
    graph = model.subgraphs[0]
    places = _places(graph, file)
    for one in [*inputs, *outputs]:
        if one.name not in places:
            raise ModelError(f"{file} has no tensor {one.name!r}.")
    wanted = [places[one.name] for one in outputs]
    given: dict[int, int] = {}
    names: dict[int, str] = {}
    for one in inputs:
        index = places[one.name]
        port = copy.copy(graph.tensors[index])
        port.name = graph.tensors[index].name + GIVEN.encode()
        port.shape, port.shapeSignature = list(np.shape(one.values)), None
        port.buffer = 0
        given[index] = len(graph.tensors)
        names[given[index]] = one.name
        graph.tensors.append(port)
    for operator in graph.operators:
        operator.inputs = [given.get(int(index), int(index)) for index in operator.inputs]
    needed, kept = set(wanted), []
    for operator in reversed(graph.operators):
        if needed.intersection(int(index) for index in operator.outputs):
            kept.append(operator)
            needed.update(int(index) for index in operator.inputs if index != _NO_TENSOR)
    graph.operators = kept[::-1]
    whole = [int(index) for index in graph.inputs if index in needed]
    if computed := [one.name for one in outputs if places[one.name] in graph.inputs]:
        raise ModelError(f"{computed[0]!r} is an input of the model: no part computes it.")
    names |= {index: name for name, index in places.items() if index in whole}
    graph.inputs = [index for index in given.values() if index in needed] + whole
    graph.outputs = wanted
    model.signatureDefs = None
    used = [names[index] for index in graph.inputs]
    _prune(model, graph)
    builder = backend("flatbuffers", owner).Builder(1024)
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    target.write_bytes(bytes(builder.Output()))
    return used


def _places(graph: Any, file: Path) -> dict[str, int]:
    texts = [(one.name or b"").decode() for one in graph.tensors]
    return {
        (text if text and texts.count(text) == 1 else f"{text}#{index}"): index
        for index, text in enumerate(texts)
    }


def _prune(model: Any, graph: Any) -> None:
    """Leave out tensors that nothing reads or gives, and data that no tensor has."""
    used = {int(i) for i in [*graph.inputs, *graph.outputs]}
    for operator in graph.operators:
        used.update(int(i) for i in [*operator.inputs, *operator.outputs] if i != _NO_TENSOR)
        used.update(int(i) for i in operator.intermediates or [])
    number = {old: new for new, old in enumerate(sorted(used))}
    number[_NO_TENSOR] = _NO_TENSOR
    graph.tensors = [graph.tensors[index] for index in sorted(used)]
    graph.inputs = [number[int(i)] for i in graph.inputs]
    graph.outputs = [number[int(i)] for i in graph.outputs]
    for operator in graph.operators:
        operator.inputs = [number[int(i)] for i in operator.inputs]
        operator.outputs = [number[int(i)] for i in operator.outputs]
        if operator.intermediates is not None:
            operator.intermediates = [number[int(i)] for i in operator.intermediates]
    held = {tensor.buffer for one in model.subgraphs for tensor in one.tensors}
    held.update(one.buffer for one in model.metadata or [])
    for place, buffer in enumerate(model.buffers):
        if place not in held:
            buffer.data = None
