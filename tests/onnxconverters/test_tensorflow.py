"""TensorFlow's models to ONNX and into other engines."""

import pytest

from edge_tester.onnxconverters.tensorflow import TensorFlowONNXConversion
from tests.modelwrappers.classification.networks import eager_functions
from tests.onnxconverters import frameworks


def test_the_kinds_of_networks_are_there():
    frameworks.require_kinds(TensorFlowONNXConversion)


@pytest.mark.parametrize("name", frameworks.names(TensorFlowONNXConversion))
def test_outputs_depend_on_inputs_and_on_nothing_else(name):
    # Compiling a network takes far longer than the three runs of it.
    with eager_functions():
        frameworks.require_dependence(TensorFlowONNXConversion, name)


# Whichever test is the first one makes the tool's environment.
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("importer", frameworks.IMPORTERS)
@pytest.mark.parametrize("name", frameworks.SURVIVING)
def test_small_models_survive(exported, tools, name, importer):
    frameworks.require_survival(exported, TensorFlowONNXConversion, name, importer)


def test_it_says_by_which_tools_it_imports():
    assert "TensorFlow (onnx2tf, LiteRT)" == TensorFlowONNXConversion().importer
