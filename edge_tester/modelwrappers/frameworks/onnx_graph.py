"""The graph of an ONNX file, with sizes for one batch size.

Source of operators and attributes: docs/Operators.md of ONNX 1.19, and of those of ONNX Runtime
docs/ContribOperators.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_tester.core.backends import backend
from edge_tester.core.errors import ModelError, OptionError
from edge_tester.core.graphs import (
    Attention,
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
from edge_tester.core.system.onnxmetadata import SCOPES
from edge_tester.core.system.quiet import quiet
from edge_tester.modelwrappers.frameworks.einsums import einsum_work

_NOT_KNOWN = Unknown(reason="The sizes of its tensors are not known.")
# Operator -> places of values and weights among its inputs.
_CONVOLUTIONS = {
    **{"Conv": (0, 1), "FusedConv": (0, 1), "ConvTranspose": (0, 1), "ConvInteger": (0, 1)},
    "QLinearConv": (0, 3),
}
_PRODUCTS = ("MatMul", "MatMulInteger", "QLinearMatMul", "FusedMatMul", "MatMulIntegerToFloat")
_GEMMS = ("Gemm", "QGemm")
_RECURRENT = ("LSTM", "GRU", "RNN")
_VIEWS = frozenset("Reshape Flatten Squeeze Unsqueeze Identity Dropout".split())
_ACTIVATIONS = frozenset(
    "Relu Clip Sigmoid Tanh LeakyRelu Elu Selu Celu HardSigmoid HardSwish Softplus Softsign "
    "Gelu Mish PRelu ThresholdedRelu BatchNormalization Neg Abs Exp Log Sqrt Reciprocal Erf "
    "Floor Ceil Round Sin Cos Sign Not QuickGelu BiasGelu FastGelu Swish".split()
)
_ELEMENTWISE = frozenset(
    "Add Sub Mul Div Pow Max Min Where Equal Greater GreaterOrEqual Less LessOrEqual And Or Xor "
    "Mod Sum Mean BitShift BitwiseAnd BitwiseOr QLinearAdd QLinearMul".split()
)
_FREE = frozenset(
    "MaxPool AveragePool GlobalAveragePool GlobalMaxPool LpPool GlobalLpPool MaxUnpool "
    "MaxRoiPool RoiAlign ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 "
    "ReduceLogSum ReduceLogSumExp ReduceSumSquare ArgMax ArgMin Concat Split Slice Transpose "
    "Gather GatherND GatherElements ScatterND ScatterElements Scatter Tile Expand Pad Resize "
    "Upsample DepthToSpace SpaceToDepth ReverseSequence Softmax LogSoftmax Hardmax "
    "LayerNormalization InstanceNormalization GroupNormalization RMSNormalization "
    "LpNormalization MeanVarianceNormalization LRN SkipLayerNormalization "
    "SimplifiedLayerNormalization Cast CastLike QuantizeLinear DequantizeLinear "
    "DynamicQuantizeLinear Shape Size ConstantOfShape Range NonZero OneHot TopK CumSum Trilu "
    "EyeLike Compress Unique IsNaN IsInf NonMaxSuppression GridSample Col2Im "
    "QLinearGlobalAveragePool QLinearAveragePool QLinearConcat QLinearSigmoid QLinearLeakyRelu "
    "QLinearSoftmax SequenceConstruct SequenceAt ConcatFromSequence CenterCropPad "
    "RandomNormalLike RandomUniformLike Bernoulli".split()
)
# Inputs that say how numbers are stored, and are not learned: operator -> the first of them.
_QUANTIZATION = {"QuantizeLinear": 1, "DequantizeLinear": 1}


def onnx_graph(owner: ModelWrapper, batch_size: int | None, shapes: Sequence[Shape]) -> Graph:
    """Return the graph of the wrapper's file; see :meth:`edge_tester.core.graphs.Graphs.graph`."""
    onnx: Any = backend("onnx", owner)
    inliner: Any = backend("onnx.inliner", owner)
    path = owner.model_path
    artifact = owner.artifact()
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(str(path))
        model = inliner.inline_local_functions(model)
    # The parser's, the checker's and the inliner's errors have no base in common.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path} is no ONNX model that can be read: {reason}") from error
    batch = _set_sizes(model, path, batch_size, shapes)
    try:
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path}: the sizes of its tensors cannot be found: {reason}") from error
    reader = _Reader(onnx, model, path, batch, artifact.content_bytes)
    reader.run_for_sizes(owner)
    return reader.graph()


