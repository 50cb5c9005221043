"""The Core ML compiler."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edge_tester.compilers._coreml.masks import pipeline
from edge_tester.compilers._shared import pt2e
from edge_tester.compilers._shared.calibration import Calibration
from edge_tester.compilers._shared.keras_networks import prepared
from edge_tester.compilers._shared.torch_batch import fixed_program
from edge_tester.core.artifact import Weights
from edge_tester.core.backends import backend
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.errors import CompilationError, OptionError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import option, state
from edge_tester.core.system.quiet import quiet
from edge_tester.core.system.temporary import TemporaryFolder

# Operations that turn compressed weights into floats -> their input with the integers.
_COMPRESSED = {
    "constexpr_affine_dequantize": "quantized_data",
    "constexpr_blockwise_shift_scale": "data",
    "constexpr_lut_to_dense": "indices",
}
# Operations whose constant inputs of more than one dimension are weights.
_WEIGHTED = ("conv", "conv_transpose", "linear", "matmul", "einsum", "gather", "lstm", "gru")


class CoreMLCompiler(ModelCompiler):
    """Compiles PyTorch, Keras and SavedModel models to Core ML programs (.mlpackage).

    Weights may be int8 (linear, symmetric, per channel) or indices into a palette found by
    k-means; activations stay floats, so that nothing is calibrated.
    """

    input_formats = ("torch", "torch-exported", "keras", "savedmodel")
    output_format = "coreml"
    variants = {
        "": {},
        "float32": {"precision": "float32"},
        "int8": {"weights": "int8"},
    }
    output_is_folder = True
    packages = ("coremltools",)
    distributions = ("coremltools", "torch", "tensorflow", "tensorflow-cpu")
    keeps_state = False

    precision: str = option(
        "float16", choices=("float16", "float32"), help="Type of weights and activations"
    )
    weights: str = option(
        "default",
        choices=("default", "int8", "palettized"),
        help="default keeps the precision; int8 quantizes linearly; palettized looks them up",
        gives_way=True,
    )
    palette_bits: int = option(
        4, minimum=1, maximum=8, help="Bits of an index into the palette: 1, 2, 4, 6 or 8"
    )
    minimum_deployment_target: str = option(
        "iOS16",
        choices=("iOS15", "iOS16", "iOS17", "iOS18", "macOS12", "macOS13", "macOS14", "macOS15"),
        help="Oldest system that shall run it",
    )
    batch_size: int = option(1, minimum=1, help="Samples of one inference, fixed in the program")

    _changes: dict[str, str] = state(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the options, also against each other."""
        super().__post_init__()
        if self.palette_bits not in (1, 2, 4, 6, 8):
            raise OptionError(
                f"CoreMLCompiler.palette_bits must be 1, 2, 4, 6 or 8, got {self.palette_bits}."
            )
        if self.weights != "default" and self.minimum_deployment_target in ("iOS15", "macOS12"):
            raise OptionError(
                "CoreMLCompiler.minimum_deployment_target must be iOS16 or macOS13, or newer, for "
                f"compressed weights, got {self.minimum_deployment_target!r}."
            )

    @property
    def quantizes(self) -> bool:
        """Whether integer weights were asked for."""
        return self.weights != "default"

    def convert(self, model: ModelWrapper, calibration: Calibration, output: Path) -> None:
        """Convert, compress the weights if asked to, and save the package."""
        model.load()
        self._changes = {}
        with quiet():
            tools: Any = backend("coremltools", self)
            settings: dict[str, Any] = {
                "convert_to": "mlprogram",
                "compute_precision": getattr(tools.precision, self.precision.upper()),
                "minimum_deployment_target": getattr(tools.target, self.minimum_deployment_target),
                "skip_model_load": True,
            }
            if self.precision == "float16":
                settings["pass_pipeline"] = pipeline(tools, self)
            convert = (
                self._from_torch if model.format.startswith("torch") else self._from_tensorflow
            )
            converted = convert(tools, model, settings)
            if self.quantizes:
                converted = self._compressed(converted)
            with TemporaryFolder() as folder:
                # The tools insist on the suffix.
                package = Path(folder) / "model.mlpackage"
                converted.save(str(package))
                shutil.copytree(package, output, dirs_exist_ok=True)

    def read_weights(self, path: Path) -> Weights:
        """Read a package back and count its weights by dtype.

        Weights are the constants of more than one dimension that convolutions, matrix products,
        look-ups and recurrent operations take, compressed ones as the integers they are.
        """
        elements: dict[str, int] = {}
        integers = 0
        for operation in self._operations(path):
            if operation.op_type in _COMPRESSED:
                count = math.prod(operation.outputs[0].shape)
                dtype = _compressed_type(operation)
                elements[dtype] = elements.get(dtype, 0) + count
                integers += count
            elif operation.op_type in _WEIGHTED:
                for values in _constants(operation):
                    elements[values.dtype.name] = elements.get(values.dtype.name, 0) + values.size
        total = sum(elements.values())
        return Weights(elements=elements, quantized_share=integers / total if total else 0.0)

    def facts(self) -> dict[str, Any]:
        """Return what was done to layers that Core ML's tools do not take as they are."""
        return dict(self._changes)

    def _from_torch(self, tools: Any, model: ModelWrapper, settings: dict[str, Any]) -> Any:
        torch = backend("torch", self)
        exported = model.export()
        pt2e.require_float(model, exported, self)
        program, examples = fixed_program(exported, self.batch_size, self)
        if not any(_is_recurrent(node) for node in program.graph.nodes):
            return tools.convert(program.run_decompositions({}), **settings)
        # The tools know recurrent layers of TorchScript alone.
        types = [
            tools.TensorType(
                shape=tuple(example.shape), dtype=None if example.is_floating_point() else np.int32
            )
            for example in examples
        ]
        traced = torch.jit.trace(program.module(), examples)
        return tools.convert(traced, inputs=types, **settings)

    def _from_tensorflow(self, tools: Any, model: ModelWrapper, settings: dict[str, Any]) -> Any:
        tensorflow = backend("tensorflow", self)
        inputs, outputs = model.specs()
        # A signature's names last; Keras numbers its tensors anew in every process.
        named = model.format == "savedmodel"
        wanted = [
            tensorflow.TensorSpec(
                (self.batch_size, *spec.shape[1:]), spec.dtype, spec.name if named else f"input_{i}"
            )
            for i, spec in enumerate(inputs)
        ]
        if any(size is None for spec in wanted for size in spec.shape):
            raise CompilationError(
                f"CoreMLCompiler fixes the batch alone; {model.model_path} takes "
                f"{', '.join(spec.described() for spec in inputs)}."
            )
        if named:
            # The signature alone would not keep its variables alive.
            restored = tensorflow.saved_model.load(str(model.model_path))

            def call(*values: Any) -> Any:
                names = [spec.name for spec in inputs]
                signature = restored.signatures["serving_default"]
                answers = signature(**dict(zip(names, values, strict=True)))
                return [answers[spec.name] for spec in outputs]
        else:
            network, self._changes = prepared(model, self)

            def call(*values: Any) -> Any:
                return network(values if len(values) > 1 else values[0])

        concrete = tensorflow.function(call).get_concrete_function(*wanted)
        self._teach_erfc()
        return tools.convert(
            [concrete],
            source="tensorflow",
            # Without these, inputs and outputs would come sorted by name, 10 before 2.
            inputs=[tools.TensorType(spec.name, tuple(spec.shape)) for spec in wanted],
            outputs=[tools.TensorType(tensor.op.name) for tensor in concrete.outputs],
            **settings,
        )

    def _teach_erfc(self) -> None:
        """Let the tools convert what Keras makes of GELU: erfc(x) = 1 - erf(x)."""
        frontend: Any = backend("coremltools.converters.mil", self)

        def convert(context: Any, node: Any) -> None:
            error = frontend.Builder.erf(x=context[node.inputs[0]])
            context.add(node.name, frontend.Builder.sub(x=1.0, y=error, name=node.name))

        convert.__name__ = "Erfc"
        # Once per process; a version that knows it keeps its own.
        frontend.register_tf_op(convert, strict=False)

    def _compressed(self, converted: Any) -> Any:
        tools: Any = backend("coremltools.optimize.coreml", self)
        # From the first element on: what was asked for is done to small layers as well.
        if self.weights == "int8":
            kind = tools.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=0)
            compress = tools.linear_quantize_weights
        else:
            kind = tools.OpPalettizerConfig(
                mode="kmeans", nbits=self.palette_bits, weight_threshold=0
            )
            compress = tools.palettize_weights
        return compress(converted, config=tools.OptimizationConfig(global_config=kind))

    def _operations(self, path: Path) -> Iterator[Any]:
        with quiet(), TemporaryFolder() as folder:
            package_path = Path(folder) / "model.mlpackage"
            package_path.symlink_to(path.resolve())
            tools: Any = backend("coremltools", self)
            reader: Any = backend("coremltools.converters.mil.frontend.milproto.load", self)
            package = tools.models.MLModel(str(package_path), skip_model_load=True)
            specification = package.get_spec()
            program = reader.load(
                specification, specification.specificationVersion, package.weights_dir
            )
        for function in program.functions.values():
            yield from function.operations


def _is_recurrent(node: Any) -> bool:
    return str(node.target).startswith(("aten.lstm.", "aten.gru.", "aten.rnn_"))


def _constants(operation: Any) -> Iterator[np.ndarray[Any, Any]]:
    for value in operation.inputs.values():
        constant = getattr(value, "val", None)
        if isinstance(constant, np.ndarray) and constant.ndim > 1 and constant.dtype.kind == "f":
            yield constant


def _compressed_type(operation: Any) -> str:
    if operation.op_type == "constexpr_lut_to_dense":
        # The indices lie packed: how many bits each has follows from the palette.
        return f"palette of {operation.inputs['lut'].val.size}"
    return str(operation.inputs[_COMPRESSED[operation.op_type]].val.dtype.name)
