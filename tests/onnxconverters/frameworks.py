"""What is asked of the models of every framework."""

import numpy as np

from edge_tester.core.onnxconversion import relative_difference
from edge_tester.onnxconverters.onnxruntime import ONNXRuntimeONNXConversion
from edge_tester.onnxconverters.openvino import OpenVINOONNXConversion
from edge_tester.onnxconverters.pytorch import PyTorchONNXConversion
from edge_tester.onnxconverters.tensorflow import TensorFlowONNXConversion

IMPORTERS = (
    ONNXRuntimeONNXConversion,
    OpenVINOONNXConversion,
    PyTorchONNXConversion,
    TensorFlowONNXConversion,
)
# Models that all of them take.
SURVIVING = ("transformer", "detector")
_KINDS = (
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
    """The names of a framework's models."""
    return [entry.name for entry in cls().models()]


def require_kinds(cls):
    """See whether all kinds of networks are there."""
    assert all(any(name.startswith(kind) for name in names(cls)) for kind in _KINDS)
    assert len(names(cls)) == len(set(names(cls))) == 9


def require_dependence(cls, name):
    """See whether outputs depend on the inputs and on nothing else."""
    conversion = cls()
    (make,) = (entry.make for entry in conversion.models() if entry.name == name)
    model = make()
    inputs = conversion.inputs_of(model)
    outputs = conversion.run(model, inputs)
    assert (2 if name == "detector" else 1) == len(outputs)
    # Weights and inputs are the same every time.
    again = make()
    assert 0 == relative_difference(outputs, conversion.run(again, conversion.inputs_of(again)))
    # Far more than the tolerance: a wrong conversion could not hide.
    others = [np.zeros_like(values) for values in inputs]
    assert relative_difference(outputs, conversion.run(model, others)) > 0.02


def require_survival(exported, cls, name, importer):
    """See whether an importer answers as the framework does."""
    export, folder = exported(cls, name)
    assert "supported" == export.verdict, export
    conversion = importer()
    conversion.prepare()
    cell = conversion.imported(export.exporter, name, folder)
    assert "supported" == cell.verdict, cell
