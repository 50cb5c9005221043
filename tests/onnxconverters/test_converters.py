"""Frameworks to ONNX and into other engines, on their smaller models."""

from pathlib import Path

import numpy as np
import pytest

from edge_tester.core.making.toolenvironment import default_tools_folder
from edge_tester.core.onnxconversion import relative_difference
from edge_tester.onnxconverters.onnxruntime import ONNXRuntimeONNXConversion
from edge_tester.onnxconverters.openvino import OpenVINOONNXConversion
from edge_tester.onnxconverters.pytorch import PyTorchONNXConversion
from edge_tester.onnxconverters.tensorflow import TensorFlowONNXConversion
from edge_tester.onnxconverters.tvm import TVMONNXConversion

TOOLS = Path(__file__).parents[2] / "build" / "tools"
FRAMEWORKS = (PyTorchONNXConversion, TensorFlowONNXConversion)
KINDS = (
    "mobilenet",
    "resnet",
    "densenet",
    "efficientnet",
    "vgg",
    "lstm",
    "transformer",
    "detector",
)


def names(cls):
    return [entry.name for entry in cls().models()]


def made(conversion, name):
    return next(entry.make() for entry in conversion.models() if entry.name == name)


@pytest.mark.parametrize("cls", FRAMEWORKS)
def test_the_kinds_of_networks_are_there(cls):
    assert all(any(name.startswith(kind) for name in names(cls)) for kind in KINDS)
    assert len(names(cls)) == len(set(names(cls))) == 9


@pytest.mark.parametrize(
    ("cls", "name"), [(cls, name) for cls in FRAMEWORKS for name in names(cls)]
)
def test_outputs_depend_on_inputs_and_on_nothing_else(cls, name):
    conversion = cls()
    model = made(conversion, name)
    inputs = conversion.inputs_of(model)
    outputs = conversion.run(model, inputs)
    assert (2 if name == "detector" else 1) == len(outputs)
    # Weights and inputs are the same every time.
    again = made(conversion, name)
    assert 0 == relative_difference(outputs, conversion.run(again, conversion.inputs_of(again)))
    # Far more than the tolerance: a wrong conversion could not hide.
    others = [np.zeros_like(values) for values in inputs]
    assert relative_difference(outputs, conversion.run(model, others)) > 0.02


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Where the tools of importers are made once and kept."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    default_tools_folder().parent.mkdir(parents=True)
    default_tools_folder().symlink_to(TOOLS)


# Whichever test is the first one makes the tool's environment.
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("cls", FRAMEWORKS)
def test_small_models_survive(cls, tmp_path, tools):
    importers = [
        *(ONNXRuntimeONNXConversion(), OpenVINOONNXConversion()),
        *(framework() for framework in FRAMEWORKS),
    ]
    for importer in importers:
        importer.prepare()
    for name in ("transformer", "detector"):
        export = cls().exported(name, tmp_path)
        assert "supported" == export.verdict, export
        for importer in importers:
            cell = importer.imported(export.exporter, name, tmp_path)
            assert "supported" == cell.verdict, cell


def test_frameworks_say_by_which_tools_they_import():
    assert "PyTorch (onnx2torch)" == PyTorchONNXConversion().importer
    assert "TensorFlow (onnx2tf, LiteRT)" == TensorFlowONNXConversion().importer
    assert "TVM" == TVMONNXConversion().importer


def test_onnx2torch_names_the_operator_that_it_lacks(tmp_path):
    PyTorchONNXConversion().exported("lstm", tmp_path)
    cell = PyTorchONNXConversion().imported("PyTorch", "lstm", tmp_path)
    assert "import error" == cell.verdict
    assert "operation_type='LSTM'" in cell.detail


def test_tvm_names_the_operator_that_it_lacks(tmp_path):
    PyTorchONNXConversion().exported("lstm", tmp_path)
    PyTorchONNXConversion().exported("detector", tmp_path)
    cell = TVMONNXConversion().imported("PyTorch", "lstm", tmp_path)
    assert "import error" == cell.verdict
    assert "LSTM" in cell.detail
    assert "supported" == TVMONNXConversion().imported("PyTorch", "detector", tmp_path).verdict
