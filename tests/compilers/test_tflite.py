import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edge_tester
import edge_tester.resources
from edge_tester.compilers._shared.flatbuffer import Flatbuffer
from edge_tester.compilers.tflite import TFLiteCompiler
from edge_tester.core.errors import CompilationError, ModelError, OptionError
from edge_tester.datasets.digits import DigitsDataset
from edge_tester.modelwrappers.generic.keras_file import KerasFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from tests import small_models
from tests.compilers.on_digits import DIGITS_WEIGHTS, OnDigits

RESOURCES = Path(edge_tester.resources.__file__).parent
TYPES = ("float32", "int8", "uint8")


class TestFile(OnDigits):
    cls = TFLiteCompiler

    @pytest.fixture
    def model(self):
        return TFLiteFile(model_path=RESOURCES / "digits.tflite")


class TestFileToInt8(TestFile):
    options = {"target": "int8", "inference_input_type": "uint8", "inference_output_type": "int8"}
    # The logits span about 60.
    tolerance = 2.0


class TestKerasToFloat16(TestFile):
    options = {"target": "float16"}
    tolerance = 0.01

    @pytest.fixture
    def model(self, keras_file):
        return KerasFile(model_path=keras_file)


class TestKerasToWeightOnly(TestFile):
    options = {"target": "weight-only"}
    tolerance = 0.1

    @pytest.fixture
    def model(self, keras_file):
        return KerasFile(model_path=keras_file)


class TestSavedModelToInt8(TestFile):
    options = {"target": "int8"}
    tolerance = 0.5

    @pytest.fixture
    def model(self, saved_model):
        return KerasFile(model_path=saved_model)


def compiled(model, dataset, path, **options):
    return TFLiteCompiler(compiled_model_path=path, **options).compile(model, dataset)


def answers(path, values):
    model = TFLiteFile(model_path=path)
    model.load()
    return model.run([values])[0]


@pytest.mark.parametrize(
    ("target", "dtype", "share", "decibels"),
    [
        ("default", "float32", 0, 100),
        ("float16", "float16", 0, 60),
        ("dynamic", "int8", 1, 30),
        # The activations lose nothing.
        ("weight-only", "int8", 1, 35),
        ("int8", "int8", 1, 30),
    ],
)
def test_weights_and_quality_of_each_target(digits, tmp_path, target, dtype, share, decibels):
    path = tmp_path / "model.tflite"
    source = TFLiteFile(model_path=RESOURCES / "digits.tflite")
    artifact = compiled(source, digits, path, target=target)
    assert {dtype: DIGITS_WEIGHTS} == artifact.weights.elements
    assert share == artifact.weights.quantized_share
    assert source.model_path == artifact.parent.path
    values = digits.load(digits.split().test).inputs[0]
    expected = answers(source.model_path, values)
    noise = expected - answers(path, values)
    ratio = np.sum(expected**2) / max(np.sum(noise**2), 1e-12)
    assert 10 * np.log10(ratio) > decibels


@pytest.mark.parametrize("outputs", TYPES)
@pytest.mark.parametrize("inputs", TYPES)
@pytest.mark.parametrize("source", ["tflite", "keras"])
def test_types_of_inputs_and_outputs(digits, keras_file, tmp_path, source, inputs, outputs):
    model = (
        KerasFile(model_path=keras_file)
        if source == "keras"
        else TFLiteFile(model_path=RESOURCES / "digits.tflite")
    )
    types = {"inference_input_type": inputs, "inference_output_type": outputs}
    artifact = compiled(model, digits, tmp_path / "m.tflite", target="int8", **types)
    found = Flatbuffer.read(artifact.path, "test").input_and_output_types()
    assert ([inputs], [outputs]) == found


@pytest.mark.parametrize("option", ["inference_input_type", "inference_output_type"])
@pytest.mark.parametrize("target", ["default", "float16", "dynamic", "weight-only"])
def test_integer_types_need_target_int8(tmp_path, option, target):
    with pytest.raises(
        OptionError, match=f"{option} must be float32 unless target is int8 or edgetpu"
    ):
        TFLiteCompiler(compiled_model_path=tmp_path / "m", target=target, **{option: "int8"})


@pytest.mark.parametrize("target", ["default", "float16", "dynamic", "weight-only", "int8"])
def test_quantized_file_is_not_quantized_again(digits, tmp_path, target):
    source = TFLiteFile(model_path=RESOURCES / "digits.tflite")
    for earlier in ("float16", "dynamic", "weight-only", "int8"):
        path = tmp_path / f"{earlier}.tflite"
        compiled(source, digits, path, target=earlier)
        with pytest.raises(CompilationError, match="is quantized or of half precision already"):
            compiled(TFLiteFile(model_path=path), digits, tmp_path / "no.tflite", target=target)
    assert not (tmp_path / "no.tflite").exists()


