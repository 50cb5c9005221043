"""Quantizing .tflite files of old converters, and weights that a quantizer would spoil."""

from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import edge_tester.resources
from edge_tester.compilers._shared.flatbuffer import IDENTIFIER, Flatbuffer
from edge_tester.compilers.tflite import TFLiteCompiler
from edge_tester.modelwrappers.generic.keras_file import KerasFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile

DIGITS = Path(edge_tester.resources.__file__).with_name("digits.tflite")


def as_old_converters_wrote_it(content):
    """The codes of operations in the older field alone, and no signature."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for code in model.operatorCodes:
        code.deprecatedBuiltinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
        code.builtinCode = 0
    model.signatureDefs = None
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def changed(path, change):
    """Write the digits classifier with the weights and biases of each layer changed."""
    content = bytearray(DIGITS.read_bytes())
    file = Flatbuffer(schema, bytes(content), schema.Model.GetRootAs(content, 0))
    layers = []
    for graph, operation, name in file.operations():
        if name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            tensors = (graph.Tensors(operation.Inputs(place)) for place in (1, 2))
            layers.append((name, *map(file.constant, tensors)))
    change(layers)
    path.write_bytes(content)
    return TFLiteFile(model_path=path, input_scale=1 / 255)


def compiled(model, digits, path, target):
    return TFLiteCompiler(compiled_model_path=path, target=target).compile(model, digits)


@pytest.mark.parametrize("target", ["int8", "float16", "dynamic", "weight-only"])
def test_files_of_old_converters_are_quantized_as_new_ones_are(digits, tmp_path, target):
    path = tmp_path / "old.tflite"
    path.write_bytes(as_old_converters_wrote_it(DIGITS.read_bytes()))
    made = [
        compiled(TFLiteFile(model_path=one, input_scale=1 / 255), digits, tmp_path / "m", target)
        for one in (path, DIGITS)
    ]
    assert made[0].weights == made[1].weights
    assert made[0].facts["self_check"] == made[1].facts["self_check"]


def test_nearly_dead_channels_keep_their_biases(digits, tmp_path):
    def kill(layers):
        for name, weights, biases in layers:
            channels = np.moveaxis(weights, 3 if name == "DEPTHWISE_CONV_2D" else 0, 0)
            channels[0] *= 1e-10
            channels[1] = 0
            biases[:2] = 2, -1

    model = changed(tmp_path / "dead.tflite", kill)
    artifact = compiled(model, digits, tmp_path / "int8.tflite", "int8")
    assert 1.0 == artifact.weights.quantized_share
    assert 30 < artifact.facts["self_check"]["signal_to_noise_db"]


def test_weights_beyond_float16_stay_as_they_are_and_that_is_said(digits, tmp_path):
    def enlarge(layers):
        *_, (_, weights, _) = layers
        weights[0, 0] = 1e6

    model = changed(tmp_path / "large.tflite", enlarge)
    artifact = compiled(model, digits, tmp_path / "half.tflite", "float16")
    assert {"float16", "float32"} == set(artifact.weights.elements)
    assert 1 == len(artifact.facts["beyond float16"])
    assert artifact.facts["self_check"]["largest_difference"] < 1e-2


def test_keras_weights_beyond_float16_are_not_cut(digits, tmp_path):
    import tensorflow

    keras = tensorflow.keras
    first, second = keras.layers.Dense(8), keras.layers.Dense(4)
    network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), first, second])
    kernel, bias = second.get_weights()
    kernel[0, 0] = 1e6
    second.set_weights([kernel, bias])
    network.save(tmp_path / "large.keras")
    model = KerasFile(model_path=tmp_path / "large.keras")
    artifact = compiled(model, digits, tmp_path / "half.tflite", "float16")
    assert {"float16": 8 * 64, "float32": 8 * 4} == artifact.weights.elements
    assert artifact.facts["self_check"]["largest_difference"] < 1e-2
