from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edge_tester
from edge_tester.core.artifact import Artifact, open_model
from edge_tester.core.errors import ModelError
from edge_tester.core.system.files import is_archive, unpacked
from edge_tester.core.system.onnxfiles import side_files
from edge_tester.runtimes.onnxruntime import ONNXRuntime

RESOURCES = Path(edge_tester.__file__).parent / "resources"

WEIGHTS = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)


def value(name, *shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def saved(folder, location, inner=False):
    """A model whose weights lie in another file, if ``inner`` those of a graph inside it."""
    folder.mkdir(exist_ok=True)
    weights = numpy_helper.from_array(WEIGHTS, "w")
    product = helper.make_node("MatMul", ["x", "w"], ["p"])
    if inner:
        branch = helper.make_graph([product], "b", [], [value("p", 1, 3)], [weights])
        yes = helper.make_node(
            "Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True))
        )
        nodes = [
            yes,
            helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch),
        ]
        graph = helper.make_graph(nodes, "g", [value("x", 1, 40)], [value("y", 1, 3)])
    else:
        product.output[0] = "y"
        graph = helper.make_graph(
            [product], "g", [value("x", 1, 40)], [value("y", 1, 3)], [weights]
        )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / location).parent.mkdir(exist_ok=True)
    onnx.save(
        *(model, folder / "m.onnx"),
        save_as_external_data=True,
        location=location,
        size_threshold=0,
    )
    return folder / "m.onnx"


@pytest.mark.parametrize("location", ["m.onnx.data", "weights/w.bin"])
@pytest.mark.parametrize("inner", [False, True])
def test_weights_beside_are_part_of_the_model(tmp_path, location, inner):
    path = saved(tmp_path / "model", location, inner)
    assert location in side_files(path)
    artifact = Artifact.from_file(path)
    assert artifact.content_bytes > WEIGHTS.nbytes
    with artifact.open() as file:
        (tmp_path / "sent").write_bytes(file.read())
    assert artifact.size_bytes == (tmp_path / "sent").stat().st_size
    runtime = ONNXRuntime()
    runtime.prepare()
    runtime.load(tmp_path / "sent", 1)
    x = np.ones((1, 40), np.float32)
    runtime.set_inputs([x])
    runtime.run()
    assert x @ WEIGHTS == pytest.approx(runtime.get_outputs()[0], abs=1e-5)


def test_the_weights_count_in_the_hash(tmp_path):
    path = saved(tmp_path / "model", "m.onnx.data")
    before = Artifact.from_file(path)
    content = bytearray((path.parent / "m.onnx.data").read_bytes())
    content[5] ^= 1
    (path.parent / "m.onnx.data").write_bytes(content)
    assert before.sha256 != Artifact.from_file(path).sha256


def test_a_missing_file_is_named(tmp_path):
    path = saved(tmp_path / "model", "m.onnx.data")
    (path.parent / "m.onnx.data").unlink()
    with pytest.raises(ModelError, match="weights in the file 'm.onnx.data' beside it, .*missing"):
        Artifact.from_file(path)


def test_weights_elsewhere_are_refused(tmp_path):
    path = saved(tmp_path / "model", "m.onnx.data")
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].external_data[0].value = "../secret"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="must be in its own folder"):
        side_files(path)


def test_a_model_in_one_file_is_sent_as_it_is():
    path = RESOURCES / "digits.onnx"
    assert [] == side_files(path)
    with open_model(path) as file:
        assert path.read_bytes() == file.read()


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"<html>", b"\x0a\xff\xff\xff\xff\x0f"])
def test_what_is_no_onnx_file_has_no_side_files(tmp_path, content):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    assert [] == side_files(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"  <!DOCTYPE html><html>", "a web page"),
    ],
)
def test_downloads_that_went_wrong_are_named(tmp_path, content, said):
    for name in ("m.onnx", "m.tflite"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError, match=said):
            Artifact.from_file(tmp_path / name)


def test_an_archive_is_told_from_a_model(tmp_path):
    path = saved(tmp_path / "model", "m.onnx.data")
    with open_model(path) as file:
        (tmp_path / "sent").write_bytes(file.read())
    assert is_archive(tmp_path / "sent")
    assert not is_archive(RESOURCES / "digits.onnx")
    assert ["model.onnx", "m.onnx.data"] == unpacked(tmp_path / "sent", tmp_path / "out")
