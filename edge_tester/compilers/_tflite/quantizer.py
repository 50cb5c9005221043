"""Quantizing .tflite files with ai-edge-quantizer."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from edge_tester.compilers._shared.calibration import Calibration, conformed
from edge_tester.compilers._shared.flatbuffer import Flatbuffer
from edge_tester.compilers._tflite.layers import layers_of, scope_of
from edge_tester.compilers._tflite.weights import beyond_float16, with_room_for_biases
from edge_tester.core.backends import backend
from edge_tester.core.errors import CompilationError, OptionError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import hint
from edge_tester.core.selectivecompiler import Layer, SelectiveCompiler
from edge_tester.core.system.quiet import quiet

# Samples that the quantizer is given at a time; it holds them all in memory.
_CALIBRATION_CHUNK = 32
_ENTRY = ("regex", "operation", "algorithm_key", "op_config")
_UNTOUCHED = "no_quantize"


@dataclasses.dataclass(frozen=True)
class TFLiteQuantizer:
    """What shall become of the weights and activations of a float32 .tflite file.

    Attributes
    ----------
    owner : SelectiveCompiler
        Whose options these are; hears of layers and ranges, and says which layers stay in float.
    target : str
        float16, dynamic, weight-only or int8; not read if there is a recipe.
    input_type, output_type : str
        Types of the inputs and outputs for target int8.
    recipe : list of dict or None
        Entries of a recipe of ai-edge-quantizer, from :func:`read_recipe`.
    """

    owner: SelectiveCompiler
    target: str
    input_type: str
    output_type: str
    recipe: list[dict[str, Any]] | None

    def quantized(self, source: Flatbuffer, model: ModelWrapper, calibration: Calibration) -> bytes:
        """Return the content of the quantized file.

        Parameters
        ----------
        source : Flatbuffer
            In float32.
        model : ModelWrapper
            What takes the samples; the file itself, if there is anything to calibrate.
        calibration : iterator of lists of ndarray, each of shape (1, ...)

        Raises
        ------
        CompilationError
            Another model than a .tflite file would have to be calibrated.
        """
        # The quantizer feeds a model through its signature, which old files lack.
        source = source.modernized()
        self.owner.layers = layers_of(source)
        kept = self.owner.keep()
        with quiet():
            quantizer = self._quantizer(source, kept)
            ranges = None
            if quantizer.need_calibration:
                if model.format != "tflite":
                    raise CompilationError(
                        f"{type(self.owner).__name__}: this recipe calibrates, which it can for "
                        f".tflite files alone; {model.model_path} is {model.format!r}. Compile it "
                        "with target default first, then the resulting .tflite with the recipe."
                    )
                # Of all layers, whichever stay in float this time.
                every = self._quantizer(source, [])
                ranges = self.owner.ranges_once(
                    lambda: self._ranges(every, source, model, calibration)
                )
                self.owner.note_ranges(
                    {
                        name: (float(np.min(one["min"])), float(np.max(one["max"])))
                        for name, one in ranges.items()
                        if "min" in one
                    }
                )
                quantizer = self._quantizer(with_room_for_biases(source, ranges), kept)
            result = quantizer.quantize(
                ranges, enable_progress_bar=False, enable_progress_report=False
            )
            return bytes(result.quantized_model)

    def _quantizer(self, source: Flatbuffer, kept: list[Layer]) -> Any:
        module = backend("ai_edge_quantizer.quantizer", self.owner)
        quantizer = module.Quantizer(bytearray(source.content), self.recipe)
        if self.recipe is None:
            self._add_recipe(quantizer, source)
        for layer in kept:
            quantizer.update_quantization_recipe(scope_of(layer), "*", algorithm_key=_UNTOUCHED)
        return quantizer

    def _add_recipe(self, quantizer: Any, source: Flatbuffer) -> None:
        types: Any = backend("ai_edge_quantizer.qtyping", self.owner)
        every, name = types.TFLOperationName.ALL_SUPPORTED, types.TFLOperationName
        if self.target == "dynamic":
            quantizer.add_dynamic_config(".*", every, num_bits=8)
        elif self.target == "weight-only":
            quantizer.add_weight_only_config(".*", every, num_bits=8)
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
            for output in beyond_float16(source):
                quantizer.update_quantization_recipe(
                    f"^{re.escape(output)};?$", every, algorithm_key=_UNTOUCHED
                )
        else:
            quantizer.add_static_config(".*", every, activation_num_bits=8, weight_num_bits=8)
            for place, dtype in ((name.INPUT, self.input_type), (name.OUTPUT, self.output_type)):
                # The recipe above makes them int8 already.
                if dtype == "float32":
                    quantizer.update_quantization_recipe(".*", place, algorithm_key=_UNTOUCHED)
                elif dtype == "uint8":
                    quantizer.update_quantization_recipe(".*", place, _unsigned(types))

    def _ranges(
        self, quantizer: Any, source: Flatbuffer, model: ModelWrapper, calibration: Calibration
    ) -> Any:
        """Return the ranges of all tensors over the calibration samples."""
        manager = backend("ai_edge_quantizer.recipe_manager", self.owner).RecipeManager()
        manager.load_quantization_recipe(quantizer.get_quantization_recipe())
        # The quantizer's own moving average clips whatever is beyond the average
        # extremes: on a digits classifier, 21 dB of signal-to-noise ratio
        # against 42 dB with the extremes themselves.
        calibrator = backend("ai_edge_quantizer.calibrator", self.owner).Calibrator(
            source.content,
            num_threads=1,
            qsv_update_func=backend("ai_edge_quantizer.utils.qsv_utils", self.owner).min_max_update,
        )
        key, names = source.signature()
        samples = (
            dict(zip(names, sample.values(), strict=True))
            for sample in conformed(model, calibration)
        )
        while chunk := list(itertools.islice(samples, _CALIBRATION_CHUNK)):
            calibrator.calibrate({key: chunk}, manager)
        return calibrator.get_model_qsvs()


def read_recipe(path: Path) -> list[dict[str, Any]]:
    """Read a recipe of ai-edge-quantizer: a JSON list of entries.

    Each entry has ``regex`` (of names of tensors), ``operation``, ``algorithm_key`` and, unless
    that is ``no_quantize``, ``op_config``. Later entries win.

    Raises
    ------
    OptionError
        The file cannot be read or is no such list.
    """
    try:
        recipe = json.loads(path.read_bytes())
    except OSError as error:
        raise OptionError(f"The recipe {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise OptionError(f"The recipe {path} is no JSON: {error}.") from error
    if not isinstance(recipe, list) or not recipe:
        raise OptionError(f"The recipe {path} must be a list of entries, got {_short(recipe)}.")
    for number, entry in enumerate(recipe, start=1):
        whose = f"Entry {number} of the recipe {path}"
        if not isinstance(entry, dict):
            raise OptionError(f"{whose} must be an object, got {_short(entry)}.")
        for name in _ENTRY[:3]:
            if not isinstance(entry.get(name), str):
                raise OptionError(
                    f"{whose} must have {name!r}, a text, got {_short(entry.get(name))}."
                )
        if unknown := sorted(set(entry) - set(_ENTRY)):
            raise OptionError(f"{whose} has an unknown {unknown[0]!r}{hint(unknown[0], _ENTRY)}")
        if entry["algorithm_key"] != _UNTOUCHED and not isinstance(entry.get("op_config"), dict):
            raise OptionError(
                f"{whose} must have 'op_config', an object, got {_short(entry.get('op_config'))}."
            )
    return recipe


def check_recipe(recipe: list[dict[str, Any]], path: Path, owner: object) -> None:
    """Let the quantizer itself look at every entry.

    Raises
    ------
    OptionError
        It does not take one; the message has the tool's own first line.
    """
    manager = backend("ai_edge_quantizer.recipe_manager", owner).RecipeManager()
    types: Any = backend("ai_edge_quantizer.qtyping", owner)
    operations = [one.value for one in types.TFLOperationName]
    for number, entry in enumerate(recipe, start=1):
        whose = f"Entry {number} of the recipe {path}"
        if entry["operation"] not in operations:
            known = hint(entry["operation"], operations)
            raise OptionError(f"{whose} has no known operation, {entry['operation']!r}{known}")
        try:
            re.compile(entry["regex"])
            manager.load_quantization_recipe([entry])
        except Exception as error:  # It raises whatever a wrong type or key leads to.
            first = str(error).partition("\n")[0]
            raise OptionError(f"{whose}: {type(error).__name__}: {first}") from error


def asks_for_integers(recipe: list[dict[str, Any]]) -> bool:
    """Tell whether any entry makes integers of weights."""
    return any(
        entry["algorithm_key"] != _UNTOUCHED
        and entry["op_config"].get("weight_tensor_config", {}).get("dtype", "INT") == "INT"
        for entry in recipe
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _unsigned(types: Any) -> Any:
    """Return the one configuration with unsigned activations that the quantizer has."""
    return types.OpQuantizationConfig(
        activation_tensor_config=types.TensorQuantizationConfig(
            num_bits=8, symmetric=False, dtype=types.TensorDataType.UINT
        ),
        weight_tensor_config=types.TensorQuantizationConfig(num_bits=8),
        compute_precision=types.ComputePrecision.INTEGER,
    )
