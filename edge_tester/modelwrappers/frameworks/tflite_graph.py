"""The main graph of a LiteRT (TensorFlow Lite) file, with sizes for one batch size.

Source: the schema of TensorFlow Lite, ``schema.fbs`` version 3, and the kernels' layouts of
weights, ``tensorflow/lite/kernels`` (conv.cc, depthwise_conv.cc, transpose_conv.cc,
fully_connected.cc, batch_matmul.cc, unidirectional_sequence_lstm.cc).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge_tester.core.backends import backend
from edge_tester.core.errors import ModelError, OptionError
from edge_tester.core.graphs import (
    Convolution,
    Form,
    Free,
    Graph,
    GraphTensor,
    Operator,
    Product,
    Recurrent,
    Role,
    Shape,
    Unknown,
    Work,
)
from edge_tester.core.model import ModelWrapper

_IDENTIFIER = b"TFL3"
_NO_TENSOR = -1
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "CONV_3D")
_TRANSPOSED = ("TRANSPOSE_CONV", "CONV_3D_TRANSPOSE")
_RECURRENT = (
    *("LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM"),
    *("RNN", "UNIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_RNN"),
)
# Those that run other graphs of the file.
_WITH_GRAPHS = ("WHILE", "IF", "CALL", "CALL_ONCE")
_VIEWS = frozenset("RESHAPE SQUEEZE EXPAND_DIMS".split())
_ACTIVATIONS = frozenset(
    "RELU RELU6 RELU_N1_TO_1 RELU_0_TO_1 LOGISTIC TANH LEAKY_RELU ELU HARD_SWISH PRELU GELU NEG "
    "ABS EXP LOG SQRT RSQRT SQUARE FLOOR CEIL ROUND SIN COS SIGN LOGICAL_NOT".split()
)
_ELEMENTWISE = frozenset(
    "ADD SUB MUL DIV POW MAXIMUM MINIMUM SQUARED_DIFFERENCE SELECT SELECT_V2 EQUAL NOT_EQUAL "
    "LESS LESS_EQUAL GREATER GREATER_EQUAL LOGICAL_AND LOGICAL_OR FLOOR_DIV FLOOR_MOD ADD_N "
    "ATAN2 BITWISE_XOR".split()
)
_FREE = frozenset(
    "AVERAGE_POOL_2D MAX_POOL_2D L2_POOL_2D MEAN SUM REDUCE_MAX REDUCE_MIN REDUCE_PROD "
    "REDUCE_ANY REDUCE_ALL ARG_MAX ARG_MIN CONCATENATION SPLIT SPLIT_V PACK UNPACK SLICE "
    "STRIDED_SLICE TRANSPOSE GATHER GATHER_ND SCATTER_ND TILE BROADCAST_TO BROADCAST_ARGS PAD "
    "PADV2 MIRROR_PAD RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR DEPTH_TO_SPACE SPACE_TO_DEPTH "
    "SPACE_TO_BATCH_ND BATCH_TO_SPACE_ND REVERSE_V2 REVERSE_SEQUENCE SOFTMAX LOG_SOFTMAX "
    "L2_NORMALIZATION LOCAL_RESPONSE_NORMALIZATION CAST BITCAST QUANTIZE DEQUANTIZE FAKE_QUANT "
    "SHAPE RANK FILL RANGE ZEROS_LIKE ONE_HOT TOPK_V2 CUMSUM WHERE UNIQUE EMBEDDING_LOOKUP "
    "NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 MATRIX_DIAG MATRIX_SET_DIAG SEGMENT_SUM "
    "DYNAMIC_UPDATE_SLICE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE SPARSE_TO_DENSE".split()
)
# Integers without a scale are sizes and indices.
_INTEGERS = ("int2", "int4", "uint4", "int8", "uint8", "int16", "int32", "int64")


def tflite_graph(owner: ModelWrapper, batch_size: int | None, shapes: Sequence[Shape]) -> Graph:
    """Return the graph of the wrapper's file; see :meth:`edge_tester.core.graphs.Graphs.graph`."""
    path = owner.model_path
    artifact = owner.artifact()
    content = path.read_bytes()
    if content[4:8] != _IDENTIFIER:
        raise ModelError(f"{path} is no LiteRT (TensorFlow Lite) model.")
    schema: Any = backend("ai_edge_litert.schema_py_generated", owner)
    try:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        graph = model.subgraphs[0]
        sizes = {i: tuple(map(int, _list(one.shape))) for i, one in enumerate(graph.tensors)}
    # A cut-off flatbuffer points beyond its end.
    except Exception as error:
        raise ModelError(f"{path} is a LiteRT model that is damaged: {error}") from error
    wanted = _wanted(path, graph, sizes, batch_size, shapes)
    inputs = [int(i) for i in graph.inputs]
    resized = {i: shape for i, shape in zip(inputs, wanted, strict=True) if sizes[i] != shape}
    if resized or any(-1 in _list(one.shapeSignature) for one in graph.tensors):
        sizes = _resized(owner, dict(zip(inputs, wanted, strict=True)))
    batch = wanted[0][0] if wanted and wanted[0] else 1
    return _Reader(schema, model, path, sizes, batch, artifact.size_bytes).graph()


