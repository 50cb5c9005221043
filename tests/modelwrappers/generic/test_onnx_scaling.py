"""How its inputs are scaled is in an ONNX file that this package made, and is read from there."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_tester.compilers.onnx import ONNXCompiler
from edge_tester.core.system.onnxmetadata import PREPROCESSING, read_metadata
from edge_tester.core.tensors import TensorSpec
from edge_tester.modelwrappers.classification.pytorch_imagenet import PyTorchImageNet
from edge_tester.modelwrappers.frameworks.images import ImageModel
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)


def network():
    import torch

    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("imagenet") / "net.pth"
    model = PyTorchImageNet(model_path=path, factory=f"{__name__}:network", input_size=8)
    model.network = model.build().eval()
    model.save(path)
    return model


@pytest.fixture
def made(source, tmp_path):
    compiler = ONNXCompiler(compiled_model_path=tmp_path / "net.onnx")
    return compiler.compile(source, None).path


def prepared(model, images=IMAGES):
    spec = TensorSpec("image", (None, 3, 8, 8), "float32")
    if isinstance(model, ONNXFile):
        images = np.moveaxis(images, -1, 1)
    return model.preprocess([images], [spec])[0]


def test_a_file_given_as_it_is_gets_the_values_of_the_model_that_it_was_made_from(source, made):
    np.testing.assert_allclose(prepared(source), prepared(ONNXFile(model_path=made)), atol=1e-5)


def test_what_is_taken_from_the_file_is_said_and_among_the_options(made):
    model = ONNXFile(model_path=made)
    (remark,) = model.artifact().remarks
    assert "net.onnx says how its inputs are scaled" in remark
    assert [123.675, 116.28, 103.53] == pytest.approx(model.to_options()["input_mean"])


def test_options_of_the_user_win(made):
    model = ONNXFile.from_options({"model_path": str(made), "input_scale": 1.0})
    assert () == model.artifact().remarks
    np.testing.assert_array_equal(np.moveaxis(IMAGES, -1, 1), prepared(model))


def test_a_quantized_file_says_it_too(made, tmp_path):
    from edge_tester.datasets.random_inputs import RandomDataset

    dataset = RandomDataset(num_samples=200, test_fraction=0, calibration_fraction=1)
    dataset.prepare()
    compiler = ONNXCompiler(compiled_model_path=tmp_path / "int8.onnx", target="int8")
    compiler.compile(ONNXFile(model_path=made), dataset)
    said = [
        json.loads(read_metadata(path)[PREPROCESSING])["options"]
        for path in (made, tmp_path / "int8.onnx")
    ]
    assert said[0] == said[1]


def test_what_options_cannot_say_is_remarked(source, tmp_path):
    class Reversed(PyTorchImageNet):
        def normalize(self, images):
            return images[..., ::-1].astype(np.float32)

    model = Reversed(model_path=source.model_path, factory=f"{__name__}:network", input_size=8)
    assert model.scaling() is None
    ONNXCompiler(compiled_model_path=tmp_path / "net.onnx").compile(model, None)
    (remark,) = ONNXFile(model_path=tmp_path / "net.onnx").artifact().remarks
    assert "made from Reversed, which prepares its inputs in a way that no option" in remark


def test_values_that_stay_as_they_are_need_no_word(tmp_path):
    assert {} == ImageModel(model_path=tmp_path).scaling()


def test_files_without_metadata_are_taken_as_they_are(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 300])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 200])],
        [numpy_helper.from_array(np.ones((300, 200), np.float32), "w")],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph), path)
    assert {} == read_metadata(path)
    assert () == ONNXFile(model_path=path).artifact().remarks
    model = onnx.load(path)
    for key, value in (("author", "someone"), (PREPROCESSING, "no json")):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, path)
    assert {"author": "someone", PREPROCESSING: "no json"} == read_metadata(path)
    assert "a form that is not known here" in ONNXFile(model_path=path).artifact().remarks[0]


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"PK\x03\x04 something else"])
def test_what_is_no_onnx_file_has_no_metadata(tmp_path, content):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    assert {} == read_metadata(path)
    assert {} == read_metadata(tmp_path / "missing.onnx")


def test_a_file_that_ends_early_has_no_metadata(made, tmp_path):
    content = made.read_bytes()
    path = tmp_path / "m.onnx"
    for size in (1, len(content) // 3, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        assert {} == read_metadata(path)