def _set_sizes(model: Any, path: Path, batch_size: int | None, shapes: Sequence[Shape]) -> int:
    """Give the inputs sizes for a batch; forget those that the file tells of other tensors."""
    held = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in held]
    if not inputs:
        raise ModelError(f"{path} takes no tensor: there is nothing to analyze.")
    if shapes and len(shapes) != len(inputs):
        raise OptionError(
            f"{path} takes {len(inputs)} inputs, got {len(shapes)} of --input-shapes."
        )
    found = batch_size
    for index, one in enumerate(inputs):
        sizes = one.type.tensor_type.shape.dim
        if not one.type.HasField("tensor_type") or not one.type.tensor_type.HasField("shape"):
            raise ModelError(f"{path}: its input {one.name} is no tensor of known rank.")
        for axis, size in enumerate(sizes):
            fixed = size.dim_value if size.HasField("dim_value") and size.dim_value > 0 else None
            given = shapes[index][axis - 1] if shapes and 0 < axis <= len(shapes[index]) else None
            if axis == 0:
                found = found or fixed or 1
                given = found
            if given is None and fixed is None:
                raise OptionError(
                    f"{path}: size {axis} of its input {one.name} is open: give the shape of one "
                    "sample of each input, without the batch, as --input-shapes, such as 3,224,224."
                )
            if fixed is not None and given not in (None, fixed):
                what = "--batch-size" if axis == 0 else "--input-shapes"
                raise OptionError(
                    f"{path}: size {axis} of its input {one.name} is {fixed}, and no {given} "
                    f"({what})."
                )
            size.Clear()
            size.dim_value = fixed or given
        if shapes and len(shapes[index]) != len(sizes) - 1:
            raise OptionError(
                f"{path}: its input {one.name} has {len(sizes) - 1} sizes besides the batch, "
                f"got {shapes[index]} of --input-shapes."
            )
    del model.graph.value_info[:]
    for one in model.graph.output:
        one.type.tensor_type.ClearField("shape")
    return found or 1


def _sized(kind: Any) -> bool:
    """Tell whether every size of a tensor is known."""
    tensor = kind.tensor_type
    sizes = tensor.shape.dim if tensor.HasField("shape") else None
    return sizes is not None and all(one.HasField("dim_value") for one in sizes)


