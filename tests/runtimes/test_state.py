"""Models that keep a state: each sample begins anew, unless it is to be carried over."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import edge_tester
from edge_tester.core.errors import ModelError, OptionError
from edge_tester.datasets.npz_file import NpzDataset
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from edge_tester.modelwrappers.generic.torchscript_file import TorchScriptFile
from edge_tester.runtimes._tflite.state import state_of
from edge_tester.runtimes.onnxruntime import ONNXRuntime
from edge_tester.runtimes.tflite import TFLiteRuntime
from edge_tester.runtimes.torchscript import TorchScriptRuntime
from tests.runs import measured

RESOURCES = Path(edge_tester.__file__).parent / "resources"

SAMPLES = np.random.default_rng(0).random((6, 3)).astype(np.float32)
ADDED = {"reset": SAMPLES, "carry": SAMPLES.cumsum(0)}


def adding_onnx(path):
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3])
        for name in ("x", "before", "sum", "after")
    ]
    nodes = [
        helper.make_node("Add", ["x", "before"], ["after"]),
        helper.make_node("Identity", ["after"], ["sum"]),
    ]
    graph = helper.make_graph(nodes, "adds", values[:2], values[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return ONNXFile(model_path=path), ONNXRuntime, ("before=after",)


def adding_torchscript(path):
    class Adds(torch.nn.Module):
        def forward(self, x: torch.Tensor, before: torch.Tensor):
            return {"sum": x + before, "after": x + before}

    path = path.with_suffix(".pt")
    torch.jit.script(Adds()).save(str(path))
    runtime = {"input_shapes": ("1,3", "1,3")}
    return TorchScriptFile(model_path=path), TorchScriptRuntime, ("input_1=after",), runtime


def adding_tflite(path, kind="variables"):
    """A variable that each sample is added to: a tensor of a fused layer, or a resource."""
    import tensorflow as tf

    class Adds(tf.Module):
        def __init__(self):
            super().__init__()
            self.kept = tf.Variable(tf.zeros([1, 3]))

        @tf.function(input_signature=[tf.TensorSpec([1, 3], tf.float32)])
        def __call__(self, x):
            return self.kept.assign_add(x)

    module = Adds()
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.__call__.get_concrete_function()], module
    )
    converter.experimental_enable_resource_variables = True
    path = path.with_suffix(".tflite")
    path.write_bytes(converter.convert())
    return TFLiteFile(model_path=path), TFLiteRuntime, ()


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("make", [adding_onnx, adding_torchscript, adding_tflite])
@pytest.mark.parametrize("state", ["reset", "carry"])
def test_answers_are_those_of_the_state(tmp_path, make, state):
    model, runtime, pairs, *more = make(tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", x=SAMPLES)
    options = {"state": state, **({"state_pairs": pairs} if pairs else {}), **dict(*more)}
    record = measured(
        model,
        NpzDataset(dataset_path=tmp_path / "d.npz"),
        runtime(**options),
        outputs_directory=tmp_path / "out",
    )
    assert ADDED[state] == pytest.approx(np.load(tmp_path / "out" / "output_0.npy"), abs=1e-5)
    assert state == record.runtime_facts["state"]
    # Never twice for one sample: the cold inference was the answer to the first.
    assert len(SAMPLES) - 1 == len(record.target_ns)
    assert {0} == {block.untimed for block in record.blocks}
    assert [] == record.remarks


@pytest.mark.parametrize("make", [adding_onnx, adding_torchscript])
def test_a_profile_leaves_the_state_as_it_was(tmp_path, make):
    model, cls, pairs, *more = make(tmp_path / "m.onnx")
    runtime = cls(state="carry", state_pairs=pairs, **dict(*more))
    runtime.prepare()
    runtime.load(model.model_path, 1)
    for number, values in enumerate(SAMPLES):
        runtime.set_inputs([values[np.newaxis]])
        runtime.run()
        assert ADDED["carry"][number] == pytest.approx(runtime.get_outputs()[0][0], abs=1e-5)
        runtime.profile([np.ones((1, 3), np.float32)], 3)


def test_the_graph_tells_where_a_state_is(tmp_path):
    model, *_ = adding_tflite(tmp_path / "m.tflite")
    assert "resources" == state_of(model.model_path)
    assert state_of(RESOURCES / "digits.tflite") is None


def test_names_that_the_model_does_not_have(tmp_path):
    adding_onnx(tmp_path / "m.onnx")
    for pairs, said in (("befor=after", "no input 'befor'; it has x, before"), ("before=y", "'y'")):
        runtime = ONNXRuntime(state_pairs=(pairs,))
        runtime.prepare()
        with pytest.raises(ModelError, match=said):
            runtime.load(tmp_path / "m.onnx", 1)
    with pytest.raises(OptionError, match="INPUT=OUTPUT, got 'before'"):
        ONNXRuntime(state_pairs=("before",))


def test_outputs_that_are_no_tensors_leave_their_place(tmp_path):
    """As models of scikit-learn: a label as text, then scores."""
    weights = np.random.default_rng(1).standard_normal((4, 3)).astype(np.float32)
    classifier = helper.make_node(
        *("LinearClassifier", ["x"], ["label", "p"]),
        domain="ai.onnx.ml",
        coefficients=weights.T.ravel().tolist(),
        intercepts=[0.0] * 3,
        classlabels_strings=["a", "b", "c"],
    )
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.STRING, ["N"]),
        helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", 3]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])
    graph = helper.make_graph([classifier], "g", [x], outputs)
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 1)]
    path = tmp_path / "m.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    )
    samples = np.random.default_rng(2).standard_normal((20, 4)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=samples, y=(samples @ weights).argmax(1))
    dataset = NpzDataset(dataset_path=tmp_path / "d.npz")
    record = measured(ONNXFile(model_path=path, output_index=1), dataset, ONNXRuntime())
    assert 1.0 == record.quality.accuracy
    with pytest.raises(ModelError, match="to be evaluated are --output-index 1 .'p'"):
        measured(ONNXFile(model_path=path), dataset, ONNXRuntime())


@pytest.mark.parametrize("axis", ["auto", "none"])
def test_samples_of_any_length_without_a_batch(tmp_path, axis):
    """Time first and open, as recordings have it; the answer is one per sample."""
    weights = numpy_helper.from_array(np.ones((2, 1), np.float32), "w")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("ReduceSum", ["p"], ["y"], keepdims=0),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["time", 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [])
    graph = helper.make_graph(nodes, "g", [x], [y], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    samples = np.random.default_rng(0).random((5, 7, 2)).astype(np.float32)
    expected = np.stack(
        [onnxruntime.InferenceSession(path).run(None, {"x": one})[0] for one in samples]
    )
    np.savez(tmp_path / "d.npz", x=samples)
    measured(
        ONNXFile(model_path=path, batch_axis=axis),
        NpzDataset(dataset_path=tmp_path / "d.npz"),
        ONNXRuntime(),
        outputs_directory=tmp_path / "out",
    )
    assert expected == pytest.approx(np.load(tmp_path / "out" / "output_0.npy"), abs=1e-5)


def test_the_batch_behind_the_time(tmp_path):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, "batch", 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])
    node = helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)
    axes = numpy_helper.from_array(np.array([0]), "axes")
    graph = helper.make_graph([node], "g", [x], [y], [axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    samples = np.random.default_rng(0).random((6, 4, 2)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=samples)
    measured(
        ONNXFile(model_path=path, batch_axis="1"),
        NpzDataset(dataset_path=tmp_path / "d.npz", inference_batch_size=3),
        ONNXRuntime(),
        outputs_directory=tmp_path / "out",
    )
    assert samples.sum(1) == pytest.approx(np.load(tmp_path / "out" / "output_0.npy"), abs=1e-5)


def test_pictures_of_open_height_and_width(tmp_path):
    """The sizes in the file stand for none that its convolution could run with."""
    import tensorflow as tf

    kernel = tf.constant(np.random.default_rng(0).random((3, 3, 2, 4)), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 2], tf.float32)])
    def network(x):
        return tf.reduce_mean(tf.nn.conv2d(x, kernel, 1, "VALID"), [1, 2])

    module = tf.Module()
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [network.get_concrete_function()], module
    )
    path = tmp_path / "m.tflite"
    path.write_bytes(converter.convert())
    samples = np.random.default_rng(1).random((3, 7, 5, 2)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=samples)
    measured(
        TFLiteFile(model_path=path),
        NpzDataset(dataset_path=tmp_path / "d.npz"),
        TFLiteRuntime(),
        outputs_directory=tmp_path / "out",
    )
    found = np.load(tmp_path / "out" / "output_0.npy")
    assert network(samples).numpy() == pytest.approx(found, abs=1e-5)
