import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edge_tester.resources
from edge_tester.compilers.onnx import ONNXCompiler
from edge_tester.core.errors import CompilationError
from edge_tester.modelwrappers.generic.keras_file import KerasFile
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from tests import small_models
from tests.compilers.on_digits import DIGITS_WEIGHTS, OnDigits

RESOURCES = Path(edge_tester.resources.__file__).parent


class TestFile(OnDigits):
    cls = ONNXCompiler

    @pytest.fixture
    def model(self):
        return ONNXFile(model_path=RESOURCES / "digits.onnx")


class TestFileToInt8(TestFile):
    options = {"target": "int8"}
    # The logits span about 60.
    tolerance = 2.0


class TestKeras(TestFile):
    @pytest.fixture
    def model(self, keras_file):
        model = KerasFile(model_path=keras_file)
        # Keras exports only what was called before.
        model.load()
        model.run([small_models.sample((8, 8, 1))])
        return model


def compiled(model, dataset, path, **options):
    return ONNXCompiler(compiled_model_path=path, **options).compile(model, dataset)


def answers(path, values):
    model = ONNXFile(model_path=path)
    model.load()
    return model.run([values])[0]


@pytest.mark.parametrize(
    ("target", "dtype", "share", "decibels"),
    [("default", "float32", 0, 100), ("float16", "float16", 0, 55), ("int8", "int8", 1, 33)],
)
def test_weights_and_quality_of_each_target(digits, tmp_path, target, dtype, share, decibels):
    path = tmp_path / "model.onnx"
    source = ONNXFile(model_path=RESOURCES / "digits.onnx")
    artifact = compiled(source, digits, path, target=target)
    assert {dtype: DIGITS_WEIGHTS} == artifact.weights.elements
    assert share == artifact.weights.quantized_share
    values = digits.load(digits.split().test).inputs[0]
    expected = answers(source.model_path, values)
    noise = expected - answers(path, values)
    ratio = np.sum(expected**2) / max(np.sum(noise**2), 1e-12)
    assert 10 * np.log10(ratio) > decibels


def test_torch_is_exported_and_quantized(digits, tmp_path):
    from edge_tester.modelwrappers.classification.pytorch_digits import PyTorchDigitsClassifier

    model = PyTorchDigitsClassifier(model_path=tmp_path / "digits.pth")
    model.network = model.build().eval()
    model.save(model.model_path)
    artifact = compiled(model, digits, tmp_path / "alone" / "m.onnx", target="int8")
    assert {"int8": DIGITS_WEIGHTS} == artifact.weights.elements
    assert [artifact.path] == list(artifact.path.parent.iterdir())
    (values,) = model.preprocess(digits.load(digits.split().test).inputs, model.specs()[0])
    (expected,) = model.run([values])
    noise = expected - answers(artifact.path, values)
    assert 10 * np.log10(np.sum(expected**2) / np.sum(noise**2)) > 30


def test_quantized_file_is_not_quantized_again(digits, tmp_path):
    path = tmp_path / "int8.onnx"
    compiled(ONNXFile(model_path=RESOURCES / "digits.onnx"), digits, path, target="int8")
    again = ONNXFile(model_path=path)
    with pytest.raises(CompilationError, match="not quantized yet"):
        compiled(again, digits, tmp_path / "no.onnx", target="int8")
    assert 1 == compiled(again, digits, tmp_path / "copy.onnx").weights.quantized_share


def test_weights_beside_the_file_come_along(tmp_path):
    import onnx

    beside = tmp_path / "beside"
    beside.mkdir()
    model = onnx.load(small_models.write_onnx(beside / "small.onnx"))
    onnx.save(
        model, beside / "small.onnx", save_as_external_data=True, location="w", size_threshold=0
    )
    alone = tmp_path / "alone"
    artifact = compiled(ONNXFile(model_path=beside / "small.onnx"), None, alone / "small.onnx")
    assert [artifact.path] == list(alone.iterdir())
    values = small_models.sample((64,))
    assert np.allclose(small_models.answer(values), answers(artifact.path, values), atol=1e-5)


