"""The ONNX compiler."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from edge_tester.compilers._onnx.half import in_float16
from edge_tester.compilers._onnx.quantizer import ONNXQuantizer
from edge_tester.compilers._onnx.ranges import METHODS, all_tensors
from edge_tester.compilers._shared.calibration import Calibration, conformed
from edge_tester.compilers._shared.onnx_files import loaded, saved
from edge_tester.core.artifact import Weights
from edge_tester.core.backends import backend
from edge_tester.core.errors import OptionError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import option
from edge_tester.core.selectivecompiler import SelectiveCompiler
from edge_tester.core.system.onnxmetadata import PREPROCESSING, Preprocessing, forget_origins
from edge_tester.core.system.temporary import TemporaryFolder
from edge_tester.core.tensors import Array

_FLOATS = {"float": "float32", "double": "float64", "float16": "float16", "bfloat16": "bfloat16"}
_INTEGERS = ("int4", "uint4", "int8", "uint8", "int16", "uint16")
# Operation -> positions of its inputs that are no weights: biases, scales, zero points.
_NO_WEIGHTS = {
    "Conv": (2,),
    "ConvTranspose": (2,),
    "Gemm": (2,),
    "QuantizeLinear": (1, 2),
    "DequantizeLinear": (1, 2),
    "QLinearConv": (1, 2, 4, 5, 6, 7, 8),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "ConvInteger": (2, 3),
    "MatMulInteger": (2, 3),
}


class ONNXCompiler(SelectiveCompiler):
    """Compiles Keras, SavedModel, PyTorch and ONNX models to ONNX.

    Target int8 is static quantization in the QDQ form (QuantizeLinear and
    DequantizeLinear around operations, float inputs and outputs), with int8
    weights per channel. Files of opsets before 13, which have no scales per
    channel, are taken to 17 first.
    """

    input_formats = ("keras", "savedmodel", "torch", "torch-exported", "onnx")
    output_format = "onnx"
    variants = {"": {}, "float16": {"target": "float16"}, "int8": {"target": "int8"}}
    packages = ("onnx", "onnxruntime")
    distributions = ("onnx", "onnxruntime", "torch", "onnxscript", "tensorflow", "tf2onnx")

    target: str = option(
        "default",
        choices=("default", "float16", "int8"),
        help="default keeps the precision; float16 has weights and activations of half precision, "
        "inputs and outputs as they were; int8 has int8 weights and activations",
    )

    calibration_method: str = option(
        "minmax",
        choices=METHODS,
        help="How target int8 takes ranges from the samples: their ends; the ends of all but the "
        "farthest 0.001 % of the values; or those that lose the least information",
    )

    def check_choices(self) -> None:
        """See also that a method has something to do."""
        super().check_choices()
        if self.calibration_method != "minmax" and not self.calibrates:
            raise OptionError(
                "ONNXCompiler.calibration_method is for target int8, got "
                f"{self.calibration_method!r} with target {self.target!r}."
            )

    @property
    def quantizes(self) -> bool:
        """Whether integer weights were asked for."""
        return self.target == "int8"

    @property
    def calibrates(self) -> bool:
        """Whether activations become integers."""
        return self.quantizes

    def convert(self, model: ModelWrapper, calibration: Calibration, output: Path) -> None:
        """Export or copy, and quantize if asked to."""
        self.layers, self.tensor_ranges, self._kept = [], {}, []
        # The folder takes what the tools leave beside the file.
        with TemporaryFolder() as folder:
            source = self._source(model, Path(folder))
            if self.target == "default":
                # Loaded and saved, so that weights in files beside it come along.
                made = loaded(source, self)
            elif self.target == "float16":
                made = in_float16(self, loaded(source, self))
            else:
                quantizer = ONNXQuantizer(
                    self, str(model.model_path), Path(folder), self.calibration_method
                )
                made = quantizer.quantized(source, conformed(model, calibration))
            forget_origins(made)
            self._describe(model, made)
            saved(made, output, self)

    def tensors(
        self, model: ModelWrapper, samples: Iterator[list[Array]]
    ) -> Iterator[dict[str, Array]]:
        """Yield all float tensors of what is quantized, before it is."""
        with TemporaryFolder() as folder:
            quantizer = ONNXQuantizer(self, str(model.model_path), Path(folder))
            source = self._source(model, Path(folder))
            form = quantizer.prepared(source, conformed(model, samples))
            yield from all_tensors(self, form.path, form.feeds)

    def _source(self, model: ModelWrapper, folder: Path) -> Path:
        """Return the model's file, or what it is exported to."""
        model.load()
        if model.format == "onnx":
            return model.model_path
        source = folder / "exported.onnx"
        model.save_to_onnx(source)
        # Exporters may leave operations of their own framework in it.
        backend("onnx", self).checker.check_model(str(source))
        return source

    def _describe(self, model: ModelWrapper, made: Any) -> None:
        """Write into the file how its inputs are to be prepared, which is lost otherwise."""
        scaling = model.scaling()
        if scaling == {}:
            return
        origin = getattr(model, "origin", model)
        said = Preprocessing(made_from=type(origin).__name__, options=scaling)
        kept = [entry for entry in made.metadata_props if entry.key != PREPROCESSING]
        del made.metadata_props[:]
        made.metadata_props.extend(kept)
        entry = made.metadata_props.add()
        entry.key, entry.value = PREPROCESSING, msgspec.json.encode(said).decode()

    def read_weights(self, path: Path) -> Weights:
        """Read an ONNX file back and count its weights by dtype.

        A weight is an element of a constant (an initializer or the value of a
        Constant) that an operation reads and that is of a floating-point type or
        an integer type of at most 16 bits. Not counted are biases (of Conv,
        ConvTranspose and Gemm, and vectors that Add reads), scales, zero points
        and scalars. What an operation reads through DequantizeLinear counts as
        the integers it is.
        """
        onnx: Any = backend("onnx", self)
        model = onnx.load(str(path), load_external_data=False)
        elements: dict[str, int] = {}
        for constant in _weights(onnx, model.graph):
            dtype = _dtype(onnx, constant)
            elements[dtype] = elements.get(dtype, 0) + math.prod(constant.dims)
        total = sum(elements.values())
        integers = sum(count for dtype, count in elements.items() if dtype in _INTEGERS)
        return Weights(elements=elements, quantized_share=integers / total if total else 0.0)