def _list(values: Any) -> list[Any]:
    return [] if values is None else list(values)


def _wanted(
    path: Path,
    graph: Any,
    sizes: dict[int, Shape],
    batch_size: int | None,
    shapes: Sequence[Shape],
) -> list[Shape]:
    """Return the shapes of the inputs for a batch."""
    inputs = [int(i) for i in _list(graph.inputs)]
    if not inputs:
        raise ModelError(f"{path} takes no tensor: there is nothing to analyze.")
    if shapes and len(shapes) != len(inputs):
        raise OptionError(
            f"{path} takes {len(inputs)} inputs, got {len(shapes)} of --input-shapes."
        )
    found = []
    for place, index in enumerate(inputs):
        shape = list(sizes[index])
        signature = _list(graph.tensors[index].shapeSignature) or shape
        name = (graph.tensors[index].name or b"").decode()
        open_sizes = [axis for axis, size in enumerate(signature) if axis and size == -1]
        if shapes:
            if len(shapes[place]) != len(shape) - 1:
                raise OptionError(
                    f"{path}: its input {name} has {len(shape) - 1} sizes besides the batch, got "
                    f"{shapes[place]} of --input-shapes."
                )
            shape[1:] = shapes[place]
        elif open_sizes:
            raise OptionError(
                f"{path}: size {open_sizes[0]} of its input {name} is open: give the shape of one "
                "sample of each input, without the batch, as --input-shapes, such as 96,96,1."
            )
        if shape and batch_size is not None:
            shape[0] = batch_size
        found.append(tuple(shape))
    return found


def _resized(owner: ModelWrapper, wanted: dict[int, Shape]) -> dict[int, Shape]:
    """Return the shapes that LiteRT finds for inputs of other sizes."""
    litert: Any = backend("ai_edge_litert.interpreter", owner)
    kernels = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        interpreter = litert.Interpreter(
            model_path=str(owner.model_path),
            experimental_op_resolver_type=kernels,
            experimental_preserve_all_tensors=True,
        )
        for index, shape in wanted.items():
            interpreter.resize_tensor_input(index, shape)
        interpreter.allocate_tensors()
        # What a Reshape to computed sizes gives has its size only when it was run.
        for one in interpreter.get_input_details():
            interpreter.set_tensor(one["index"], np.zeros(one["shape"], one["dtype"]))
        interpreter.invoke()
    except (ValueError, RuntimeError) as error:
        told = ", ".join("x".join(map(str, shape)) for shape in wanted.values())
        reason = " ".join(str(error).split())
        raise OptionError(
            f"{owner.model_path} does not take inputs of {told} (--batch-size, --input-shapes): "
            f"{reason}"
        ) from error
    return {one["index"]: tuple(map(int, one["shape"])) for one in interpreter.get_tensor_details()}


