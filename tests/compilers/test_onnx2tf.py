import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edge_tester.resources
from edge_tester.compilers.onnx2tf import ONNX2TFCompiler
from edge_tester.compilers.tflite import TFLiteCompiler
from edge_tester.core.errors import BackendMissingError, CompilationError
from edge_tester.core.making.chain import compile_model, links_between
from edge_tester.core.onnxconversion import relative_difference
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from edge_tester.testing import CompilerConformance

RESOURCES = Path(edge_tester.resources.__file__).parent
# The real tool: made once and kept where everything that can be made again is.
TOOLS = Path(__file__).parents[2] / "build" / "tools"
# Whichever test is the first one makes the tool's environment.
pytestmark = pytest.mark.timeout(1200)
# Without biases: two 3 x 3 convolutions, 128 x 10.
DIGITS_WEIGHTS = 9 * 16 + 9 * 16 * 32 + 128 * 10


class TestONNX2TF(CompilerConformance):
    cls = ONNX2TFCompiler
    options = {"tools_directory": str(TOOLS)}

    @pytest.fixture
    def dataset(self, digits):
        return digits

    @pytest.fixture
    def model(self):
        return ONNXFile(model_path=RESOURCES / "digits.onnx")


def compiled(source, path, **options):
    compiler = ONNX2TFCompiler(compiled_model_path=path, tools_directory=TOOLS, **options)
    return compile_model(compiler, source, None)


def loaded(artifact):
    model = TFLiteFile(model_path=artifact.path)
    model.load()
    return model


def written(path, nodes, inputs, outputs, **constants):
    """An ONNX file of float32 tensors, given as name=shape."""
    values = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in one]
        for one in (inputs.items(), outputs.items())
    ]
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "graph", *values, weights)
    operators = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=operators, ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return ONNXFile(model_path=path)


