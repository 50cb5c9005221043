"""PyTorch's models to ONNX and into other engines."""

import pytest

from edge_tester.onnxconverters.pytorch import PyTorchONNXConversion
from edge_tester.onnxconverters.tvm import TVMONNXConversion
from tests.onnxconverters import frameworks


def test_the_kinds_of_networks_are_there():
    frameworks.require_kinds(PyTorchONNXConversion)


@pytest.mark.parametrize("name", frameworks.names(PyTorchONNXConversion))
def test_outputs_depend_on_inputs_and_on_nothing_else(name):
    frameworks.require_dependence(PyTorchONNXConversion, name)


# Whichever test is the first one makes the tool's environment.
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("importer", frameworks.IMPORTERS)
@pytest.mark.parametrize("name", frameworks.SURVIVING)
def test_small_models_survive(exported, tools, name, importer):
    frameworks.require_survival(exported, PyTorchONNXConversion, name, importer)


def test_tvm_takes_the_detector(exported):
    frameworks.require_survival(exported, PyTorchONNXConversion, "detector", TVMONNXConversion)


def test_importers_say_by_which_tools_they_import():
    assert "PyTorch (onnx2torch)" == PyTorchONNXConversion().importer
    assert "TVM" == TVMONNXConversion().importer


@pytest.mark.parametrize(
    ("importer", "said"),
    [(PyTorchONNXConversion, "operation_type='LSTM'"), (TVMONNXConversion, "LSTM")],
)
def test_the_operator_that_is_lacking_is_named(exported, importer, said):
    _, folder = exported(PyTorchONNXConversion, "lstm")
    cell = importer().imported("PyTorch", "lstm", folder)
    assert "import error" == cell.verdict
    assert said in cell.detail
