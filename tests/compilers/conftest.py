import pytest

from edge_tester.datasets.digits import DigitsDataset
from edge_tester.modelwrappers.classification.pytorch_digits import PyTorchDigitsClassifier


@pytest.fixture(scope="session")
def digits():
    """The digits, prepared."""
    dataset = DigitsDataset()
    dataset.prepare()
    return dataset


@pytest.fixture(scope="session")
def keras_file(small_keras, tmp_path_factory):
    """The small Keras model as .keras file."""
    path = tmp_path_factory.mktemp("keras") / "small.keras"
    small_keras.save(path)
    return path


@pytest.fixture(scope="session")
def saved_model(small_keras, tmp_path_factory):
    """The small Keras model as SavedModel folder."""
    path = tmp_path_factory.mktemp("savedmodel") / "small"
    small_keras.export(str(path), verbose=False)
    return path


@pytest.fixture(scope="session")
def torch_digits(tmp_path_factory):
    """The digits classifier in PyTorch, untrained, with its state dict."""
    import torch

    path = tmp_path_factory.mktemp("torch") / "digits.pth"
    model = PyTorchDigitsClassifier(model_path=path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model.network = model.build().eval()
    model.save(path)
    return model
