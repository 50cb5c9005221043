from pathlib import Path

import pytest

import edge_tester.resources
from edge_tester.core.model import TrainingPlan
from edge_tester.datasets.digits import DigitsDataset

RESOURCES = Path(edge_tester.resources.__file__).parent


@pytest.fixture
def digits():
    dataset = DigitsDataset()
    dataset.prepare()
    return dataset


@pytest.fixture
def resources():
    """Folder of the shipped models."""
    return RESOURCES


@pytest.fixture(scope="session")
def trained_keras(tmp_path_factory):
    """A digits classifier after one pass over the training split."""
    from edge_tester.modelwrappers.classification.tensorflow_digits import (
        TensorFlowDigitsClassifier,
    )

    return _trained(TensorFlowDigitsClassifier, tmp_path_factory.mktemp("keras") / "digits.keras")


@pytest.fixture(scope="session")
def trained_torch(tmp_path_factory):
    """A digits classifier after one pass over the training split."""
    from edge_tester.modelwrappers.classification.pytorch_digits import PyTorchDigitsClassifier

    return _trained(PyTorchDigitsClassifier, tmp_path_factory.mktemp("torch") / "digits.pth")


def _trained(cls, path):
    dataset = DigitsDataset()
    dataset.prepare()
    model = cls(model_path=path)
    model.train(dataset, TrainingPlan(num_epochs=1))
    return model
