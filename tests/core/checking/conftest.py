import pytest

from edge_tester.datasets.digits import DigitsDataset
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from tests import unbalanced


@pytest.fixture(scope="session")
def unbalanced_layers():
    return unbalanced.trained()


@pytest.fixture(scope="session")
def unbalanced_onnx(unbalanced_layers, tmp_path_factory):
    path = tmp_path_factory.mktemp("unbalanced") / "m.onnx"
    return ONNXFile(model_path=unbalanced.as_onnx(unbalanced_layers, path))


@pytest.fixture(scope="session")
def unbalanced_tflite(unbalanced_layers, tmp_path_factory):
    path = tmp_path_factory.mktemp("unbalanced") / "m.tflite"
    return TFLiteFile(model_path=unbalanced.as_tflite(unbalanced_layers, path))


@pytest.fixture
def digits():
    dataset = DigitsDataset()
    dataset.prepare()
    return dataset
