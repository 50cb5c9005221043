"""Static quantization of ONNX files of forms that the quantizer itself breaks."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_tester.compilers.onnx import ONNXCompiler
from edge_tester.core.errors import CompilationError, ModelError
from edge_tester.datasets.random_inputs import RandomDataset
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile

# From here on, each channel's rounding shows in its own values alone.
GOOD_DB = 25
RANDOM = np.random.default_rng(0)
SPREAD = np.logspace(-2, 1, 6).astype(np.float32)


def weights(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


node = helper.make_node


def written(path, nodes, shape, constants, opset=17, **options):
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=6)
    onnx.save(model, path, **options)
    return ONNXFile(model_path=path)


@pytest.fixture
def quantized(tmp_path):
    """Quantize a model, and return the artifact."""

    def quantized(model, samples=None):
        dataset = RandomDataset(num_samples=210, test_fraction=0, calibration_fraction=1)
        dataset.prepare()
        compiler = ONNXCompiler(compiled_model_path=tmp_path / "int8.onnx", target="int8")
        return compiler.compile(model, dataset)

    return quantized


def convolution(path, opset, **more):
    nodes = [
        node("Conv", ["x", "k", "b"], ["c"], pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"]),
        node("GlobalAveragePool", ["r"], ["g"]),
        node("Flatten", ["g"], ["f"]),
        node("MatMul", ["f", "w"], ["m"]),
        node("Softmax", ["m"], ["y"]),
    ]
    constants = {
        "k": weights(6, 3, 3, 3) * SPREAD[:, None, None, None],
        "b": weights(6),
        "w": weights(6, 5),
    }
    return written(path, nodes, ["N", 3, 8, 8], constants, opset, **more)


def ratio(artifact):
    return artifact.facts["self_check"]["signal_to_noise_db"]


@pytest.mark.parametrize("opset", [7, 9, 11, 12, 13, 17])
def test_files_of_every_opset_get_scales_per_channel(tmp_path, quantized, opset):
    artifact = quantized(convolution(tmp_path / "m.onnx", opset))
    made = onnx.load(artifact.path)
    assert GOOD_DB < ratio(artifact)
    assert any(
        6 in constant.dims and len(constant.dims) == 1 for constant in made.graph.initializer
    )
    assert max(opset, 13) <= made.opset_import[0].version


def test_what_cannot_be_raised_is_quantized_per_tensor(tmp_path, quantized, monkeypatch):
    def refuse(model, opset):
        raise RuntimeError("no adapter")

    model = convolution(tmp_path / "m.onnx", 11)
    monkeypatch.setattr(onnx.version_converter, "convert_version", refuse)
    artifact = quantized(model)
    assert 11 == onnx.load(artifact.path).opset_import[0].version
    assert artifact.facts["self_check"]["compared"]


FORMS = {
    "transposed with groups": (
        [node("ConvTranspose", ["x", "w", "b"], ["y"], strides=[2, 2], group=2)],
        (4, 5, 5),
        {"w": weights(4, 3, 3, 3), "b": weights(6)},
    ),
    "transposed": (
        [node("ConvTranspose", ["x", "w", "b"], ["y"])],
        (4, 5, 5),
        {"w": weights(4, 6, 3, 3) * SPREAD[None, :, None, None], "b": weights(6)},
    ),
    "product with factors": (
        [node("Gemm", ["x", "w", "b"], ["y"], transB=1, alpha=0.5, beta=3.0)],
        (8,),
        {"w": weights(6, 8), "b": weights(6)},
    ),
    "product with a factor and weights that are read twice": (
        [
            node("Gemm", ["x", "w", "b"], ["h"], alpha=2.0),
            node("Gemm", ["h", "w"], ["y"], transB=1, alpha=0.25),
        ],
        (8,),
        {"w": weights(8, 6), "b": weights(6)},
    ),
    "product of what is computed": (
        [
            node("Gemm", ["x", "w"], ["h"]),
            node("Gemm", ["h", "v", "h"], ["y"], alpha=0.5, beta=2.0),
        ],
        (8,),
        {"w": weights(8, 6), "v": weights(6, 6)},
    ),
    "a dead channel": (
        [node("Conv", ["x", "w", "b"], ["y"])],
        (3, 6, 6),
        {"w": weights(4, 3, 3, 3) * np.float32([1, 0, 1, 1])[:, None, None, None], "b": weights(4)},
    ),
    "nearly dead channels with a bias": (
        [node("Conv", ["x", "w", "b"], ["y"])],
        (3, 6, 6),
        {
            "w": weights(4, 3, 3, 3) * np.float32([1, 1e-10, 1, 1e-9])[:, None, None, None],
            "b": np.float32([0.5, 2, -1, -3]),
        },
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_that_the_quantizer_breaks_keep_their_answers(tmp_path, quantized, form):
    nodes, shape, constants = FORMS[form]
    artifact = quantized(written(tmp_path / "m.onnx", nodes, ["N", *shape], constants))
    assert 1.0 == artifact.weights.quantized_share
    assert GOOD_DB < ratio(artifact)


def test_a_fixed_batch_is_calibrated_with_as_many_samples(tmp_path, quantized):
    model = written(
        tmp_path / "m.onnx", [node("MatMul", ["x", "w"], ["y"])], [4, 16], {"w": weights(16, 5)}
    )
    artifact = quantized(model)
    assert GOOD_DB < ratio(artifact)
    session = onnxruntime.InferenceSession(str(artifact.path))
    assert (4, 5) == session.run(None, {"x": weights(4, 16)})[0].shape


def test_open_sizes_besides_the_batch_stay_open(tmp_path):
    model = written(
        tmp_path / "m.onnx",
        [node("Conv", ["x", "w"], ["c"]), node("ReduceMean", ["c"], ["y"], axes=[2, 3])],
        ["N", 3, "height", "width"],
        {"w": weights(4, 3, 3, 3)},
    )
    from edge_tester.datasets.npz_file import NpzDataset

    np.savez(tmp_path / "d.npz", x=weights(210, 3, 12, 10))
    dataset = NpzDataset(dataset_path=tmp_path / "d.npz", test_fraction=0, calibration_fraction=1)
    dataset.prepare()
    compiler = ONNXCompiler(compiled_model_path=tmp_path / "int8.onnx", target="int8")
    artifact = compiler.compile(model, dataset)
    assert 1.0 == artifact.weights.quantized_share
    session = onnxruntime.InferenceSession(str(artifact.path))
    assert (2, 4, 1, 1) == session.run(None, {"x": weights(2, 3, 20, 9)})[0].shape


@pytest.mark.parametrize("place", ["weights.bin", "weights/all.bin"])
@pytest.mark.parametrize("target", ["default", "int8"])
def test_weights_in_a_file_beside_it_come_along(tmp_path, quantized, place, target):
    (tmp_path / "weights").mkdir()
    model = convolution(
        tmp_path / "m.onnx", 17, save_as_external_data=True, location=place, size_threshold=0
    )
    if target == "int8":
        artifact = quantized(model)
    else:
        artifact = ONNXCompiler(compiled_model_path=tmp_path / "copy.onnx").compile(model, None)
    assert 6 * 27 + 30 == sum(artifact.weights.elements.values())
    assert artifact.facts["self_check"]["compared"]
    (tmp_path / place).unlink()
    onnxruntime.InferenceSession(str(artifact.path))


def test_a_missing_file_of_weights_is_named(tmp_path):
    model = convolution(
        tmp_path / "m.onnx", 17, save_as_external_data=True, location="w.bin", size_threshold=0
    )
    (tmp_path / "w.bin").unlink()
    with pytest.raises(ModelError, match="w.bin"):
        ONNXCompiler(compiled_model_path=tmp_path / "copy.onnx").compile(model, None)


def test_a_quantized_file_is_refused_by_name(tmp_path, quantized):
    made = quantized(convolution(tmp_path / "m.onnx", 17)).path
    model = ONNXFile(model_path=made.rename(tmp_path / "earlier.onnx"))
    with pytest.raises(CompilationError, match=r"not quantized yet .*earlier\.onnx is"):
        quantized(model)


@pytest.mark.parametrize("ends", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_half_precision_is_quantized_and_inputs_keep_their_type(tmp_path, quantized, ends):
    kernel = weights(8, 5).astype(np.float16)
    nodes = [
        node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        node("MatMul", ["h", "w"], ["m"]),
        node("Cast", ["m"], ["y"], to=ends),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", ends, ["N", 8])],
        [helper.make_tensor_value_info("y", ends, ["N", 5])],
        [numpy_helper.from_array(kernel, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "m.onnx")
    artifact = quantized(ONNXFile(model_path=tmp_path / "m.onnx"))
    assert {"int8": 40} == artifact.weights.elements
    assert GOOD_DB < ratio(artifact)
    made = onnx.load(artifact.path).graph
    assert [ends] * 2 == [t.type.tensor_type.elem_type for t in (*made.input, *made.output)]


@pytest.mark.parametrize("largest_bytes", [100, 1 << 30])
def test_other_compilers_read_weights_beside_the_file_too(tmp_path, monkeypatch, largest_bytes):
    from edge_tester.compilers._shared.fixed_batch import fixed_onnx

    monkeypatch.setattr("edge_tester.compilers._shared.onnx_files._LARGEST_BYTES", largest_bytes)
    (tmp_path / "weights").mkdir()
    place = "weights/all.bin"
    path = tmp_path / "m.onnx"
    convolution(path, 17, save_as_external_data=True, location=place, size_threshold=0)
    (tmp_path / "scratch").mkdir()
    fixed = fixed_onnx(path, 2, tmp_path / "scratch", "Test")
    values = weights(2, 3, 8, 8)
    expected, actual = (
        onnxruntime.InferenceSession(model).run(None, {"x": values})[0]
        for model in (str(path), fixed.SerializeToString())
    )
    np.testing.assert_allclose(expected, actual, atol=1e-6)


def test_what_is_too_large_for_one_file_is_quantized_all_the_same(tmp_path, quantized, monkeypatch):
    # 2 GB are too many for a test: the weights of this model are beyond 4 kB as floats alone.
    nodes = [node("MatMul", ["x", "w"], ["y"])]
    model = written(tmp_path / "m.onnx", nodes, ["N", 64], {"w": weights(64, 32)})
    monkeypatch.setattr("edge_tester.compilers._shared.onnx_files._LARGEST_BYTES", 4000)
    artifact = quantized(model)
    assert GOOD_DB < ratio(artifact)
    onnxruntime.InferenceSession(artifact.path.read_bytes())
    with pytest.raises(CompilationError, match="writes one file, which may have 2 GB in ONNX"):
        ONNXCompiler(compiled_model_path=tmp_path / "copy.onnx").compile(model, None)
