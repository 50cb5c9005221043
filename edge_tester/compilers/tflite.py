"""The LiteRT (TensorFlow Lite) compiler."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge_tester.compilers._calibration import Calibration, conformed
from edge_tester.compilers._flatbuffer import Flatbuffer
from edge_tester.core.artifact import Weights
from edge_tester.core.backends import backend
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.errors import CompilationError, OptionError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import option
from edge_tester.core.quiet import quiet
from edge_tester.core.tensors import Array

_TYPES = ("float32", "int8", "uint8")
# Types of inputs and outputs that quantizing leaves alone: indices, masks, text.
_LEFT_ALONE = ("int32", "int64", "uint32", "uint64", "bool", "string")
# Samples that the quantizer is given at a time; it holds them all in memory.
_CALIBRATION_CHUNK = 32


class TFLiteCompiler(ModelCompiler):
    """Compiles Keras, SavedModel and .tflite models to LiteRT (TensorFlow Lite).

    Keras files and SavedModels go through TensorFlow's converter; .tflite files
    through ai-edge-quantizer, which needs no TensorFlow.
    """

    input_formats = ("keras", "savedmodel", "tflite")
    output_format = "tflite"
    distributions = (
        "tensorflow",
        "tensorflow-cpu",
        "keras",
        "ai-edge-quantizer",
        "ai-edge-litert",
    )

    target: str = option(
        "default",
        choices=("default", "float16", "dynamic", "int8"),
        help="default keeps float32; float16 halves the weights; dynamic has int8 weights and "
        "float activations; int8 has int8 weights and activations",
    )
    inference_input_type: str = option(
        "float32", choices=_TYPES, help="Type of the inputs; integers need target int8"
    )
    inference_output_type: str = option(
        "float32", choices=_TYPES, help="Type of the outputs; integers need target int8"
    )

    def __post_init__(self) -> None:
        """Check the options, also against each other."""
        super().__post_init__()
        for name in ("inference_input_type", "inference_output_type"):
            if self.target != "int8" and getattr(self, name) != "float32":
                raise OptionError(
                    f"TFLiteCompiler.{name} must be float32 unless target is int8, "
                    f"got {getattr(self, name)!r} with target {self.target!r}."
                )

    @property
    def quantizes(self) -> bool:
        """Whether integer weights were asked for."""
        return self.target in ("dynamic", "int8")

    def convert(self, model: ModelWrapper, calibration: Calibration, output: Path) -> None:
        """Compile, then check that types and precision are what was asked for."""
        if model.format == "tflite":
            self._convert_file(model, calibration, output)
        else:
            self._convert_with_tensorflow(model, calibration, output)
        self._check_types(output)
        weights = self.read_weights(output)
        if self.target == "float16" and "float16" not in weights.elements:
            raise CompilationError(
                f"TFLiteCompiler was asked for float16 weights, {model.model_path} gave none."
            )
        if self.target == "dynamic" and model.format != "tflite" and not weights.quantized_share:
            raise CompilationError(
                f"TFLiteCompiler: no weight tensor of {model.model_path} has the 1,024 values from "
                "which TensorFlow's converter quantizes it dynamically; compile it with target "
                "default first, then the resulting .tflite with target dynamic."
            )

    def read_weights(self, path: Path) -> Weights:
        """Read a .tflite file back; see Flatbuffer.weights for what counts."""
        return Flatbuffer.read(path, self).weights()

    def _convert_with_tensorflow(
        self, model: ModelWrapper, calibration: Calibration, output: Path
    ) -> None:
        tensorflow = backend("tensorflow", self)
        with quiet():
            if model.format == "keras":
                network = tensorflow.keras.models.load_model(model.model_path, compile=False)
                converter = tensorflow.lite.TFLiteConverter.from_keras_model(network)
            else:
                converter = tensorflow.lite.TFLiteConverter.from_saved_model(str(model.model_path))
            if self.target != "default":
                converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
            if self.target == "float16":
                converter.target_spec.supported_types = [tensorflow.float16]
            if self.target == "int8":
                converter.representative_dataset = _representative(model, calibration)
                converter.inference_input_type = getattr(tensorflow, self.inference_input_type)
                converter.inference_output_type = getattr(tensorflow, self.inference_output_type)
                if "float32" not in (self.inference_input_type, self.inference_output_type):
                    # Integers from end to end are for devices without floating point.
                    converter.target_spec.supported_ops = [
                        tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8
                    ]
            output.write_bytes(converter.convert())

    def _convert_file(self, model: ModelWrapper, calibration: Calibration, output: Path) -> None:
        model.load()
        source = Flatbuffer.read(model.model_path, self)
        if source.is_quantized():
            raise CompilationError(
                f"TFLiteCompiler takes float32 .tflite models; {model.model_path} is quantized "
                "or of half precision already."
            )
        if self.target == "default":
            shutil.copyfile(model.model_path, output)
            return
        quantizer_module = backend("ai_edge_quantizer.quantizer", self)
        if not source.has_signature():
            # The quantizer feeds a model through its signature, which old files lack.
            source = source.with_signature()
        with quiet():
            quantizer = quantizer_module.Quantizer(bytearray(source.content))
            self._add_recipe(quantizer)
            ranges = None
            if self.target == "int8":
                ranges = self._ranges(quantizer, source, model, calibration)
            result = quantizer.quantize(
                ranges, enable_progress_bar=False, enable_progress_report=False
            )
            output.write_bytes(result.quantized_model)

    def _add_recipe(self, quantizer: Any) -> None:
        types: Any = backend("ai_edge_quantizer.qtyping", self)
        every, name = types.TFLOperationName.ALL_SUPPORTED, types.TFLOperationName
        if self.target == "dynamic":
            quantizer.add_dynamic_config(".*", every, num_bits=8)
        elif self.target == "float16":
            quantizer.update_quantization_recipe(
                ".*",
                every,
                types.OpQuantizationConfig(
                    weight_tensor_config=types.TensorQuantizationConfig(
                        num_bits=16, dtype=types.TensorDataType.FLOAT
                    ),
                    compute_precision=types.ComputePrecision.FLOAT,
                    explicit_dequantize=True,
                ),
                algorithm_key="float_casting",
            )
        else:
            quantizer.add_static_config(".*", every, activation_num_bits=8, weight_num_bits=8)
            for place, dtype in (
                (name.INPUT, self.inference_input_type),
                (name.OUTPUT, self.inference_output_type),
            ):
                # The recipe above makes them int8 already.
                if dtype == "float32":
                    quantizer.update_quantization_recipe(".*", place, algorithm_key="no_quantize")
                elif dtype == "uint8":
                    quantizer.update_quantization_recipe(".*", place, _unsigned(types))

    def _ranges(
        self, quantizer: Any, source: Flatbuffer, model: ModelWrapper, calibration: Calibration
    ) -> Any:
        """Return the ranges of all tensors over the calibration samples."""
        manager = backend("ai_edge_quantizer.recipe_manager", self).RecipeManager()
        manager.load_quantization_recipe(quantizer.get_quantization_recipe())
        # The quantizer's own moving average clips whatever is beyond the average
        # extremes: on a digits classifier, 21 dB of signal-to-noise ratio
        # against 42 dB with the extremes themselves.
        calibrator = backend("ai_edge_quantizer.calibrator", self).Calibrator(
            source.content,
            num_threads=1,
            qsv_update_func=backend("ai_edge_quantizer.utils.qsv_utils", self).min_max_update,
        )
        key, names = source.signature()
        samples = (
            dict(zip(names, sample.values(), strict=True))
            for sample in conformed(model, calibration)
        )
        while chunk := list(itertools.islice(samples, _CALIBRATION_CHUNK)):
            calibrator.calibrate({key: chunk}, manager)
        return calibrator.get_model_qsvs()

    def _check_types(self, output: Path) -> None:
        inputs, outputs = Flatbuffer.read(output, self).input_and_output_types()
        for role, wanted, found in (
            ("inputs", self.inference_input_type, inputs),
            ("outputs", self.inference_output_type, outputs),
        ):
            if any(dtype != wanted and dtype not in _LEFT_ALONE for dtype in found):
                raise CompilationError(
                    f"TFLiteCompiler was asked for {role} of type {wanted}, "
                    f"those of the result are {', '.join(found)}."
                )


def _unsigned(types: Any) -> Any:
    """Return the one configuration with unsigned activations that the quantizer has."""
    return types.OpQuantizationConfig(
        activation_tensor_config=types.TensorQuantizationConfig(
            num_bits=8, symmetric=False, dtype=types.TensorDataType.UINT
        ),
        weight_tensor_config=types.TensorQuantizationConfig(num_bits=8),
        compute_precision=types.ComputePrecision.INTEGER,
    )


def _representative(
    model: ModelWrapper, calibration: Calibration
) -> Callable[[], Iterator[dict[str, Array] | list[Array]]]:
    """Return what TensorFlow's converter wants: a function that gives the samples."""

    def samples() -> Iterator[dict[str, Array] | list[Array]]:
        for named in conformed(model, calibration):
            # A SavedModel has no order of inputs; a Keras model's names are not the converter's.
            yield named if model.format == "savedmodel" else list(named.values())

    return samples