def random(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_torch_goes_through_onnx_and_answers_the_same(torch_digits, digits, tmp_path):
    assert ["ONNXCompiler"] == [link.__name__ for link in links_between("torch", ONNX2TFCompiler)]
    artifact = compiled(torch_digits, tmp_path / "m.tflite", batch_size=3)
    assert {"float32": DIGITS_WEIGHTS} == artifact.weights.elements
    assert {"onnx2tf", "tensorflow", "ai-edge-litert"} == set(artifact.facts) - {"self_check"}
    assert ["onnx", "torch"] == [artifact.parent.format, artifact.parent.parent.format]
    result = loaded(artifact)
    assert [(3, 1, 8, 8)] == [spec.shape for spec in result.specs()[0]]
    (values,) = torch_digits.preprocess(digits.load(np.arange(3)).inputs, torch_digits.specs()[0])
    assert relative_difference(torch_digits.run([values]), result.run([values])) < 1e-5


def test_what_comes_out_can_be_quantized(digits, tmp_path):
    source = ONNXFile(model_path=RESOURCES / "digits.onnx")
    small = loaded(compiled(source, tmp_path / "float.tflite"))
    compiler = TFLiteCompiler(compiled_model_path=tmp_path / "int8.tflite", target="int8")
    artifact = compiler.compile(small, digits)
    assert {"int8": DIGITS_WEIGHTS} == artifact.weights.elements
    quantized = loaded(artifact)
    source.load()
    answers = [[], []]
    for samples in digits.batches(digits.split().test[:100], 1):
        for model, kept in zip((source, quantized), answers, strict=True):
            kept.append(model.run(model.preprocess(samples.inputs, model.specs()[0]))[0])
    expected, actual = map(np.concatenate, answers)
    noise = expected - actual
    assert 10 * np.log10(np.sum(expected**2) / np.sum(noise**2)) > 30
    assert np.mean(expected.argmax(1) == actual.argmax(1)) >= 0.99


def test_outputs_keep_their_order_and_that_of_their_dimensions(tmp_path):
    nodes = [
        helper.make_node("Sub", ["zeta", "alpha"], ["difference"]),
        helper.make_node("Conv", ["difference", "weights"], ["zz"], pads=[1] * 4),
        helper.make_node("Relu", ["zz"], ["mm"]),
        helper.make_node("ReduceSum", ["zz", "axes"], ["aa"], keepdims=0),
    ]
    source = written(
        *(tmp_path / "two.onnx", nodes),
        {"zeta": [1, 3, 8, 10], "alpha": [1, 3, 8, 10]},
        {"zz": [1, 5, 8, 10], "mm": [1, 5, 8, 10], "aa": [1, 5, 10]},
        weights=random(5, 3, 3, 3),
        axes=np.int64([2]),
    )
    result = loaded(compiled(source, tmp_path / "two.tflite"))
    source.load()
    inputs = [random(1, 3, 8, 10), np.abs(random(1, 3, 8, 10))]
    assert relative_difference(source.run(inputs), result.run(inputs)) < 1e-5


def test_shapes_that_tell_nothing_of_the_order_are_tried(tmp_path):
    nodes = [helper.make_node("Conv", ["x", "weights"], ["y"], pads=[1] * 4)]
    shapes = ({"x": [1, 8, 8, 8]}, {"y": [1, 8, 8, 8]})
    source = written(tmp_path / "cube.onnx", nodes, *shapes, weights=random(8, 8, 3, 3))
    result = loaded(compiled(source, tmp_path / "cube.tflite"))
    source.load()
    inputs = [random(1, 8, 8, 8)]
    assert relative_difference(source.run(inputs), result.run(inputs)) < 1e-5


def test_channels_last_need_nothing_from_a_network(tmp_path):
    """With three channels last, onnx2tf would download images to try the model with."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "weights"], ["y"]),
    ]
    shapes = ({"x": ["batch", 8, 8, 3]}, {"y": ["batch", 4, 6, 6]})
    source = written(tmp_path / "last.onnx", nodes, *shapes, weights=random(4, 3, 3, 3))
    # Whatever the tool would ask for goes to a port where nobody listens.
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            patch.setenv(variable, "http://127.0.0.1:9")
        result = loaded(compiled(source, tmp_path / "last.tflite"))
    source.load()
    inputs = [random(1, 8, 8, 3)]
    assert relative_difference(source.run(inputs), result.run(inputs)) < 1e-5


@pytest.mark.parametrize(
    ("operator", "reason"),
    [
        # Unknown to onnx2tf, to LiteRT, and one whose answers are random.
        ("FastGelu", "ValueError: the operator FastGelu is not supported$"),
        ("Det", "LiteRT has no operation for TensorFlow's MatrixDeterminant"),
        ("Bernoulli", "the outputs differ from ONNX Runtime's by"),
    ],
)
def test_what_cannot_be_converted_is_said(tmp_path, operator, reason):
    shape = [2] if operator == "Det" else [2, 3, 3]
    domain = "com.microsoft" if operator == "FastGelu" else None
    node = helper.make_node(operator, ["x"], ["y"], domain=domain)
    source = written(tmp_path / "m.onnx", [node], {"x": [2, 3, 3]}, {"y": shape})
    with pytest.raises(CompilationError, match=reason):
        compiled(source, tmp_path / "m.tflite")


def test_an_interpreter_without_the_tool_says_so_in_one_line(tmp_path):
    source = ONNXFile(model_path=RESOURCES / "digits.onnx")
    compiler = ONNX2TFCompiler(
        compiled_model_path=tmp_path / "m.tflite", onnx2tf_python=Path(sys.executable)
    )
    with pytest.raises(CompilationError, match="ONNX2TFCompiler: onnx2tf failed .*'onnx"):
        compiler.compile(source, None)


def test_an_environment_that_cannot_be_made_is_a_missing_package(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    compiler = ONNX2TFCompiler(
        compiled_model_path=tmp_path / "m.tflite", tools_directory=tmp_path / "tools"
    )
    with pytest.raises(BackendMissingError, match="ONNX2TFCompiler needs onnx2tf, and no envir"):
        compiler.prepare()
