"""Static quantization of ONNX files with ONNX Runtime's quantizer.

The quantizer drops or breaks some things without a word, so a file is brought into a form that it
takes before, and that form is compared with the file.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edge_tester.compilers._onnx.half import in_float32
from edge_tester.compilers._onnx.layers import layers_of, nodes_of, stand_ins
from edge_tester.compilers._onnx.ranges import ends, found_ranges, operations
from edge_tester.compilers._shared.onnx_files import loaded, saved
from edge_tester.core.backends import backend
from edge_tester.core.errors import CompilationError
from edge_tester.core.selectivecompiler import SelectiveCompiler
from edge_tester.core.system.quiet import quiet
from edge_tester.core.tensors import Array

# Scales per channel came with this one.
_PER_CHANNEL_OPSET = 13
# What older files are taken to, the better one first.
_NEWER_OPSETS = (17, _PER_CHANNEL_OPSET)
_QUANTIZED = {"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul"}
# Largest difference, as part of the largest value, that an equal float form may show.
_EQUAL = 1e-3
# The same against a model of half precision.
_EQUAL_TO_HALF = 5e-2
_LOG_ERRORS_ONLY = 3


class Form(NamedTuple):
    """A model in the form that the quantizer takes.

    Attributes
    ----------
    path : Path
    model : onnx.ModelProto
        The same with shapes, each node with a name of its own.
    source : onnx.GraphProto
        What it was made from.
    feeds : iterator of dict of str to ndarray
        The samples, by the names of its inputs.
    large : bool
        Whether its weights lie in a file of their own.
    """

    path: Path
    model: Any
    source: Any
    feeds: Iterator[dict[str, Array]]
    large: bool


@dataclasses.dataclass(frozen=True)
class ONNXQuantizer:
    """Quantizes one file.

    Attributes
    ----------
    owner : SelectiveCompiler
        Who asks; hears of layers and ranges, and says which layers stay in float.
    name : str
        The user's name of the file.
    folder : Path
        For files that are of no use later.
    method : str
        How ranges are taken: minmax, percentile or entropy.
    """

    owner: SelectiveCompiler
    name: str
    folder: Path
    method: str = "minmax"

    def quantized(self, source: Path, samples: Iterator[dict[str, Array]]) -> Any:
        """Return the model with int8 weights per channel and int8 activations.

        Parameters
        ----------
        source : Path
        samples : iterator of dict of str to ndarray
            Inputs of one inference each, in the order of the model's inputs.

        Returns
        -------
        onnx.ModelProto

        Raises
        ------
        CompilationError
            It is quantized already, or cannot be brought into a form that can be quantized.
        """
        quantization: Any = backend("onnxruntime.quantization", self.owner)
        qdq: Any = backend("onnxruntime.quantization.qdq_quantizer", self.owner)
        types: Any = quantization.QuantType
        form = self.prepared(source, samples)
        with quiet():
            ranges = self.owner.ranges_once(
                lambda: found_ranges(
                    self.owner, form.path, form.feeds, self.method, large=form.large
                )
            )
            model = form.model
            self.owner.layers = layers_of(model, operations(self.owner))
            self.owner.note_ranges(ends(ranges))
            kept = self.owner.keep(lambda name: stand_ins(name, form.source, self.owner.layers))
            quantizer = qdq.QDQQuantizer(
                model,
                # On a digits classifier, scales per channel gain 3 dB of signal-to-noise
                # ratio over scales per tensor. uint8 activations gave the same accuracy,
                # ratio and speed as int8 (x86 with VNNI), which are what ARM prefers.
                _opset(model) >= _PER_CHANNEL_OPSET,
                False,
                types.QInt8,
                types.QInt8,
                ranges,
                [],
                nodes_of(kept, model),
                operations(self.owner),
                {"TensorQuantOverrides": self._overrides(model)},
            )
            quantizer.quantize_model()
            made = self.folder / "quantized.onnx"
            quantizer.model.save_model_to_file(str(made), form.large)
        return loaded(made, self.owner)

    def prepared(self, source: Path, samples: Iterator[dict[str, Array]]) -> Form:
        """Bring a file into the form that the quantizer takes.

        Raises
        ------
        CompilationError
            It is quantized already, or answers otherwise in that form.
        """
        onnx: Any = backend("onnx", self.owner)
        preparation: Any = backend("onnxruntime.quantization.shape_inference", self.owner)
        tools: Any = backend("onnxruntime.quantization.quant_utils", self.owner)
        model = loaded(source, self.owner)
        if {node.op_type for node in model.graph.node} & _QUANTIZED:
            raise CompilationError(
                f"{type(self.owner).__name__} takes models that are not quantized yet for target "
                f"int8; {self.name} is."
            )
        initialized = {constant.name for constant in model.graph.initializer}
        names = [tensor.name for tensor in model.graph.input if tensor.name not in initialized]
        first = dict(zip(names, next(samples).values(), strict=True))
        # The exported file's names need not be those of the model it came from.
        feeds = itertools.chain(
            [first], (dict(zip(names, s.values(), strict=True)) for s in samples)
        )
        wanted = self._run(source, first)
        if in_float32(onnx, model):
            path = self.folder / "float32.onnx"
            saved(model, path)
            found = self._run(path, first)
            self._require_equal(wanted, found, "float32", _EQUAL_TO_HALF)
            wanted = found
        raised = self._raised(onnx, model, first, wanted)
        _scale_apart(onnx, raised.graph)
        plain, ready = self.folder / "plain.onnx", self.folder / "prepared.onnx"
        large = saved(raised, plain)
        with quiet():
            preparation.quant_pre_process(
                plain,
                ready,
                # Symbolic shapes are for transformers and would need another package.
                skip_symbolic_shape=True,
                save_as_external_data=large,
                all_tensors_to_one_file=large,
                external_data_location="prepared.data" if large else None,
            )
            self._require_equal(wanted, self._run(ready, first), "what it was prepared to")
            inferred = tools.load_model_with_shape_infer(ready)
        _name_apart(inferred.graph)
        return Form(ready, inferred, model.graph, feeds, large)

    def _raised(self, onnx: Any, model: Any, first: dict[str, Array], wanted: list[Array]) -> Any:
        """Return the model in an opset that has scales per channel, or itself if none works."""
        if _opset(model) >= _PER_CHANNEL_OPSET:
            return model
        for opset in _NEWER_OPSETS:
            path = self.folder / f"opset-{opset}.onnx"
            try:
                with quiet():
                    converted = onnx.version_converter.convert_version(model, opset)
                    saved(converted, path)
                    self._require_equal(wanted, self._run(path, first), f"opset {opset}")
                return converted
            # It knows not all operations, and its own errors have no base in common.
            except Exception:
                continue
        return model

    def _run(self, path: Path, inputs: dict[str, Array]) -> list[Array]:
        runtime: Any = backend("onnxruntime", self.owner)
        options = runtime.SessionOptions()
        options.log_severity_level = _LOG_ERRORS_ONLY
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return list(session.run(None, inputs))

    def _require_equal(
        self, wanted: list[Array], found: list[Array], what: str, limit: float = _EQUAL
    ) -> None:
        for one, other in zip(wanted, found, strict=True):
            if not np.issubdtype(np.asarray(one).dtype, np.floating):
                continue
            one, other = one.astype(np.float64), other.astype(np.float64)
            largest = float(np.nanmax(np.abs(one), initial=0.0))
            if not np.allclose(one, other, rtol=0, atol=limit * (largest or 1.0), equal_nan=True):
                raise CompilationError(
                    f"{type(self.owner).__name__}: {self.name} answers otherwise as {what}, "
                    "before anything is quantized."
                )

    def _overrides(self, model: Any) -> dict[str, list[dict[str, Any]]]:
        """Return what is not to be quantized per channel.

        Weights of a transposed convolution with groups have the channels of one group alone along
        their axis, which the quantizer takes for all of them.
        """
        onnx: Any = backend("onnx", self.owner)
        types: Any = backend("onnxruntime.quantization", self.owner).QuantType
        return {
            node.input[1]: [{"quant_type": types.QInt8}]
            for node in model.graph.node
            if node.op_type == "ConvTranspose" and _attribute(onnx, node, "group", 1) > 1
        }


def _name_apart(graph: Any) -> None:
    """Give each node a name of its own: layers are left out by it."""
    seen = {""}
    for number, node in enumerate(graph.node):
        if node.name in seen:
            node.name = f"edge_tester/{number}/{node.op_type}"
        seen.add(node.name)


def _scale_apart(onnx: Any, graph: Any) -> None:
    """Take the factors of Gemm, which the quantizer drops, to operations before it.

    Those of constants are computed away before anything is quantized.
    """
    nodes = list(graph.node)
    del graph.node[:]
    for number, node in enumerate(nodes):
        if node.op_type == "Gemm":
            for factor, position in (("alpha", 1), ("beta", 2)):
                value = _attribute(onnx, node, factor, 1.0)
                if value == 1.0 or len(node.input) <= position or not node.input[position]:
                    continue
                name = f"edge_tester/{number}/{factor}"
                array = np.array(value, np.float32)
                graph.initializer.append(onnx.numpy_helper.from_array(array, name))
                scaled = f"{name}/scaled"
                graph.node.append(
                    onnx.helper.make_node("Mul", [node.input[position], name], [scaled])
                )
                node.input[position] = scaled
                next(a for a in node.attribute if a.name == factor).f = 1.0
        graph.node.append(node)


def _attribute(onnx: Any, node: Any, name: str, default: Any) -> Any:
    for attribute in node.attribute:
        if attribute.name == name:
            return onnx.helper.get_attribute_value(attribute)
    return default


def _opset(model: Any) -> int:
    return next((int(one.version) for one in model.opset_import if not one.domain), 1)
