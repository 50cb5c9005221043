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
