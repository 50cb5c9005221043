import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edge_tester
from edge_tester.compilers.tflite import TFLiteCompiler
from edge_tester.core.errors import InputError, ModelError, RuntimeStateError
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from edge_tester.runtimes.tflite import TFLiteRuntime
from edge_tester.testing import RuntimeConformance
from tests import small_models


class TestTFLiteRuntime(RuntimeConformance):
    cls = TFLiteRuntime

    @pytest.fixture
    def model_file(self, small_tflite):
        return small_tflite

    @pytest.fixture
    def example(self):
        values = small_models.sample((8, 8, 1))
        return [values], [small_models.answer(values)]


class TestQuantized(RuntimeConformance):
    cls = TFLiteRuntime
    options = {"num_threads": 2}
    # One step of the output's integers, whose range is about 20 wide.
    tolerance = 0.2

    @pytest.fixture
    def model_file(self, quantized_tflite):
        return quantized_tflite

    @pytest.fixture
    def example(self, quantized_tflite):
        (input_spec,), (output_spec,) = load(quantized_tflite)[1]
        values = small_models.sample((8, 8, 1))
        answers = output_spec.quantize(small_models.answer(values))
        return [input_spec.quantize(values)], [answers]


@pytest.fixture(scope="module")
def quantized_tflite(small_keras, tmp_path_factory):
    import tensorflow

    converter = tensorflow.lite.TFLiteConverter.from_keras_model(small_keras)
    converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    generator = np.random.default_rng(0)
    converter.representative_dataset = lambda: (
        [generator.random((1, 8, 8, 1), np.float32)] for _ in range(20)
    )
    converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tensorflow.uint8
    converter.inference_output_type = tensorflow.int8
    path = tmp_path_factory.mktemp("models") / "quantized.tflite"
    path.write_bytes(converter.convert())
    return path


def load(path, batch_size=1, **options):
    runtime = TFLiteRuntime(**options)
    runtime.prepare()
    return runtime, runtime.load(path, batch_size)


def test_specs_tell_quantization_and_layout(quantized_tflite):
    _, ((input_spec,), (output_spec,)) = load(quantized_tflite)
    assert ("uint8", (1, 8, 8, 1), "NHWC") == (
        input_spec.dtype,
        input_spec.shape,
        input_spec.layout,
    )
    assert pytest.approx(1 / 255, rel=0.01) == input_spec.scale
    assert 0 == input_spec.zero_point
    # Its batch is computed when the model runs.
    assert ("int8", (None, 10), None) == (output_spec.dtype, output_spec.shape, output_spec.layout)
    assert output_spec.quantized


def test_float_specs_are_not_quantized(small_tflite):
    _, ((spec,), _) = load(small_tflite)
    assert (None, None) == (spec.scale, spec.zero_point)


def test_weights_of_half_precision_are_said_to_be_computed_as_floats(tmp_path):
    source = Path(edge_tester.__file__).parent / "resources" / "digits.tflite"
    path = tmp_path / "half.tflite"
    compiler = TFLiteCompiler(compiled_model_path=path, target="float16", self_check=False)
    compiler.compile(TFLiteFile(model_path=source), None)
    facts = load(path)[0].facts()
    assert {"float16": "float32"} == facts["computed_as"]
    assert "as float32" in facts["remarks"][0]
    assert "computed_as" not in load(source)[0].facts()


def test_facts_tell_what_xnnpack_took(small_tflite):
    runtime, _ = load(small_tflite, num_threads=2)
    facts = runtime.facts()
    assert "ai_edge_litert" == facts["package"]
    assert 2 == facts["num_threads"]
    assert "2" <= facts["version"]
    assert {} == facts["delegated_operations"]
    assert 1 == facts["xnnpack_operations"]["FULLY_CONNECTED"]
    assert "FULLY_CONNECTED" not in facts["builtin_operations"]
    assert "DELEGATE" not in facts["builtin_operations"]


@pytest.mark.parametrize(
    ("library", "reason"),
    [
        ("libedgetpu.so.1", "cannot open shared object file"),
        ("libm.so.6", "tflite_plugin_create_delegate"),
    ],
)
def test_delegate_that_the_target_lacks(library, reason):
    script = (
        "import sys; from edge_tester.runtimes.tflite import TFLiteRuntime\n"
        "try: TFLiteRuntime(delegates_list=[sys.argv[1]]).prepare()\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, library], capture_output=True, text=True, check=True
    )
    assert finished.stdout.startswith(
        f"RuntimeStateError TFLiteRuntime: the delegate library {library!r} cannot be loaded "
        "on this target: "
    )
    assert reason in finished.stdout
    # No "Exception ignored in" either.
    assert "" == finished.stderr


# Two functions are all that makes a delegate library. This one refuses, as
# those of accelerators do where their device is missing.
REFUSING_DELEGATE = """
#include <stddef.h>
void *tflite_plugin_create_delegate(char **keys, char **values, size_t count,
                                    void (*report)(const char *)) {
  report("no device found");
  return NULL;
}
void tflite_plugin_destroy_delegate(void *delegate) {}
"""
# This one takes no operation. Its layout is TfLiteDelegate's.
IDLE_DELEGATE = """
#include <stddef.h>
#include <stdint.h>
static int prepare(void *context, void *delegate) { return 0; }
static struct {
  void *data;
  int (*prepare)(void *, void *);
  void *rest[3];
  int64_t flags;
  void *builder;
} delegate = {NULL, prepare, {NULL, NULL, NULL}, FLAGS, NULL};
void *tflite_plugin_create_delegate(char **keys, char **values, size_t count,
                                    void (*report)(const char *)) {
  return &delegate;
}
void tflite_plugin_destroy_delegate(void *delegate) {}
"""


