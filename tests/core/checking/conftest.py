import functools

import pytest

from edge_tester.datasets.digits import DigitsDataset
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from tests import unbalanced


@pytest.fixture(scope="session")
def trained_layers():
    return unbalanced.trained()


@pytest.fixture(scope="session")
def models(trained_layers, tmp_path_factory):
    """Makes the network with one or two bad tensors, in a format."""

    @functools.cache
    def made(format, after):
        layers = unbalanced.spoiled(trained_layers, after)
        folder = tmp_path_factory.mktemp("unbalanced")
        if format == "onnx":
            return ONNXFile(model_path=unbalanced.as_onnx(layers, folder / "m.onnx"))
        return TFLiteFile(model_path=unbalanced.as_tflite(layers, folder / "m.tflite"))

    return made


@pytest.fixture
def unbalanced_onnx(models):
    return models("onnx", unbalanced.TWO)


@pytest.fixture
def unbalanced_tflite(models):
    return models("tflite", unbalanced.TWO)


@pytest.fixture
def digits():
    dataset = DigitsDataset()
    dataset.prepare()
    return dataset