def _weights(onnx: Any, graph: Any) -> Iterator[Any]:
    """Yield the constants of a graph and of those inside it that count, each once."""
    graphs = [graph]
    for outer in graphs:
        for attribute in (attribute for node in outer.node for attribute in node.attribute):
            graphs += [attribute.g] if attribute.HasField("g") else attribute.graphs
    nodes = [node for inner in graphs for node in inner.node]
    # A name stands for one value in all of a model, inner graphs included.
    constants = {constant.name: constant for inner in graphs for constant in inner.initializer}
    for node in nodes:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            constants[node.output[0]] = node.attribute[0].t
    read = {
        name
        for node in nodes
        for position, name in enumerate(node.input)
        if name in constants
        and position not in _NO_WEIGHTS.get(node.op_type, ())
        and not (node.op_type == "Add" and _is_vector(constants[name]))
    }
    for name in sorted(read):
        constant = constants[name]
        dtype = _dtype(onnx, constant)
        if constant.dims and (dtype in _FLOATS.values() or dtype in _INTEGERS):
            yield constant


def _is_vector(constant: Any) -> bool:
    sizes: list[int] = list(constant.dims)
    return sum(size > 1 for size in sizes) <= 1


def _dtype(onnx: Any, constant: Any) -> str:
    name: str = onnx.TensorProto.DataType.Name(constant.data_type).lower()
    return _FLOATS.get(name, name)