def compiled(source: str, folder: Path) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler (cc)")
    (folder / "delegate.c").write_text(source)
    library = str(folder / "delegate.so")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", library, str(folder / "delegate.c")], check=True
    )
    return library


def test_delegate_that_refuses(tmp_path):
    library = compiled(REFUSING_DELEGATE, tmp_path)
    with pytest.raises(RuntimeStateError, match="no device found"):
        TFLiteRuntime(delegates_list=(library,)).prepare()


def test_delegate_that_takes_nothing(small_tflite, tmp_path):
    # Flag 1 allows tensors of dynamic size, which the model has.
    library = compiled(IDLE_DELEGATE.replace("FLAGS", "1"), tmp_path)
    runtime, _ = load(small_tflite, delegates_list=(library,))
    values = small_models.sample((8, 8, 1))
    runtime.set_inputs([values])
    runtime.run()
    (actual,) = runtime.get_outputs()
    assert np.allclose(small_models.answer(values), actual, atol=1e-5)
    assert [library] == runtime.facts()["delegates"]


def test_delegate_that_refuses_the_model(small_tflite, tmp_path):
    library = compiled(IDLE_DELEGATE.replace("FLAGS", "0"), tmp_path)
    with pytest.raises(ModelError, match="delegate.so: no reason given"):
        load(small_tflite, delegates_list=(library,))


def test_fixed_batch_is_resized_where_the_model_can(tmp_path):
    import tensorflow

    keras = tensorflow.keras
    model = keras.Sequential([keras.Input((64,), 2), keras.layers.Dense(10)])
    model.layers[-1].set_weights([small_models.WEIGHTS, small_models.BIASES])
    path = tmp_path / "fixed.tflite"
    path.write_bytes(small_models.tflite_content(model))
    runtime, ((input_spec,), (output_spec,)) = load(path, 3)
    assert ((3, 64), (3, 10)) == (input_spec.shape, output_spec.shape)
    values = np.repeat(small_models.sample((64,)), 3, axis=0)
    runtime.set_inputs([values])
    runtime.run()
    assert np.allclose(small_models.answer(values), runtime.get_outputs()[0], atol=1e-5)


def test_fixed_batch_that_cannot_be_resized_names_both(tmp_path):
    path = tmp_path / "stubborn.tflite"
    path.write_bytes(small_models.tflite_content(small_models.keras_model(batch=2)))
    with pytest.raises(ModelError, match=r"stubborn.*batch size of 5 instead of 2"):
        load(path, 5)
    # With a batch size of one the model is taken as it is.
    _, ((spec,), _) = load(path, 1)
    assert (2, 8, 8, 1) == spec.shape


@pytest.fixture(scope="module")
def open_tflite(tmp_path_factory):
    import tensorflow

    @tensorflow.function(
        input_signature=[
            tensorflow.TensorSpec((None, None, 4), tensorflow.float32),
            tensorflow.TensorSpec((None, 2), tensorflow.float32),
        ]
    )
    def function(x, y):
        return tensorflow.reduce_sum(x, axis=2), y * 2.0

    path = tmp_path_factory.mktemp("models") / "open.tflite"
    path.write_bytes(
        tensorflow.lite.TFLiteConverter.from_concrete_functions(
            [function.get_concrete_function()]
        ).convert()
    )
    return path


def test_open_dimensions_follow_the_inputs(open_tflite):
    runtime, (inputs, outputs) = load(open_tflite, 2)
    assert [(2, None, 4), (2, 2)] == sorted((s.shape for s in inputs), key=len, reverse=True)
    assert all(spec.shape[0] == 2 for spec in outputs)
    for length in (7, 3, 7):
        arrays = [np.ones([size or length for size in spec.shape], np.float32) for spec in inputs]
        runtime.set_inputs(arrays)
        runtime.run()
        answers = sorted(runtime.get_outputs(), key=lambda a: a.shape[1])
        assert {(2, 2), (2, length)} == {answer.shape for answer in answers}
        assert {2.0, 4.0} == {float(answer.flat[0]) for answer in answers}
    with pytest.raises(InputError, match="takes"):
        runtime.set_inputs([array[:1] for array in arrays])


def test_text_tensors_are_refused(tmp_path):
    import tensorflow

    @tensorflow.function(input_signature=[tensorflow.TensorSpec((1,), tensorflow.string)])
    def function(x):
        return tensorflow.identity(x)

    path = tmp_path / "text.tflite"
    path.write_bytes(
        tensorflow.lite.TFLiteConverter.from_concrete_functions(
            [function.get_concrete_function()]
        ).convert()
    )
    with pytest.raises(ModelError, match="real numbers or bool"):
        load(path)


def test_cut_files_are_refused_at_any_length(small_tflite, tmp_path):
    content = small_tflite.read_bytes()
    runtime = TFLiteRuntime()
    runtime.prepare()
    path = tmp_path / "cut.tflite"
    for length in range(0, len(content), 61):
        path.write_bytes(content[:length])
        with pytest.raises(ModelError):
            runtime.load(path, 1)


def test_other_format_is_told_apart(tmp_path):
    path = tmp_path / "other.tflite"
    path.write_bytes(b"PK\x03\x04something else")
    with pytest.raises(ModelError, match="bytes 4 to 8 must be b'TFL3', got b'some'"):
        load(path)
