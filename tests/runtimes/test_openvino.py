import numpy as np
import pytest

from edge_tester.core.errors import ModelError, RuntimeStateError
from edge_tester.runtimes.openvino import OpenVINORuntime
from edge_tester.testing import RuntimeConformance
from tests import small_models


class TestOpenVINORuntime(RuntimeConformance):
    cls = OpenVINORuntime

    @pytest.fixture
    def model_file(self, tmp_path):
        return small_models.write_onnx(tmp_path / "small.onnx")

    @pytest.fixture
    def example(self):
        values = small_models.sample((64,))
        return [values], [small_models.answer(values)]


def load(path, batch_size=1, **options):
    runtime = OpenVINORuntime(**options)
    runtime.prepare()
    return runtime, runtime.load(path, batch_size)


def test_a_fixed_batch_must_fit(tmp_path):
    path = small_models.write_onnx(tmp_path / "fixed.onnx", 4, 4)
    with pytest.raises(ModelError, match=r"fixed.onnx is fixed at 4, got 3"):
        load(path, 3)
    _, (inputs, outputs) = load(path, 1)
    assert [(4, 64), (4, 10)] == [spec.shape for spec in inputs + outputs]


def test_a_missing_device_names_those_that_exist():
    with pytest.raises(RuntimeStateError, match="no device 'NPU'; there are CPU"):
        OpenVINORuntime(device="NPU").prepare()


def test_facts_tell_what_is_in_use(tmp_path):
    runtime, _ = load(small_models.write_onnx(tmp_path / "small.onnx"), num_threads=2)
    facts = runtime.facts()
    assert (["CPU"], 2, "f32") == tuple(
        facts[name] for name in ("devices", "num_threads", "inference_precision")
    )
    assert any(kernel.startswith("FullyConnected") for kernel in facts["kernels"])


def test_tensors_that_are_not_aligned_live_until_they_were_run(tmp_path):
    """A copy of them is what OpenVINO reads from; whatever takes its memory would be run."""
    runtime, _ = load(small_models.write_onnx(tmp_path / "small.onnx"))
    values = small_models.sample((64,))
    unaligned = np.frombuffer(b"\0" + values.tobytes(), np.float32, offset=1).reshape(values.shape)
    assert not unaligned.flags.aligned
    runtime.set_inputs([unaligned])
    others = [np.full(values.shape, 1e9, np.float32) for _ in range(50)]
    runtime.run()
    assert small_models.answer(values) == pytest.approx(runtime.get_outputs()[0], abs=1e-4)
    assert 50 == len(others)


@pytest.mark.parametrize(
    ("dtype", "said"),
    [("INT64", {"int64": "int32"}), ("DOUBLE", {"float64": "float32"}), ("FLOAT", None)],
)
def test_types_that_the_plugin_narrows_are_said(tmp_path, dtype, said):
    from onnx import TensorProto, helper

    kind = getattr(TensorProto, dtype)
    x, y = (helper.make_tensor_value_info(name, kind, [1, 3]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    facts = load(path)[0].facts()
    assert said == facts.get("computed_as")
    assert bool(said) == ("remarks" in facts)


@pytest.mark.parametrize("asked", ["f32", "f16", "bf16"])
def test_it_tells_in_what_it_really_computes(tmp_path, asked):
    """Processors without instructions for what was asked take something else, without a word."""
    from openvino import Core

    capabilities = Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    path = small_models.write_onnx(tmp_path / "small.onnx")
    facts = load(path, inference_precision=asked)[0].facts()
    if asked == "f32" or {"f16": "FP16", "bf16": "BF16"}[asked] in capabilities:
        assert asked == facts["inference_precision"]
        assert "remarks" not in facts
    else:
        assert asked != facts["inference_precision"]
        assert f"where {asked} was asked for" in facts["remarks"][0]