class _Reader:
    def __init__(
        self,
        schema: Any,
        model: Any,
        path: Path,
        sizes: dict[int, Shape],
        batch: int,
        file_bytes: int,
    ) -> None:
        self._schema, self._model, self._path = schema, model, path
        self._sizes, self._batch, self._bytes = sizes, batch, file_bytes
        self._graph = model.subgraphs[0]
        self._notes: list[str] = []
        self._tensors: dict[int, GraphTensor] = {}
        names = [(one.name or b"").decode() for one in self._graph.tensors]
        self._names = [
            name if name and names.count(name) == 1 else f"{name}#{i}"
            for i, name in enumerate(names)
        ]

    def graph(self) -> Graph:
        for index, one in enumerate(self._graph.tensors):
            role: Role = "activation"
            if self._has_data(one):
                role = "parameter" if self._is_real(one) else "constant"
            self._tensors[index] = self._tensor(index, one, role)
        operators = []
        for place, one in enumerate(self._graph.operators):
            given = [int(i) for i in _list(one.inputs) if i != _NO_TENSOR]
            made = [int(i) for i in _list(one.outputs)]
            kind = self._kind(one)
            if given and all(self._tensors[i].role != "activation" for i in given):
                first = self._tensors[given[0]]
                for index in made:
                    tensor = self._tensor(index, self._graph.tensors[index], "constant")
                    self._tensors[index] = msgspec.structs.replace(
                        tensor, source=first.source or first.name
                    )
                continue
            operators.append(self._operator(one, place, kind, given, made))
        used = {i for one in operators for i in (*one.inputs, *one.outputs)}
        return Graph(
            name=self._path.stem,
            format="tflite",
            batch_size=self._batch,
            tensors={
                one.name: one
                for one in self._tensors.values()
                if one.name in used or one.role != "activation"
            },
            operators=tuple(operators),
            inputs=tuple(n for i in self._graph.inputs if (n := self._names[i]) in used),
            outputs=tuple(self._names[i] for i in self._graph.outputs if self._names[i] in used),
            file_bytes=self._bytes,
            notes=tuple(self._notes),
            incomplete=any(one.kind in _WITH_GRAPHS for one in operators),
        )

    def _tensor(self, index: int, one: Any, role: Role) -> GraphTensor:
        dtype = _names_of(self._schema.TensorType)[one.type].lower()
        shape = self._sizes.get(index)
        return GraphTensor(name=self._names[index], shape=shape, dtype=dtype, role=role)

    def _has_data(self, one: Any) -> bool:
        buffer = self._model.buffers[one.buffer]
        return bool(buffer.offset and buffer.offset > 1) or (
            buffer.data is not None and len(buffer.data) > 0
        )

    def _is_real(self, one: Any) -> bool:
        dtype = _names_of(self._schema.TensorType)[one.type].lower()
        scales = _list(one.quantization.scale) if one.quantization is not None else []
        real = dtype.startswith(("float", "bfloat")) or (dtype in _INTEGERS and bool(scales))
        return real and len(_list(one.shape)) > 0

    def _kind(self, one: Any) -> str:
        code = self._model.operatorCodes[one.opcodeIndex]
        # Old files have the code in the older, narrower field only.
        number = max(code.builtinCode or 0, code.deprecatedBuiltinCode or 0)
        kind = _names_of(self._schema.BuiltinOperator)[number]
        return (code.customCode or b"CUSTOM").decode() if kind == "CUSTOM" else kind

    def _operator(
        self, one: Any, place: int, kind: str, given: list[int], made: list[int]
    ) -> Operator:
        form: Form = "other"
        if kind in _VIEWS:
            form = "view"
        elif kind in _ACTIVATIONS:
            form = "activation"
        elif kind in _ELEMENTWISE:
            form = "elementwise"
        if kind in _TRANSPOSED:
            # Theirs begin with the shape of the output, and end with what is convolved.
            given = [given[2], *given[:2], *given[3:]]
        name = self._names[made[0]] if made else f"{kind}#{place}"
        if kind in _WITH_GRAPHS:
            self._notes.append(
                f"{kind} {name} runs other graphs of the file, as often as its inputs say: none "
                "of their weights, work and memory is counted."
            )
        return Operator(
            name=name,
            kind=kind,
            inputs=tuple(self._names[i] for i in given),
            outputs=tuple(self._names[i] for i in made),
            work=self._work(one, kind),
            layer=name.partition(";")[0].rpartition("/")[0],
            form=form,
        )

    def _of(self, one: Any, place: int) -> Shape:
        inputs = _list(one.inputs)
        index = int(inputs[place]) if place < len(inputs) else _NO_TENSOR
        return self._sizes.get(index, ())

    def _work(self, one: Any, kind: str) -> Work:
        if kind in _CONVOLUTIONS or kind in _TRANSPOSED:
            return self._convolution(one, kind)
        if kind == "FULLY_CONNECTED":
            return Product(contracted=self._of(one, 1)[-1])
        if kind == "BATCH_MATMUL":
            swapped = bool(getattr(one.builtinOptions, "adjX", False))
            return Product(contracted=self._of(one, 0)[-2 if swapped else -1])
        if kind in _RECURRENT:
            return self._recurrent(one, kind)
        if kind == "SVDF":
            values, features, times = (self._of(one, place) for place in range(3))
            # A filter over the features, then one over what it gave at the last steps.
            return Recurrent(cells=values[0], weights=math.prod(features) + math.prod(times))
        if kind in _FREE | _VIEWS | _ACTIVATIONS | _ELEMENTWISE:
            return Free()
        if kind in _WITH_GRAPHS:
            return Unknown(reason=f"{kind} runs other graphs, as often as its inputs say.")
        return Unknown(reason=f"What {kind} computes is not known here.")

    def _convolution(self, one: Any, kind: str) -> Work:
        weights = self._of(one, 1)
        if kind == "DEPTHWISE_CONV_2D":
            channels = self._of(one, 0)[-1]
            return Convolution(
                kernel=weights[1:-1],
                input_channels=channels,
                output_channels=weights[-1],
                groups=channels,
            )
        if kind == "CONV_3D":
            return Convolution(
                kernel=weights[:3], input_channels=weights[3], output_channels=weights[4]
            )
        if kind == "CONV_2D":
            # Weights of grouped convolutions have the channels of one group.
            channels = self._of(one, 0)[-1]
            return Convolution(
                kernel=weights[1:-1],
                input_channels=channels,
                output_channels=weights[0],
                groups=channels // weights[-1],
            )
        # Transposed ones: (output, height, width, input), in three dimensions (..., output, input).
        flat = kind == "TRANSPOSE_CONV"
        return Convolution(
            kernel=weights[1:-1] if flat else weights[:3],
            input_channels=weights[-1],
            output_channels=weights[0] if flat else weights[3],
            transposed=True,
        )

    def _recurrent(self, one: Any, kind: str) -> Work:
        values = self._of(one, 0)
        indices = [int(i) for i in _list(one.inputs) if i != _NO_TENSOR]
        matrices = [
            self._sizes[i]
            for i in indices
            if self._tensors[i].role != "activation" and len(self._sizes[i]) == 2
        ]
        return Recurrent(
            cells=math.prod(values[:-1]), weights=sum(math.prod(one) for one in matrices)
        )


@functools.cache
def _names_of(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}
