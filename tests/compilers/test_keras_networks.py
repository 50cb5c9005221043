"""Networks of Keras that converters do not take as they are."""

import numpy as np
import pytest

from edge_tester.compilers.coreml import CoreMLCompiler
from edge_tester.compilers.onnx import ONNXCompiler
from edge_tester.compilers.tflite import TFLiteCompiler
from edge_tester.core.errors import CompilationError
from edge_tester.datasets.npz_file import NpzDataset
from edge_tester.modelwrappers.generic.keras_file import KerasFile


def layers():
    import tensorflow

    return tensorflow.keras.layers


def sequence(shape, *parts, dtype=None):
    import tensorflow

    keras = tensorflow.keras
    return keras.Sequential([keras.Input(shape, dtype=dtype), *parts])


def recurrent(kind, steps):
    layer = getattr(layers(), kind)
    return sequence((steps, 3), layer(6), layers().Dense(3))


def both_ways():
    wrapped = layers().Bidirectional(layers().LSTM(4))
    return sequence((7, 3), wrapped, layers().Dense(3))


def mixed():
    import tensorflow

    policies = tensorflow.keras.mixed_precision
    policies.set_global_policy("mixed_float16")
    try:
        return sequence(
            (8, 8, 3),
            layers().Conv2D(4, 3, name="float16"),
            layers().BatchNormalization(),
            layers().GlobalAveragePooling2D(),
            layers().Dense(3),
            layers().Activation("linear", dtype="float32"),
        )
    finally:
        policies.set_global_policy("float32")


def pixels():
    parts = layers().Rescaling(1 / 255), layers().Conv2D(4, 3), layers().GlobalAveragePooling2D()
    return sequence((8, 8, 3), *parts, dtype="uint8")


def open_words():
    parts = layers().Embedding(20, 8), layers().GlobalAveragePooling1D(), layers().Dense(3)
    return sequence((None,), *parts, dtype="int32")


NETWORKS = {
    "lstm": lambda: recurrent("LSTM", 7),
    "gru": lambda: recurrent("GRU", 7),
    "both ways": both_ways,
    "open steps": lambda: recurrent("GRU", None),
    "mixed": mixed,
    "pixels": pixels,
    "open words": open_words,
}


@pytest.fixture(scope="module")
def model_of(tmp_path_factory):
    """Give a wrapper of a network's file, and a data set for it."""
    import tensorflow

    folder = tmp_path_factory.mktemp("keras")

    def model_of(name):
        tensorflow.keras.utils.set_random_seed(0)
        network = NETWORKS[name]()
        path = folder / f"{name}.keras"
        network.save(path)
        shape = [size or 7 for size in network.input_shape[1:]]
        dtype = network.inputs[0].dtype
        random = np.random.default_rng(0)
        limit = {"int32": 20, "uint8": 256}.get(dtype)
        values = (
            random.integers(0, limit, (210, *shape)).astype(dtype)
            if limit
            else random.standard_normal((210, *shape)).astype(np.float32)
        )
        np.savez(folder / f"{name}.npz", x=values)
        dataset = NpzDataset(
            dataset_path=folder / f"{name}.npz", test_fraction=0, calibration_fraction=1
        )
        dataset.prepare()
        return KerasFile(model_path=path), dataset

    return model_of


@pytest.mark.parametrize("name", NETWORKS)
def test_lite_models_answer_as_the_network_does(model_of, tmp_path, name):
    model, dataset = model_of(name)
    compiler = TFLiteCompiler(compiled_model_path=tmp_path / "m.tflite")
    facts = compiler.compile(model, dataset).facts
    assert facts["self_check"]["compared"]
    assert facts["self_check"]["largest_difference"] < 5e-3
    changes = {"lstm": "unrolled", "gru": "unrolled", "both ways": "unrolled"}
    changes["open steps"] = "loops, for which the batch size is fixed at 1"
    assert changes.get(name) == facts.get("recurrent layers")
    assert (name == "mixed") == ("computes in" in facts)


@pytest.mark.parametrize("name", ["gru", "mixed", "pixels", "open words"])
def test_lite_models_of_integers_answer_nearly_so(model_of, tmp_path, name):
    model, dataset = model_of(name)
    compiler = TFLiteCompiler(compiled_model_path=tmp_path / "m.tflite", target="int8")
    assert 20 < compiler.compile(model, dataset).facts["self_check"]["signal_to_noise_db"]


def test_loops_that_cannot_be_quantized_are_refused_before_the_converter_dies(model_of, tmp_path):
    model, dataset = model_of("open steps")
    compiler = TFLiteCompiler(compiled_model_path=tmp_path / "m.tflite", target="int8")
    with pytest.raises(CompilationError, match="does not quantize loops.* Fix the number of steps"):
        compiler.compile(model, dataset)


@pytest.mark.parametrize("name", ["lstm", "gru", "mixed"])
def test_core_ml_takes_loops_and_half_precision(model_of, tmp_path, name):
    model, _ = model_of(name)
    compiler = CoreMLCompiler(compiled_model_path=tmp_path / "m.mlpackage", precision="float32")
    facts = compiler.compile(model, None).facts
    assert facts["self_check"]["largest_difference"] < 5e-3
    assert ("recurrent layers" in facts) == (name != "mixed")


def test_half_precision_is_quantized_by_way_of_onnx(model_of, tmp_path):
    model, dataset = model_of("mixed")
    compiler = ONNXCompiler(compiled_model_path=tmp_path / "m.onnx", target="int8")
    artifact = compiler.compile(model, dataset)
    assert 1.0 == artifact.weights.quantized_share
    assert 20 < artifact.facts["self_check"]["signal_to_noise_db"]


def test_loops_of_a_saved_model_are_refused_with_the_cure(tmp_path):
    recurrent("LSTM", 7).export(str(tmp_path / "saved"), verbose=False)
    compiler = TFLiteCompiler(compiled_model_path=tmp_path / "m.tflite")
    with pytest.raises(CompilationError, match="loops .* SavedModel; compile the .keras file"):
        compiler.compile(KerasFile(model_path=tmp_path / "saved"), None)
