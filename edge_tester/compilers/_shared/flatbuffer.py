"""Reading LiteRT (TensorFlow Lite) files back: weights, input and output types.

Format: the schema of TensorFlow Lite, ``schema.fbs`` version 3, through the
accessors that ai-edge-litert brings. Nothing of the weights is copied.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edge_tester.core.artifact import Weights
from edge_tester.core.backends import backend
from edge_tester.core.errors import ModelError
from edge_tester.core.tensors import Array

IDENTIFIER = b"TFL3"
# Of a signature that is added to files without one; any name would do.
ADDED_SIGNATURE = "serving_default"
_INTEGERS = ("int2", "int4", "uint4", "int8", "uint8", "int16")
_FLOATS = ("float16", "bfloat16", "float32", "float64")
# Operation -> positions of its biases among its inputs.
_BIASES = {
    "CONV_2D": (2,),
    "CONV_3D": (2,),
    "DEPTHWISE_CONV_2D": (2,),
    "FULLY_CONNECTED": (2,),
    "TRANSPOSE_CONV": (3,),
    "CONV_3D_TRANSPOSE": (3,),
    "LSTM": (12, 13, 14, 15),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (12, 13, 14, 15),
}


@dataclasses.dataclass(frozen=True)
class Flatbuffer:
    """One parsed model file.

    Attributes
    ----------
    schema : module
        Accessors of the format.
    content : bytes
        The whole file.
    model : object
        Root of the flatbuffer.
    """

    schema: Any
    content: bytes
    model: Any

    @classmethod
    def read(cls, path: Path, needed_by: object) -> Flatbuffer:
        """Parse a file.

        Parameters
        ----------
        path : Path
        needed_by : object
            Who asks, for the message if ai-edge-litert is missing.

        Raises
        ------
        ModelError
            The file does not have the identifier of the format.
        """
        content = path.read_bytes()
        if content[4:8] != IDENTIFIER:
            raise ModelError(f"{path} is no LiteRT (TensorFlow Lite) model.")
        schema = backend("ai_edge_litert.schema_py_generated", needed_by)
        return cls(schema, content, schema.Model.GetRootAs(content, 0))

    def weights(self) -> Weights:
        """Count the weights by dtype.

        A weight is an element of a constant tensor that an operation reads and
        that is of a floating-point type, or of an integer type of at most 16
        bits with a scale. Integers without a scale are shapes, axes or indices.
        Scalars do not count, and neither do biases: constants that are only
        read, directly or through DEQUANTIZE, in the bias position of a
        convolution, a fully connected layer or an LSTM, and vectors that ADD
        reads. Constants that share their data count once.
        """
        elements: dict[str, int] = {}
        seen: set[int] = set()
        for graph in self._graphs():
            for index in self._weight_tensors(graph):
                tensor = graph.Tensors(index)
                if tensor.Buffer() not in seen:
                    seen.add(tensor.Buffer())
                    dtype = self._dtype(tensor)
                    elements[dtype] = elements.get(dtype, 0) + _size(tensor)
        total = sum(elements.values())
        integers = sum(count for dtype, count in elements.items() if dtype in _INTEGERS)
        return Weights(elements=elements, quantized_share=integers / total if total else 0.0)

    def input_and_output_types(self) -> tuple[list[str], list[str]]:
        """Return the dtypes of the inputs and of the outputs."""
        graph = self.model.Subgraphs(0)
        return (
            [self._dtype(graph.Tensors(i)) for i in graph.InputsAsNumpy()],
            [self._dtype(graph.Tensors(i)) for i in graph.OutputsAsNumpy()],
        )

    def is_quantized(self) -> bool:
        """Tell whether any tensor is a quantized integer or of half precision."""
        return any(
            (dtype in _INTEGERS and _has_scale(tensor)) or dtype in ("float16", "bfloat16")
            for graph in self._graphs()
            for tensor in (graph.Tensors(i) for i in range(graph.TensorsLength()))
            for dtype in (self._dtype(tensor),)
        )

    def signature(self) -> tuple[str, list[str]]:
        """Return the key of the main graph's signature and its inputs' names.

        Returns
        -------
        key, names : str and list of str, in the order of the graph's inputs

        Raises
        ------
        ModelError
            The main graph has no signature.
        """
        for signature in self._signatures():
            entries = [signature.Inputs(i) for i in range(signature.InputsLength())]
            names = {entry.TensorIndex(): entry.Name().decode() for entry in entries}
            order = self.model.Subgraphs(0).InputsAsNumpy()
            return signature.SignatureKey().decode(), [names[index] for index in order]
        raise ModelError("This LiteRT (TensorFlow Lite) model has no signature.")

    def ordered(self, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
        """Return the content with the inputs and outputs in the order of these names.

        The names are those of the signature. If it has others, which are then the keys of
        a dictionary, they are sorted, as TensorFlow flattens dictionaries.
        """
        content = bytearray(self.content)
        graph = self.schema.Model.GetRootAs(content, 0).Subgraphs(0)
        (signature,) = self._signatures()
        for indices, wanted, entries in (
            (graph.InputsAsNumpy(), inputs, map(signature.Inputs, range(len(inputs)))),
            (graph.OutputsAsNumpy(), outputs, map(signature.Outputs, range(len(outputs)))),
        ):
            found = {entry.Name().decode(): entry.TensorIndex() for entry in entries}
            names = wanted if set(wanted) == set(found) else sorted(found)
            # A view on the content: nothing has to be packed again.
            indices[:] = [found[name] for name in names]
        return bytes(content)

    def modernized(self) -> Flatbuffer:
        """Return the same model as newer tools read it.

        Files of before 2020 have the codes of operations in an older field alone, and no
        signature of the main graph.
        """
        model = self.schema.ModelT.InitFromPackedBuf(self.content, 0)
        old = [c for c in model.operatorCodes if c.builtinCode < c.deprecatedBuiltinCode]
        if not old and self._signatures():
            return self
        for code in old:
            code.builtinCode = code.deprecatedBuiltinCode
        if not self._signatures():
            self._add_signature(model)
        builder = backend("flatbuffers", "Flatbuffer").Builder(len(self.content))
        builder.Finish(model.Pack(builder), IDENTIFIER)
        content = bytes(builder.Output())
        return Flatbuffer(self.schema, content, self.schema.Model.GetRootAs(content, 0))

    def operations(self) -> Iterator[tuple[Any, Any, str]]:
        """Yield each operation with its graph and its name."""
        for graph in self._graphs():
            for index in range(graph.OperatorsLength()):
                operation = graph.Operators(index)
                yield graph, operation, self._name(operation)

    def constant(self, tensor: Any) -> Array | None:
        """Return a view on the values of a constant of floats, None of anything else."""
        dtype = self._dtype(tensor)
        data = self.model.Buffers(tensor.Buffer()).DataAsNumpy()
        # What has no data gives the number 0 instead of an array.
        if dtype not in ("float16", "float32") or isinstance(data, int) or not len(data):
            return None
        shape = [int(tensor.Shape(i)) for i in range(tensor.ShapeLength())]
        values: Array = data.view(dtype).reshape(shape)
        return values

    def _add_signature(self, model: Any) -> None:
        graph = model.subgraphs[0]
        added = self.schema.SignatureDefT()
        added.signatureKey = ADDED_SIGNATURE.encode()
        added.subgraphIndex = 0
        added.inputs = [self._entry(f"input_{n}", i) for n, i in enumerate(graph.inputs)]
        added.outputs = [self._entry(f"output_{n}", i) for n, i in enumerate(graph.outputs)]
        model.signatureDefs = [*(model.signatureDefs or []), added]

    def _entry(self, name: str, index: int) -> Any:
        entry = self.schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), index
        return entry

    def _signatures(self) -> list[Any]:
        signatures = [self.model.SignatureDefs(i) for i in range(self.model.SignatureDefsLength())]
        return [signature for signature in signatures if signature.SubgraphIndex() == 0]

    def _graphs(self) -> Iterator[Any]:
        return (self.model.Subgraphs(i) for i in range(self.model.SubgraphsLength()))

    def _weight_tensors(self, graph: Any) -> Iterator[int]:
        operations = [graph.Operators(i) for i in range(graph.OperatorsLength())]
        # What a DEQUANTIZE of a constant gives stands for that constant.
        source = {
            int(operation.Outputs(0)): int(operation.Inputs(0))
            for operation in operations
            if self._name(operation) == "DEQUANTIZE" and self._is_constant(graph, operation, 0)
        }
        read: set[int] = set()
        for operation in operations:
            name = self._name(operation)
            for position in range(operation.InputsLength()):
                index = int(operation.Inputs(position))
                index = source.get(index, index)
                passed_on = name == "DEQUANTIZE" and index in source.values()
                if index < 0 or passed_on or position in _BIASES.get(name, ()):
                    continue
                if not (name == "ADD" and _is_vector(graph.Tensors(index))):
                    read.add(index)
        for index in sorted(read):
            tensor = graph.Tensors(index)
            dtype = self._dtype(tensor)
            is_number = dtype in _FLOATS or (dtype in _INTEGERS and _has_scale(tensor))
            if is_number and tensor.ShapeLength() and self._has_data(tensor):
                yield index

    def _is_constant(self, graph: Any, operation: Any, position: int) -> bool:
        return self._has_data(graph.Tensors(operation.Inputs(position)))

    def _has_data(self, tensor: Any) -> bool:
        buffer = self.model.Buffers(tensor.Buffer())
        # Files beyond 2 GB keep the data behind the flatbuffer, at an offset.
        return bool(buffer.DataLength() or buffer.Offset() > 1)

    def _name(self, operation: Any) -> str:
        code = self.model.OperatorCodes(operation.OpcodeIndex())
        # Old files have the code in the older, narrower field only.
        names = _names_of(self.schema.BuiltinOperator)
        return names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]

    def _dtype(self, tensor: Any) -> str:
        return _names_of(self.schema.TensorType)[tensor.Type()].lower()


@functools.cache
def _names_of(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _has_scale(tensor: Any) -> bool:
    parameters = tensor.Quantization()
    return parameters is not None and parameters.ScaleLength() > 0


def _is_vector(tensor: Any) -> bool:
    sizes = [int(tensor.Shape(i)) for i in range(tensor.ShapeLength())]
    return sum(size > 1 for size in sizes) <= 1


def _size(tensor: Any) -> int:
    return math.prod(int(tensor.Shape(i)) for i in range(tensor.ShapeLength()))
