"""The LiteRT (TensorFlow Lite) compiler."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge_tester.compilers._shared.calibration import Calibration, conformed
from edge_tester.compilers._shared.flatbuffer import Flatbuffer
from edge_tester.compilers._shared.keras_networks import LOOPS, MOST_STEPS, prepared
from edge_tester.compilers._tflite.edgetpu import (
    EdgeTPULog,
    compile_for_edge_tpu,
    edge_tpu_compiler,
)
from edge_tester.compilers._tflite.layers import all_tensors
from edge_tester.compilers._tflite.quantizer import (
    TFLiteQuantizer,
    asks_for_integers,
    check_recipe,
    read_recipe,
)
from edge_tester.compilers._tflite.weights import beyond_float16, was_cut_to_float16
from edge_tester.core.artifact import Weights
from edge_tester.core.backends import backend
from edge_tester.core.errors import CompilationError, OptionError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import option, state
from edge_tester.core.selectivecompiler import SelectiveCompiler
from edge_tester.core.system.quiet import quiet
from edge_tester.core.tensors import Array

_TYPES = ("float32", "int8", "uint8")
# Types of inputs and outputs that quantizing leaves alone: indices, masks, text.
_LEFT_ALONE = ("int32", "int64", "uint32", "uint64", "bool", "string")


class TFLiteCompiler(SelectiveCompiler):
    """Compiles Keras, SavedModel and .tflite models to LiteRT (TensorFlow Lite).

    Keras files and SavedModels go through TensorFlow's converter; .tflite files
    through ai-edge-quantizer, which needs no TensorFlow. So does target weight-only
    and every recipe, after a conversion to float32.
    """

    input_formats = ("keras", "savedmodel", "tflite")
    output_format = "tflite"
    variants = {
        "": {},
        **{target: {"target": target} for target in ("float16", "dynamic", "int8")},
    }
    distributions = (
        "tensorflow",
        "tensorflow-cpu",
        "keras",
        "ai-edge-quantizer",
        "ai-edge-litert",
    )

    target: str = option(
        "default",
        choices=("default", "float16", "dynamic", "weight-only", "int8", "edgetpu"),
        help="default keeps float32; float16 halves the weights; dynamic has int8 weights and "
        "float activations, made integers while it runs; weight-only has int8 weights, made "
        "floats before use; int8 has int8 weights and activations; edgetpu is int8 for Coral's "
        "Edge TPU and needs edgetpu_compiler",
    )
    recipe: Path | None = option(
        None,
        help="JSON recipe of ai-edge-quantizer, which says for each operation what becomes of "
        "it; goes with target default",
    )
    inference_input_type: str = option(
        "float32", choices=_TYPES, help="Type of the inputs; integers need target int8 or edgetpu"
    )
    inference_output_type: str = option(
        "float32", choices=_TYPES, help="Type of the outputs; integers need target int8 or edgetpu"
    )

    _before_edge_tpu: Weights | None = state()
    _log: EdgeTPULog | None = state()
    _float32: list[str] = state(default_factory=list)
    _changes: dict[str, str] = state(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the options, also against each other."""
        super().__post_init__()
        if self.recipe is not None and self.target != "default":
            raise OptionError(
                "TFLiteCompiler.recipe says all about quantization, so target must be default, "
                f"got {self.target!r}."
            )
        for name in ("inference_input_type", "inference_output_type"):
            if not self._all_integers and getattr(self, name) != "float32":
                raise OptionError(
                    f"TFLiteCompiler.{name} must be float32 unless target is int8 or edgetpu, "
                    f"got {getattr(self, name)!r} with target {self.target!r}."
                )

    def check_choices(self) -> None:
        """See also that layers can be left in float."""
        super().check_choices()
        if self.keep_float and (self.recipe is not None or self.target == "edgetpu"):
            reason = "a recipe says all" if self.recipe else "the Edge TPU runs integers alone"
            raise OptionError(
                f"TFLiteCompiler.keep_float must be left out here, since {reason}, got "
                f"{', '.join(self.keep_float)}."
            )

    @classmethod
    def packages_for(cls, format: str) -> tuple[str, ...]:
        """Return TensorFlow or the quantizer, by what converts the format."""
        return ("ai_edge_quantizer",) if format == "tflite" else ("tensorflow",)

    @property
    def quantizes(self) -> bool:
        """Whether integer weights were asked for."""
        if self.recipe is not None:
            return asks_for_integers(read_recipe(self.recipe))
        return self.target in ("dynamic", "weight-only") or self._all_integers

    @property
    def calibrates(self) -> bool:
        """Whether activations become integers; a recipe asks for samples when it is applied."""
        return self.recipe is None and self._all_integers

    @property
    def runs_elsewhere(self) -> str:
        """Say that the Edge TPU's own operation runs there alone."""
        return "it was compiled for the Edge TPU" if self.target == "edgetpu" else ""

    @property
    def _all_integers(self) -> bool:
        return self.target in ("int8", "edgetpu")

    def convert(self, model: ModelWrapper, calibration: Calibration, output: Path) -> None:
        """Compile, then check that types and precision are what was asked for."""
        self._before_edge_tpu = self._log = None
        self._float32, self._changes, self._kept = [], {}, []
        self.layers, self.tensor_ranges = [], {}
        if self.keep_float and self.target != "weight-only":
            self._require_file(model, "keep_float")
        edge_tpu = edge_tpu_compiler(self) if self.target == "edgetpu" else None
        recipe = None
        if self.recipe is not None:
            recipe = read_recipe(self.recipe)
            check_recipe(recipe, self.recipe, self)
        if model.format == "tflite":
            self._check_file(model)
            shutil.copyfile(model.model_path, output)
        else:
            self._convert_with_tensorflow(model, calibration, output, self.target)
        by_quantizer = recipe is not None or self.target == "weight-only"
        if self.target == "float16" and was_cut_to_float16(Flatbuffer.read(output, self)):
            # TensorFlow's converter cuts weights to its range.
            self._convert_with_tensorflow(model, calibration, output, "default")
            by_quantizer = True
        if by_quantizer or (model.format == "tflite" and self.target != "default"):
            quantizer = TFLiteQuantizer(
                self, self.target, self.inference_input_type, self.inference_output_type, recipe
            )
            source = Flatbuffer.read(output, self)
            if self.target == "float16":
                self._float32 = beyond_float16(source)
            output.write_bytes(quantizer.quantized(source, model, calibration))
        self._check_result(model, output)
        if edge_tpu is not None:
            self._before_edge_tpu = self.read_weights(output)
            self._log = compile_for_edge_tpu(self, edge_tpu, output, output)

    def read_weights(self, path: Path) -> Weights:
        """Read a .tflite file back; see Flatbuffer.weights for what counts.

        The compiler of the Edge TPU hides the weights in one operation of its own; those of
        its result are what it was given.
        """
        return self._before_edge_tpu or Flatbuffer.read(path, self).weights()

    def facts(self) -> dict[str, Any]:
        """Return what the Edge TPU runs, what float16 cannot hold, and what was done to layers."""
        facts = self._log.facts() if self._log else {}
        if self._float32:
            facts["beyond float16"] = self._float32
        return facts | self._changes | super().facts()

    def tensors(
        self, model: ModelWrapper, samples: Iterator[list[Array]]
    ) -> Iterator[dict[str, Array]]:
        """Yield all float tensors of the file."""
        self._require_file(model, "tensors")
        model.load()
        source = Flatbuffer.read(model.model_path, self).modernized()
        yield from all_tensors(self, source, conformed(model, samples))

    def _require_file(self, model: ModelWrapper, what: str) -> None:
        if model.format != "tflite":
            raise CompilationError(
                f"TFLiteCompiler.{what} is for .tflite files, whose tensors have names that last; "
                f"{model.model_path} is {model.format!r}. Compile it with target default first, "
                "then the resulting .tflite."
            )

    def _check_result(self, model: ModelWrapper, output: Path) -> None:
        result = Flatbuffer.read(output, self)
        if self.recipe is not None:
            # Inputs and outputs are as the recipe says.
            if not result.is_quantized():
                raise CompilationError(
                    f"TFLiteCompiler: the recipe {self.recipe} matches nothing in "
                    f"{model.model_path} that could be quantized."
                )
            return
        self._check_types(model, result)
        weights = result.weights()
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

    def _convert_with_tensorflow(
        self, model: ModelWrapper, calibration: Calibration, output: Path, target: str
    ) -> None:
        tensorflow = backend("tensorflow", self)
        model.load()
        with quiet():
            if model.format == "keras":
                network, self._changes = prepared(model, self)
                if self._all_integers and self._changes.get("recurrent layers") == LOOPS:
                    # Its calibration would end this process.
                    raise CompilationError(
                        f"TFLiteCompiler: TensorFlow's converter does not quantize loops; the "
                        f"recurrent layers of {model.model_path} have an open number of steps, or "
                        f"more than {MOST_STEPS}. Fix the number of steps to have them unrolled."
                    )
                converter = tensorflow.lite.TFLiteConverter.from_keras_model(network)
            else:
                converter = tensorflow.lite.TFLiteConverter.from_saved_model(str(model.model_path))
            if target not in ("default", "weight-only"):
                converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
            if target == "float16":
                converter.target_spec.supported_types = [tensorflow.float16]
            if self._all_integers:
                converter.representative_dataset = _representative(model, calibration)
                converter.inference_input_type = getattr(tensorflow, self.inference_input_type)
                converter.inference_output_type = getattr(tensorflow, self.inference_output_type)
                types = (self.inference_input_type, self.inference_output_type)
                if "float32" not in types or self.target == "edgetpu":
                    # Integers from end to end are for devices without floating point.
                    converter.target_spec.supported_ops = [
                        tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8
                    ]
            output.write_bytes(self._converted(converter, model))
        inputs, outputs = model.specs()
        if len(inputs) + len(outputs) > 2:
            # The converter's own order is a random one.
            names = [[spec.name for spec in specs] for specs in (inputs, outputs)]
            output.write_bytes(Flatbuffer.read(output, self).ordered(*names))

    def _converted(self, converter: Any, model: ModelWrapper) -> bytes:
        try:
            content: bytes = converter.convert()
        except Exception as error:  # Its class is none of TensorFlow's public ones.
            if model.format == "savedmodel" and "TensorListReserve" in str(error):
                raise CompilationError(
                    f"TFLiteCompiler: {model.model_path} has loops of recurrent layers, which "
                    "TensorFlow's converter does not take from a SavedModel; compile the .keras "
                    "file that it was exported from."
                ) from error
            raise
        return content

    def _check_file(self, model: ModelWrapper) -> None:
        model.load()
        if Flatbuffer.read(model.model_path, self).is_quantized():
            raise CompilationError(
                f"TFLiteCompiler takes float32 .tflite models; {model.model_path} is quantized "
                "or of half precision already."
            )

    def _check_types(self, model: ModelWrapper, result: Flatbuffer) -> None:
        inputs, outputs = result.input_and_output_types()
        for role, wanted, found, specs in (
            ("inputs", self.inference_input_type, inputs, model.specs()[0]),
            ("outputs", self.inference_output_type, outputs, model.specs()[1]),
        ):
            # The model itself may take or give integers, such as raw pixels.
            own = {spec.dtype for spec in specs if not spec.dtype.startswith("float")}
            if any(dtype not in (wanted, *_LEFT_ALONE, *own) for dtype in found):
                raise CompilationError(
                    f"TFLiteCompiler was asked for {role} of type {wanted}, "
                    f"those of the result are {', '.join(found)}."
                )


def _representative(
    model: ModelWrapper, calibration: Calibration
) -> Callable[[], Iterator[dict[str, Array] | list[Array]]]:
    """Return what TensorFlow's converter wants: a function that gives the samples."""

    def samples() -> Iterator[dict[str, Array] | list[Array]]:
        for named in conformed(model, calibration):
            # The converter knows several inputs by their names alone, and a single one of a
            # Keras model by another name than Keras.
            yield named if len(named) > 1 or model.format == "savedmodel" else list(named.values())

    return samples