def test_biases_scalars_and_unread_constants_do_not_count(tmp_path):
    path = small_models.write_onnx(tmp_path / "small.onnx", bias_is_constant=True)
    compiler = ONNXCompiler(compiled_model_path=tmp_path / "m.onnx")
    assert {"float32": 640} == compiler.read_weights(path).elements


def test_weights_inside_branches_count(tmp_path):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def branch(name):
        return helper.make_graph(
            [helper.make_node("MatMul", ["x", f"{name}_weights"], [f"{name}_y"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, [1, 10])],
            [numpy_helper.from_array(small_models.WEIGHTS, f"{name}_weights")],
        )

    node = helper.make_node(
        "If", ["flag"], ["y"], then_branch=branch("yes"), else_branch=branch("no")
    )
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64]),
        helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 10])]
    path = tmp_path / "branches.onnx"
    onnx.save(helper.make_model(helper.make_graph([node], "g", inputs, outputs)), path)
    compiler = ONNXCompiler(compiled_model_path=tmp_path / "m.onnx")
    assert {"float32": 1280} == compiler.read_weights(path).elements


def test_float16_is_a_valid_model(tmp_path):
    import onnx

    path = tmp_path / "half.onnx"
    compiled(ONNXFile(model_path=RESOURCES / "digits.onnx"), None, path, target="float16")
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    float32 = onnx.TensorProto.FLOAT
    ends = (*model.graph.input, *model.graph.output)
    assert {float32} == {one.type.tensor_type.elem_type for one in ends}


def test_no_weight_becomes_another_number_in_float16(tmp_path):
    import onnx

    model = onnx.load(RESOURCES / "digits.onnx")
    weights = next(one for one in model.graph.initializer if len(one.dims) == 4)
    values = onnx.numpy_helper.to_array(weights).copy()
    values.flat[3] = 1e6
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    onnx.save(model, tmp_path / "large.onnx")
    with pytest.raises(CompilationError, match="has a weight of 1e\\+06, float16 holds at most"):
        source = ONNXFile(model_path=tmp_path / "large.onnx")
        compiled(source, None, tmp_path / "half.onnx", target="float16")


def test_file_needs_no_framework_and_is_quiet(tmp_path):
    script = (
        "import sys; from pathlib import Path\n"
        "from edge_tester.compilers.onnx import ONNXCompiler\n"
        "from edge_tester.datasets.digits import DigitsDataset\n"
        "from edge_tester.modelwrappers.generic.onnx_file import ONNXFile\n"
        "dataset = DigitsDataset(); dataset.prepare()\n"
        "model = ONNXFile(model_path=Path(sys.argv[1]))\n"
        "for target in ('default', 'int8'):\n"
        "    path = Path(sys.argv[2]) / f'{target}.onnx'\n"
        "    ONNXCompiler(compiled_model_path=path, target=target).compile(model, dataset)\n"
        "print({'tensorflow', 'torch', 'keras'} & set(sys.modules))\n"
    )
    command = [sys.executable, "-c", script, RESOURCES / "digits.onnx", tmp_path]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ("set()\n", "") == (finished.stdout, finished.stderr)


def test_no_file_says_where_its_code_lies(torch_digits, tmp_path):
    import torch

    # PyTorch's exporter writes paths and code of this machine, beside the modules of each node.
    torch_digits.load()
    told, exported, made = (tmp_path / f"{name}.onnx" for name in ("told", "exported", "made"))
    values = torch.zeros(2, 1, 8, 8)
    options = {"dynamo": True, "external_data": False, "verbose": False}
    torch.onnx.export(torch_digits.network, (values,), told, **options)
    torch_digits.save_to_onnx(exported)
    compiled(ONNXFile(model_path=told), None, made)
    home = str(Path(torch.__file__).parent).encode()
    assert home in told.read_bytes()
    inputs = np.random.default_rng(0).random((2, 1, 8, 8), np.float32)
    for path in (exported, made):
        content = path.read_bytes()
        for word in (home, b"stack_trace", b".py", b"class_hierarchy"):
            assert word not in content
        assert b"pkg.torch.onnx.name_scopes" in content
        assert path.stat().st_size < told.stat().st_size
        assert np.array_equal(answers(told, inputs), answers(path, inputs))