class _Reader:
    def __init__(self, onnx: Any, model: Any, path: Path, batch: int, file_bytes: int) -> None:
        self._onnx, self._model, self._path = onnx, model, path
        self._batch, self._bytes = batch, file_bytes
        self._tensors: dict[str, GraphTensor] = {}
        self._notes: list[str] = []
        # What a run has told.
        self._told: dict[str, Any] = {}

    def run_for_sizes(self, owner: ModelWrapper) -> None:
        """Run the model once, on zeros, for sizes that cannot be told from the graph alone."""
        graph, onnx = self._model.graph, self._onnx
        known = {one.name for one in [*graph.value_info, *graph.output] if _sized(one.type)}
        made = [name for node in graph.node for name in node.output if name]
        missing = [name for name in made if name not in known]
        if not missing:
            return
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        del model.graph.output[:]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in missing)
        held = {one.name for one in graph.initializer}
        feeds = {
            one.name: np.zeros(
                [size.dim_value for size in one.type.tensor_type.shape.dim],
                onnx.helper.tensor_dtype_to_np_dtype(one.type.tensor_type.elem_type),
            )
            for one in graph.input
            if one.name not in held
        }
        runtime: Any = backend("onnxruntime", owner)
        options = runtime.SessionOptions()
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            with quiet():
                session = runtime.InferenceSession(
                    model.SerializeToString(), options, providers=["CPUExecutionProvider"]
                )
                found = session.run(missing, feeds)
        # What ONNX Runtime does not take, such as operators of others, stays unknown.
        except Exception:
            return
        for name, value in zip(missing, found, strict=True):
            if isinstance(value, np.ndarray):
                kind = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
                info = onnx.helper.make_tensor_value_info(name, kind, value.shape)
                self._told[name] = info.type
        self._notes.append(f"The sizes of {len(self._told)} tensors were found by a run on zeros.")

    def graph(self) -> Graph:
        graph = self._model.graph
        read = {
            name
            for node in graph.node
            for name in node.input[_QUANTIZATION.get(node.op_type, len(node.input)) :]
        }
        for one in graph.initializer:
            self._constant(one, one.name, one.name in read)
        known = {one.name: one.type for one in [*graph.value_info, *graph.input, *graph.output]}
        known |= self._told
        inputs = [one.name for one in graph.input if one.name not in self._tensors]
        for name in inputs:
            self._activation(name, known[name])
        operators = []
        for place, node in enumerate(graph.node):
            if node.op_type == "Constant":
                self._constant_node(node, read)
                continue
            given = [name for name in node.input if name]
            unknown = [name for name in given if name not in self._tensors]
            if unknown:
                raise ModelError(f"{self._path}: nothing makes {unknown[0]}, which is read.")
            inner = any(one.HasField("g") for one in node.attribute)
            if not inner and all(self._tensors[n].role != "activation" for n in given):
                self._folded(node, given, known)
                continue
            for name in filter(None, node.output):
                self._activation(name, known.get(name))
            operators.append(self._operator(node, place, given, inner))
        outputs = [one.name for one in graph.output]
        missing = [n for n in outputs if n not in self._tensors]
        if missing:
            raise ModelError(f"{self._path}: nothing makes its output {missing[0]}.")
        return Graph(
            name=self._path.stem,
            format="onnx",
            batch_size=self._batch,
            tensors=self._tensors,
            operators=tuple(operators),
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            file_bytes=self._bytes,
            notes=tuple(self._notes),
            incomplete=any(one.HasField("g") for n in graph.node for one in n.attribute),
        )

    def _dtype(self, kind: int) -> str:
        name = str(self._onnx.TensorProto.DataType.Name(kind)).lower()
        return {"float": "float32", "double": "float64"}.get(name, name)

    def _constant(self, tensor: Any, name: str, quantization: bool) -> None:
        dtype = self._dtype(tensor.data_type)
        real = dtype.startswith(("float", "bfloat")) or dtype in ("int8", "uint8", "int4", "uint4")
        # Sizes, axes and scales have whole numbers, one element, or say how others are stored.
        role: Role = "parameter" if real and tensor.dims and not quantization else "constant"
        self._tensors[name] = GraphTensor(
            name=name, shape=tuple(tensor.dims), dtype=dtype, role=role
        )

    def _constant_node(self, node: Any, read: set[str]) -> None:
        value = next((one.t for one in node.attribute if one.name == "value"), None)
        name = node.output[0]
        if value is not None:
            self._constant(value, name, name in read)
        else:
            self._tensors[name] = GraphTensor(name=name, shape=None, dtype="", role="constant")

    def _activation(self, name: str, kind: Any) -> None:
        shape, dtype = None, ""
        if kind is not None and kind.HasField("tensor_type"):
            tensor = kind.tensor_type
            dtype = self._dtype(tensor.elem_type) if tensor.elem_type else ""
            if _sized(kind):
                shape = tuple(one.dim_value for one in tensor.shape.dim)
        self._tensors[name] = GraphTensor(name=name, shape=shape, dtype=dtype)

    def _folded(self, node: Any, given: list[str], known: dict[str, Any]) -> None:
        """Take what is computed from constants for one, with the data of the first of them."""
        source = self._tensors[given[0]].source or given[0] if given else ""
        for name in filter(None, node.output):
            self._activation(name, known.get(name))
            made = self._tensors[name]
            shape = made.shape
            if shape is None and node.op_type == "DequantizeLinear":
                shape = self._tensors[given[0]].shape
            self._tensors[name] = GraphTensor(
                name=name, shape=shape, dtype=made.dtype, role="constant", source=source
            )

    def _operator(self, node: Any, place: int, given: list[str], inner: bool) -> Operator:
        form: Form = "other"
        if node.op_type in _VIEWS:
            form = "view"
        elif node.op_type in _ACTIVATIONS:
            form = "activation"
        elif node.op_type in _ELEMENTWISE:
            form = "elementwise"
        name = node.name or next(filter(None, node.output), "")
        if inner:
            self._notes.append(
                f"{node.op_type} {name} has graphs of its own, which are run as often as its "
                "inputs say: none of their weights, work and memory is counted."
            )
        scopes = next((one.value for one in node.metadata_props if one.key == SCOPES), "")
        names = [one.strip("'\" ") for one in scopes.strip("[]").split(",")][:-1]
        return Operator(
            name=f"{name}#{place}" if not name or self._repeated(name) else name,
            kind=node.op_type,
            inputs=tuple(given),
            outputs=tuple(filter(None, node.output)),
            work=self._work(node, inner),
            layer=next((one for one in reversed(names) if one), ""),
            form=form,
        )

    def _repeated(self, name: str) -> bool:
        return [one.name for one in self._model.graph.node].count(name) > 1

    def _of(self, node: Any, place: int) -> Shape | None:
        name = node.input[place] if place < len(node.input) else ""
        return self._tensors[name].shape if name else None

    def _work(self, node: Any, inner: bool) -> Work:
        kind = node.op_type
        attributes = {
            one.name: self._onnx.helper.get_attribute_value(one)
            for one in node.attribute
            if not one.HasField("g")
        }
        if inner:
            return Unknown(reason=f"{kind} runs graphs of its own, as often as its inputs say.")
        if kind in _CONVOLUTIONS:
            return self._convolution(node, attributes)
        if kind in _PRODUCTS or kind in _GEMMS:
            values = self._of(node, 0)
            if not values:
                return _NOT_KNOWN
            return Product(contracted=values[-2 if attributes.get("transA") else -1])
        if kind == "Einsum":
            equation = attributes["equation"].decode()
            return einsum_work(equation, [self._of(node, i) for i in range(len(node.input))])
        if kind in _RECURRENT:
            values, weights, again = (self._of(node, place) for place in range(3))
            if values is None or weights is None or again is None:
                return _NOT_KNOWN
            return Recurrent(
                cells=values[0] * values[1], weights=math.prod(weights) + math.prod(again)
            )
        if kind == "Attention" and node.domain == "":
            keys = self._of(node, 1)
            if keys is None or len(node.input) > 4:
                return Unknown(reason="It has keys of earlier inferences, or of unknown size.")
            return Attention(keys=keys[-2])
        if kind in _FREE | _VIEWS | _ACTIVATIONS | _ELEMENTWISE:
            return Free()
        domain = f"{node.domain}." if node.domain not in ("", "ai.onnx") else ""
        return Unknown(reason=f"What {domain}{kind} computes is not known here.")

    def _convolution(self, node: Any, attributes: dict[str, Any]) -> Work:
        places = _CONVOLUTIONS[node.op_type]
        values, weights = (self._of(node, place) for place in places)
        if values is None or weights is None:
            return _NOT_KNOWN
        groups = int(attributes.get("group", 1))
        transposed = node.op_type == "ConvTranspose"
        return Convolution(
            kernel=weights[2:],
            input_channels=values[1],
            output_channels=weights[1] * groups if transposed else weights[0],
            groups=groups,
            transposed=transposed,
        )
