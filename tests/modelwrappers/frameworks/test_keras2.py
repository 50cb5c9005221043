"""Files of Keras 2, which Keras 3 refuses."""

import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow

from edge_tester.compilers.onnx import ONNXCompiler
from edge_tester.compilers.tflite import TFLiteCompiler
from edge_tester.core.errors import CompilationError, ModelError
from edge_tester.core.making.toolenvironment import default_tools_folder, tool_python
from edge_tester.modelwrappers.frameworks import keras2
from edge_tester.modelwrappers.generic.keras_file import KerasFile

# DepthwiseConv2D is what Keras 3 refuses most often: Keras 2 wrote an option that it ignored.
SCRIPT = """
import os, sys
os.environ["TF_USE_LEGACY_KERAS"] = "1"
sys.path.append(sys.argv[2])
import numpy, tf_keras as keras
keras.utils.set_random_seed(0)
image = keras.Input((8, 8, 3), name="image")
values = keras.layers.DepthwiseConv2D(3)(keras.layers.Conv2D(6, 3)(image))
values = keras.layers.GlobalAveragePooling2D()(values)
one = keras.Model(image, keras.layers.Dense(4)(values))
one.save(sys.argv[1] + "/one.h5")
one.save(sys.argv[1] + "/one.keras")
one.save_weights(sys.argv[1] + "/one.weights.h5")
other = keras.Input((5,), name="a")
joined = keras.layers.Concatenate()([values, other * 2])
answer = keras.layers.Dense(3)(joined)
two = keras.Model([image, other], [answer, keras.layers.Dense(2)(answer)])
two.save(sys.argv[1] + "/two.h5")
images = numpy.random.default_rng(0).random((4, 8, 8, 3)).astype("float32")
numbers = numpy.random.default_rng(1).random((4, 5)).astype("float32")
first, second = two.predict([images, numbers], verbose=0)
numpy.savez(sys.argv[1] + "/d.npz", images=images, numbers=numbers,
            one=one.predict(images, verbose=0), first=first, second=second)
"""


# Made once and kept where everything that can be made again is.
CACHE = Path(__file__).parents[3] / "build" / "cache"


@pytest.fixture(scope="module", autouse=True)
def cache():
    """Keep environments and converted models apart from those of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(CACHE))
        yield


@pytest.fixture(scope="module")
def folder(cache, tmp_path_factory):
    """Files that tf_keras wrote, with its answers."""
    made = tmp_path_factory.mktemp("keras2")
    version = ".".join(tensorflow.__version__.split(".")[:2])
    try:
        python = tool_python(
            "tf_keras", ["--no-deps", f"tf_keras~={version}.0"], default_tools_folder()
        )
    except CompilationError as error:
        pytest.skip(f"needs tf_keras: {error}")
    packages = str(Path(tensorflow.__file__).parents[1])
    subprocess.run([python, "-I", "-c", SCRIPT, str(made), packages], check=True)
    return made


def test_a_file_that_keras_3_refuses_answers_as_in_keras_2(folder):
    with pytest.raises(TypeError):
        tensorflow.keras.models.load_model(folder / "one.h5", compile=False)
    data = np.load(folder / "d.npz")
    for name in ("one.h5", "one.keras"):
        model = KerasFile(model_path=folder / name)
        model.load()
        assert ["image"] == [spec.name for spec in model.specs()[0]]
        np.testing.assert_allclose(data["one"], model.run([data["images"]])[0], atol=1e-5)


def test_inputs_and_outputs_keep_their_order(folder):
    data = np.load(folder / "d.npz")
    model = KerasFile(model_path=folder / "two.h5")
    model.load()
    assert ["image", "a"] == [spec.name for spec in model.specs()[0]]
    answers = model.run([data["images"], data["numbers"]])
    for wanted, got in zip((data["first"], data["second"]), answers, strict=True):
        np.testing.assert_allclose(wanted, got, atol=1e-5)


def test_it_is_converted_once(folder, monkeypatch):
    KerasFile(model_path=folder / "one.h5").load()

    def refuse(*arguments):
        raise AssertionError("converted again")

    monkeypatch.setattr(keras2, "run_python", refuse)
    KerasFile(model_path=folder / "one.h5").load()


@pytest.mark.parametrize("compiler", [TFLiteCompiler, ONNXCompiler])
def test_it_compiles(folder, tmp_path, compiler):
    model = KerasFile(model_path=folder / "two.h5")
    artifact = compiler(compiled_model_path=tmp_path / "made").compile(model, None)
    assert artifact.facts["self_check"]["largest_difference"] < 1e-4


def test_weights_alone_are_named_as_that(folder):
    with pytest.raises(ModelError, match="holds weights without the model"):
        KerasFile(model_path=folder / "one.weights.h5").load()


def test_without_tf_keras_the_message_says_what_is_missing(folder, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise CompilationError("no network")

    monkeypatch.setattr(keras2, "tool_python", refuse)
    path = tmp_path / "other.h5"
    path.write_bytes((folder / "one.h5").read_bytes())
    with h5py.File(path, "a") as file:
        file.attrs["changed"] = 1
    with pytest.raises(ModelError, match="of Keras 2, and Keras 3 cannot load it.* no network"):
        KerasFile(model_path=path).load()


def test_no_configuration_is_printed():
    error = TypeError(
        "Error when deserializing class 'Odd' using config={'name': 'odd', 'a': {'b': 1}}.\n\n"
        "Exception encountered: Unrecognized keyword arguments: ['groups']"
    )
    expected = (
        "TypeError: Error when deserializing class 'Odd' Exception encountered: Unrecognized "
        "keyword arguments: ['groups']"
    )
    assert expected == keras2.reason(error)
