"""Which ways there are to deploy a model, and why others are not there."""

from pathlib import Path

import pytest

from edge_tester.core.checking.validating import plans_of
from edge_tester.core.checking.ways import ways_of
from edge_tester.core.errors import OptionError
from edge_tester.core.run.hostruntime import HostRuntime
from edge_tester.core.run.plan import Plan
from edge_tester.datasets.digits import DigitsDataset
from edge_tester.modelwrappers.classification.pytorch_digits import PyTorchDigitsClassifier
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile

RESOURCES = Path(__file__).parents[3] / "edge_tester/resources"
MODEL = ONNXFile(model_path=RESOURCES / "digits.onnx")


def test_an_onnx_file_is_deployed_as_it_is_and_compiled():
    found, lacking = ways_of(MODEL, DigitsDataset())
    assert {"onnx", "onnx-openvino", "onnx-int8", "onnx-int8-openvino", "tvm"} <= found.keys()
    assert found["onnx"].compiler is None
    assert found["onnx-int8"].compiler.quantizes
    assert "OpenVINORuntime" == type(found["onnx-int8-openvino"].runtime).__name__
    # A copy of the file is no further way.
    names = [*found, *lacking]
    assert 1 == names.count("onnx") and len(names) == len(set(names))
    assert "takes torch, torch-exported, the model is 'onnx'" in lacking["torchscript"]


def test_what_takes_an_environment_of_its_own_is_made_on_request_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _, lacking = ways_of(MODEL, DigitsDataset())
    assert "environment of its own for onnx2tf" in lacking["onnx2tf"]
    assert "environment of its own for onnx2tf" in lacking["tflite-int8"]
    found, _ = ways_of(MODEL, DigitsDataset(), wanted=["onnx2tf"], make_tools=True)
    assert ["onnx2tf"] == list(found)


def test_a_pytorch_network_has_ways_of_its_own(tmp_path):
    model = PyTorchDigitsClassifier(model_path=tmp_path / "digits.pth")
    found, lacking = ways_of(model, DigitsDataset())
    assert {"torchscript", "torch_exported", "executorch-int8", "coreml-mil"} <= found.keys()
    # The compiled program runs on macOS alone.
    assert "CoreMLRuntime predicts on macOS alone" in lacking["coreml"]
    assert found["coreml-mil"].runtime.simulates


def test_names_that_do_not_exist_are_refused():
    with pytest.raises(OptionError, match="no way 'onnx-int4' .* did you mean 'onnx-int8'"):
        ways_of(MODEL, DigitsDataset(), wanted=["onnx-int4"])


def test_a_file_from_elsewhere_is_fed_as_the_model_is(tmp_path):
    model = ONNXFile(model_path=MODEL.model_path, input_scale=0.5)
    plan = Plan(model, DigitsDataset(), HostRuntime())
    plans = plans_of(plan, {}, [RESOURCES / "digits.tflite"])
    assert 0.5 == plans["digits"].model.input_scale
    for names in ([RESOURCES / "digits.tflite"] * 2, [Path("source.tflite")]):
        with pytest.raises(OptionError, match="Two conversions are named"):
            plans_of(plan, {}, names)
