"""Frameworks to ONNX and into other engines, on their smaller models."""

import numpy as np
import pytest

from edge_tester.core.onnxconversion import relative_difference
from edge_tester.onnxconverters.onnxruntime import ONNXRuntimeONNXConversion
from edge_tester.onnxconverters.openvino import OpenVINOONNXConversion
from edge_tester.onnxconverters.pytorch import PyTorchONNXConversion
from edge_tester.onnxconverters.tensorflow import TensorFlowONNXConversion
from edge_tester.onnxconverters.tvm import TVMONNXConversion

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


@pytest.mark.parametrize("cls", FRAMEWORKS)
def test_small_models_survive(cls, tmp_path):
    for name in ("transformer", "detector"):
        export = cls().exported(name, tmp_path)
        assert "supported" == export.verdict, export
        for importer in (ONNXRuntimeONNXConversion(), OpenVINOONNXConversion()):
            cell = importer.imported(export.exporter, name, tmp_path)
            assert "supported" == cell.verdict, cell
        assert "unverified" == cls().imported(export.exporter, name, tmp_path).verdict


def test_tvm_names_the_operator_that_it_lacks(tmp_path):
    PyTorchONNXConversion().exported("lstm", tmp_path)
    PyTorchONNXConversion().exported("detector", tmp_path)
    cell = TVMONNXConversion().imported("PyTorch", "lstm", tmp_path)
    assert "import error" == cell.verdict
    assert "LSTM" in cell.detail
    assert "supported" == TVMONNXConversion().imported("PyTorch", "detector", tmp_path).verdict
