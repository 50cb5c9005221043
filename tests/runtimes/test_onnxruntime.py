import numpy as np
import pytest

from edge_tester.core.errors import ModelError, OptionError, RuntimeStateError
from edge_tester.runtimes.onnxruntime import ONNXRuntime
from edge_tester.testing import RuntimeConformance
from tests import small_models


class TestONNXRuntime(RuntimeConformance):
    cls = ONNXRuntime

    @pytest.fixture
    def model_file(self, tmp_path):
        return small_models.write_onnx(tmp_path / "small.onnx")

    @pytest.fixture
    def example(self):
        values = small_models.sample((64,))
        return [values], [small_models.answer(values)]


class TestUnoptimized(TestONNXRuntime):
    options = {"graph_optimization_level": "disable", "num_threads": 2}


def load(path, batch_size=1, **options):
    runtime = ONNXRuntime(**options)
    runtime.prepare()
    return runtime, runtime.load(path, batch_size)


def shapes(path, batch_size):
    _, (inputs, outputs) = load(path, batch_size)
    return [spec.shape for spec in inputs + outputs]


@pytest.mark.parametrize(
    ("batch", "output_batch", "expected"),
    [
        ("n", "n", 3),
        # Without a name nothing tells that the two are the same.
        (None, None, None),
        # tf2onnx gives every size that it does not know a name of its own.
        ("unk__1", "unk__2", None),
        # Another name is another size, such as a number of detections.
        ("n", "detections", None),
    ],
)
def test_open_sizes(tmp_path, batch, output_batch, expected):
    path = small_models.write_onnx(tmp_path / "small.onnx", batch, output_batch)
    assert [(3, 64), (expected, 10)] == shapes(path, 3)


def test_fixed_batch_must_fit(tmp_path):
    path = small_models.write_onnx(tmp_path / "fixed.onnx", 4, 4)
    with pytest.raises(ModelError, match=r"fixed.onnx is fixed at 4, got 3"):
        load(path, 3)
    assert [(4, 64), (4, 10)] == shapes(path, 4)
    # With a batch size of one the model is taken as it is.
    assert [(4, 64), (4, 10)] == shapes(path, 1)


def test_missing_provider_names_those_that_exist():
    with pytest.raises(RuntimeStateError, match="'NoProvider'; there are .*CPUExecutionProvider"):
        ONNXRuntime(execution_providers=("NoProvider",)).prepare()
    with pytest.raises(OptionError, match="at least one"):
        ONNXRuntime(execution_providers=()).prepare()


def test_facts_tell_what_is_in_use(tmp_path):
    runtime, _ = load(small_models.write_onnx(tmp_path / "small.onnx"), num_threads=2)
    facts = runtime.facts()
    assert ["CPUExecutionProvider"] == facts["execution_providers"]
    assert 2 == facts["num_threads"]
    assert "all" == facts["graph_optimization_level"]
    assert {"CPUExecutionProvider": {"Gemm": 1}} == facts["operations"]
    # Nobody asked for anything else than the CPU.
    assert "fallback" not in facts


def test_what_fell_back_to_the_cpu_is_told(tmp_path):
    # It is in every build and takes no ordinary operation.
    wanted = "AzureExecutionProvider"
    runtime, _ = load(
        small_models.write_onnx(tmp_path / "small.onnx"),
        execution_providers=(wanted, "CPUExecutionProvider"),
    )
    facts = runtime.facts()
    assert [wanted, "CPUExecutionProvider"] == facts["execution_providers"]
    assert {"CPUExecutionProvider": {"Gemm": 1}} == facts["operations"]
    assert {
        "operations on the CPU": 1,
        "in words": f"complete: nothing went to {wanted}, the CPU runs all 1 operations",
    } == facts["fallback"]


def write(path, nodes, inputs, outputs):
    import onnx
    from onnx import helper

    graph = helper.make_graph(nodes, "odd", inputs, outputs)
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def test_sequences_and_text_are_refused(tmp_path):
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])
    sequence = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    construct = helper.make_node("SequenceConstruct", ["x", "x"], ["y"])
    path = write(tmp_path / "sequence.onnx", [construct], [x], [sequence])
    with pytest.raises(ModelError, match=r"output of .* got y \(seq\(tensor\(float\)\)\)"):
        load(path)
    text_in = helper.make_tensor_value_info("x", TensorProto.STRING, [1])
    text_out = helper.make_tensor_value_info("y", TensorProto.STRING, [1])
    identity = helper.make_node("Identity", ["x"], ["y"])
    path = write(tmp_path / "text.onnx", [identity], [text_in], [text_out])
    with pytest.raises(ModelError, match=r"'x' of .* got tensor\(string\)"):
        load(path)


def test_integers_run_as_they_are(tmp_path):
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.INT64, ["n", 2])
    y = helper.make_tensor_value_info("y", TensorProto.INT64, ["n", 2])
    path = write(tmp_path / "sum.onnx", [helper.make_node("Add", ["x", "x"], ["y"])], [x], [y])
    runtime, ((spec,), _) = load(path)
    assert ("int64", None) == (spec.dtype, spec.scale)
    runtime.set_inputs([np.array([[3, -4]])])
    runtime.run()
    assert [[6, -8]] == runtime.get_outputs()[0].tolist()
    with pytest.raises(RuntimeStateError, match="no outputs"):
        load(path)[0].get_outputs()


@pytest.mark.parametrize(("kind", "said"), [("FLOAT16", True), ("FLOAT", False)])
def test_half_precision_is_said_to_be_computed_as_floats(tmp_path, kind, said):
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(n, getattr(TensorProto, kind), [1, 3]) for n in "xy")
    path = write(tmp_path / "m.onnx", [helper.make_node("Add", ["x", "x"], ["y"])], [x], [y])
    runtime = ONNXRuntime()
    runtime.prepare()
    runtime.load(path, 1)
    facts = runtime.facts()
    assert said == ("float16" in facts.get("computed_as", {}))
    assert said == ("remarks" in facts)
