"""Inputs and outputs are where they were, however many there are."""

import numpy as np
import pytest

from edge_tester.compilers.coreml import CoreMLCompiler
from edge_tester.compilers.onnx import ONNXCompiler
from edge_tester.compilers.tflite import TFLiteCompiler
from edge_tester.modelwrappers.generic.keras_file import KerasFile
from edge_tester.runtimes.mil import MILRuntime
from edge_tester.runtimes.onnxruntime import ONNXRuntime
from edge_tester.runtimes.tflite import TFLiteRuntime

# Sorted as texts, 10 comes before 2.
COUNT = 11


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """As many inputs as outputs, each output the input of the same place times that place."""
    import tensorflow

    keras = tensorflow.keras
    # Named so that neither their order nor its reverse is that of the names.
    inputs = [keras.Input((4,), name=f"input_{place * 7 % COUNT}") for place in range(COUNT)]
    model = keras.Model(inputs, [float(place + 1) * one for place, one in enumerate(inputs)])
    folder = tmp_path_factory.mktemp("many")
    model.save(folder / "many.keras")
    model.export(str(folder / "saved"), verbose=False)
    return folder


@pytest.mark.parametrize(
    ("compiler", "runtime", "options"),
    [
        (CoreMLCompiler, MILRuntime, {"precision": "float32"}),
        (ONNXCompiler, ONNXRuntime, {}),
        (TFLiteCompiler, TFLiteRuntime, {}),
    ],
)
@pytest.mark.parametrize("name", ["many.keras", "saved"])
def test_compiled_models_keep_the_order(many, tmp_path, name, compiler, runtime, options):
    model = KerasFile(model_path=many / name)
    model.load()
    values = list(np.random.default_rng(0).random((COUNT, 1, 4), np.float32))
    expected = model.run(values)
    path = tmp_path / "model"
    artifact = compiler(compiled_model_path=path, **options).compile(model, None)
    target = runtime()
    target.prepare()
    target.load(artifact.path, 1)
    target.set_inputs(values)
    target.run()
    for wanted, found in zip(expected, target.get_outputs(), strict=True):
        np.testing.assert_allclose(wanted, found, rtol=1e-6)


def test_a_saved_model_has_the_same_order_in_every_process(many):
    model = KerasFile(model_path=many / "saved")
    model.load()
    for specs in model.specs():
        names = [spec.name for spec in specs]
        assert sorted(names) == names
        assert COUNT == len(names)