def test_file_without_signatures_is_quantized(small_tflite, digits, tmp_path):
    path = tmp_path / "old.tflite"
    path.write_bytes(small_models.without_signatures(small_tflite.read_bytes()))
    with pytest.raises(ModelError, match="no signature"):
        Flatbuffer.read(path, "test").signature()
    artifact = compiled(TFLiteFile(model_path=path), digits, tmp_path / "new.tflite", target="int8")
    assert {"int8": 640} == artifact.weights.elements


def test_dynamic_that_tensorflow_leaves_in_float_says_what_to_do(keras_file, digits, tmp_path):
    with pytest.raises(CompilationError, match="1,024 values .* default first"):
        compiled(KerasFile(model_path=keras_file), digits, tmp_path / "m.tflite", target="dynamic")


@pytest.fixture(scope="module")
def two_inputs(tmp_path_factory):
    """Inputs whose order by name is not their order; shapes (n, 4) and (n, 6)."""
    import tensorflow

    keras = tensorflow.keras
    # Concatenating gives the second input the range of the first layer's outputs as well.
    keras.utils.set_random_seed(0)
    first, second = keras.Input((4,), name="zulu"), keras.Input((6,), name="alpha")
    joined = keras.layers.Concatenate()([keras.layers.Dense(5)(first), second])
    model = keras.Model([first, second], keras.layers.Dense(3)(joined))
    folder = tmp_path_factory.mktemp("two")
    model.save(folder / "two.keras")
    model.export(str(folder / "saved"), verbose=False)
    (folder / "two.tflite").write_bytes(small_models.tflite_content(model))
    return folder


@pytest.mark.parametrize("name", ["two.keras", "saved", "two.tflite"])
def test_each_input_is_calibrated_with_its_own_samples(two_inputs, tmp_path, name):
    model = (TFLiteFile if name.endswith("tflite") else KerasFile)(model_path=two_inputs / name)
    model.load()
    widths = [spec.shape[1] for spec in model.specs()[0]]
    largest = {4: 1.0, 6: 10.0}
    generator = np.random.default_rng(0)

    def calibration():
        for _ in range(20):
            sample = {
                width: generator.uniform(0, high, (1, width)) for width, high in largest.items()
            }
            yield [sample[width] for width in widths]

    path = tmp_path / "m.tflite"
    compiler = TFLiteCompiler(compiled_model_path=path, target="int8", inference_input_type="int8")
    compiler.convert(model, calibration(), path)
    result = TFLiteFile(model_path=path)
    result.load()
    actual = {spec.shape[1]: spec.scale * 255 for spec in result.specs()[0]}
    assert pytest.approx(largest, rel=0.2) == actual


def test_terminal_stays_clean(keras_file, tmp_path):
    script = (
        "import sys; from pathlib import Path\n"
        "from edge_tester.compilers.tflite import TFLiteCompiler\n"
        "from edge_tester.modelwrappers.generic.keras_file import KerasFile\n"
        "model = KerasFile(model_path=Path(sys.argv[1]))\n"
        "TFLiteCompiler(compiled_model_path=Path(sys.argv[2])).compile(model, None)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, keras_file, tmp_path / "m.tflite"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ("", "") == (finished.stdout, finished.stderr)


def test_file_needs_no_framework(tmp_path):
    script = (
        "import sys; from pathlib import Path\n"
        "from edge_tester.compilers.tflite import TFLiteCompiler\n"
        "from edge_tester.datasets.digits import DigitsDataset\n"
        "from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile\n"
        "dataset = DigitsDataset(); dataset.prepare()\n"
        "model = TFLiteFile(model_path=Path(sys.argv[1]))\n"
        "for target in ('default', 'float16', 'dynamic', 'weight-only', 'int8'):\n"
        "    path = Path(sys.argv[2]) / f'{target}.tflite'\n"
        "    TFLiteCompiler(compiled_model_path=path, target=target).compile(model, dataset)\n"
        "print({'tensorflow', 'torch', 'keras'} & set(sys.modules))\n"
    )
    command = [sys.executable, "-c", script, RESOURCES / "digits.tflite", tmp_path]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "set()" == finished.stdout.strip()


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8"])
def test_integer_inputs_and_outputs_are_checked_by_what_they_stand_for(tmp_path, dtype):
    source = Path(edge_tester.__file__).parent / "resources" / "digits.tflite"
    dataset = DigitsDataset()
    dataset.prepare()
    compiler = TFLiteCompiler(
        compiled_model_path=tmp_path / "int8.tflite",
        target="int8",
        inference_input_type=dtype,
        inference_output_type=dtype,
    )
    artifact = compiler.compile(TFLiteFile(model_path=source), dataset)
    assert artifact.facts["self_check"]["signal_to_noise_db"] > 30
    assert () == artifact.remarks
