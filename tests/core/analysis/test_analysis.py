"""Totals and rows of an analysis, against what is known by hand."""

import importlib.resources

import msgspec
import pytest

from edge_tester.core.analysis import analyze, layer_rows, summary_row
from edge_tester.core.analysis.matching import matched
from edge_tester.core.analysis.roofline import Machine, measured_machines
from edge_tester.core.errors import ModelError, OptionError
from edge_tester.core.graphs import GraphTensor, Product, Unknown
from edge_tester.core.profiles import unavailable
from edge_tester.core.results.profile import OperatorTime, Profile
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from edge_tester.modelwrappers.generic.torch_exported_file import TorchExportedFile
from tests.core.analysis.graphs import graph_of, operator, tensor

RESOURCES = importlib.resources.files("edge_tester.resources")
MACHINE = Machine(threads=1, peak_flops_per_s=1e9, bandwidth_bytes_per_s=1e9)


@pytest.fixture
def graph():
    operators = [
        operator("product", "in", "a", work=Product(contracted=100), kind="MatMul"),
        operator("secret", "a", "b", work=Unknown(reason="nobody knows"), kind="Secret"),
        operator("shape", "b", "out", form="view"),
    ]
    return graph_of({"in": 100, "a": 200, "b": 300, "out": 300}, operators, "out")


def test_what_is_not_known_is_never_counted_as_nothing(graph):
    found = analyze(graph, machine=MACHINE)
    assert (20_000, ("secret",)) == (found.macs, found.unknown)
    assert "at least 20,000; unknown of 1 operator" == found.macs_text
    assert [20_000, None, 0] == [row["macs"] for row in layer_rows(found)]
    assert 1 == summary_row(found)["layers_of_unknown_macs"]
    assert "1 operator Secret is not counted: nobody knows" in found.notes[0]
    # Two operations each at one a nanosecond; the view takes nothing.
    assert [40_000, None, 0] == [one.estimated_ns for one in found.layers]
    assert ["compute", "", ""] == [one.bound for one in found.layers]


def test_a_view_moves_and_writes_nothing(graph):
    product, _, view = analyze(graph).layers
    assert (300, 200) == (product.moved_bytes, product.activation_bytes)
    assert (0, 0) == (view.moved_bytes, view.activation_bytes)
    assert 500 == analyze(graph).peak_activation_bytes
    assert "secret" == analyze(graph).peak_layer


@pytest.mark.parametrize("wrapper", [TFLiteFile, ONNXFile])
def test_the_shipped_models_cost_the_same_in_both_formats(wrapper):
    suffix = "tflite" if wrapper is TFLiteFile else "onnx"
    with importlib.resources.as_file(RESOURCES / f"digits.{suffix}") as path:
        found = analyze(wrapper(model_path=path).graph())
    # 3 x 3 kernels: 8 x 8 outputs of 16 channels of 1, 4 x 4 of 32 of 16; 128 values to 10.
    assert 64 * 16 * 9 + 16 * 32 * 9 * 16 + 128 * 10 == found.macs
    assert 16 * 9 + 16 + 32 * 16 * 9 + 32 + 128 * 10 + 10 == found.parameters
    # Both pooled tensors of the first convolution, and what it is pooled to.
    assert 4 * (64 * 16 + 16 * 16) == found.peak_activation_bytes


def test_times_go_to_operators_of_the_same_name_alone(graph):
    def timed(name, time_ns):
        return OperatorTime(place=0, type="X", name=name, time_ns=time_ns)

    times = [timed("product", 60), timed("fused", 30), timed("", 10)]
    found = matched(Profile(tool="a test", operators=times, inferences=1), graph)
    assert {"product": 60} == found.times_ns
    assert {"product": 0.6} == found.shares
    assert "2 operators of the profile, 40.0 % of its time, have no counterpart" in found.notes[1]
    twice = Profile(tool="a test", operators=[timed("product", 5), timed("product", 7)])
    assert {} == matched(twice, graph).times_ns
    assert ("There are no times of layers: it is off",) == matched(
        unavailable("a test", "it is off"), graph
    ).notes


def test_this_machine_computes_and_moves_something():
    machines = measured_machines()
    assert 1 == machines[0].threads
    for one in machines:
        # Between a slow board and whatever is to come.
        assert 1e8 < one.peak_flops_per_s < 1e14
        assert 1e8 < one.bandwidth_bytes_per_s < 1e13


def test_the_longer_one_of_arithmetic_and_memory_is_the_estimate():
    machine = Machine(threads=1, peak_flops_per_s=2e9, bandwidth_bytes_per_s=1e9)
    assert 100 == machine.time_ns(100, 50)
    assert 200 == machine.time_ns(100, 200)
    assert 2 == machine.ridge


def test_sizes_that_are_open_must_be_given(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    def values(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    node = helper.make_node("MatMul", ["x", "y"], ["z"])
    inputs = [values("x", "batch", "rows", 4), values("y", "batch", 4, 5)]
    graph = helper.make_graph([node], "g", inputs, [values("z", "batch", "rows", 5)])
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "m.onnx")
    model = ONNXFile(model_path=tmp_path / "m.onnx")
    with pytest.raises(OptionError, match="size 1 of its input x is open.*--input-shapes"):
        model.graph()
    assert 2 * 3 * 5 * 4 == analyze(model.graph(2, [(3, 4), (4, 5)])).macs
    with pytest.raises(OptionError, match="size 2 of its input x is 4, and no 9"):
        model.graph(2, [(3, 9), (4, 5)])


def test_loops_and_conditions_are_named_and_not_counted(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    def values(name, kind=TensorProto.FLOAT, shape=(2, 2)):
        return helper.make_tensor_value_info(name, kind, shape)

    then = helper.make_graph(
        [helper.make_node("MatMul", ["x", "x"], ["t"])], "then", [], [values("t")]
    )
    other = helper.make_graph([helper.make_node("Neg", ["x"], ["e"])], "other", [], [values("e")])
    node = helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other, name="choice")
    inputs = [values("x"), values("c", TensorProto.BOOL, ())]
    graph = helper.make_graph([node], "g", inputs, [values("y")])
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "m.onnx")
    found = analyze(ONNXFile(model_path=tmp_path / "m.onnx").graph())
    assert (("choice",), 0) == (found.unknown, found.macs)
    assert "If choice has graphs of its own" in found.notes[0]
    assert found.incomplete and summary_row(found)["incomplete"]


@pytest.mark.parametrize(
    ("wrapper", "name"),
    [(ONNXFile, "m.onnx"), (TFLiteFile, "m.tflite"), (TorchExportedFile, "m.pt2")],
)
def test_what_is_no_model_is_refused(wrapper, name, tmp_path):
    path = tmp_path / name
    with pytest.raises(ModelError, match="does not exist"):
        wrapper(model_path=path).graph()
    path.write_bytes(b"")
    with pytest.raises(ModelError, match="is empty"):
        wrapper(model_path=path).graph()
    path.write_bytes(b"no model, but some text" * 20)
    with pytest.raises(ModelError):
        wrapper(model_path=path).graph()
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(40))
    with pytest.raises(ModelError):
        wrapper(model_path=path).graph()


def test_weights_that_are_computed_from_others_count_as_those():
    """As int8 weights do that are dequantized before they are read, by two layers here."""
    operators = [
        operator("first", "in real", "a", work=Product(contracted=10)),
        operator("second", "a real", "out", work=Product(contracted=10)),
    ]
    by_hand = graph_of({"in": 10, "a": 10, "out": 10}, operators, "out")
    tensors = {
        **by_hand.tensors,
        "weights": tensor("weights", 100, role="parameter"),
        "real": GraphTensor(
            name="real", shape=(100,), dtype="float32", role="constant", source="weights"
        ),
    }
    found = analyze(msgspec.structs.replace(by_hand, tensors=tensors))
    assert [(100, 100), (100, 100)] == [(n.parameters, n.weight_bytes) for n in found.layers]
    assert (100, 100) == (found.parameters, found.weight_bytes)
    assert [120, 120] == [one.moved_bytes for one in found.layers]
