import numpy as np
import pytest

from edge_tester.core.model import TrainingPlan
from edge_tester.core.tensors import TensorSpec
from edge_tester.datasets.mnist import MNISTDataset
from edge_tester.modelwrappers.classification.pytorch_mnist import PyTorchMNISTClassifier
from edge_tester.testing import ModelWrapperConformance


@pytest.fixture(scope="session")
def trained_file(mnist_folder, tmp_path_factory):
    dataset = MNISTDataset(dataset_root=mnist_folder)
    dataset.prepare()
    path = tmp_path_factory.mktemp("model") / "mnist.pth"
    PyTorchMNISTClassifier(model_path=path).train(dataset, TrainingPlan(num_epochs=1))
    return path


class TestPyTorchMNIST(ModelWrapperConformance):
    cls = PyTorchMNISTClassifier
    options = {"model_path": "model.pth"}
    saves = True
    exports_onnx = True
    trains = True

    @pytest.fixture
    def model_file(self, trained_file):
        return trained_file

    @pytest.fixture
    def dataset(self, small_mnist):
        return small_mnist


def trained(dataset, path, **plan):
    model = PyTorchMNISTClassifier(model_path=path)
    metrics = model.train(dataset, TrainingPlan(**plan))
    return model, metrics


def test_learns(small_mnist, tmp_path):
    _, first = trained(small_mnist, tmp_path / "first.pth", num_epochs=1)
    _, later = trained(small_mnist, tmp_path / "later.pth", num_epochs=15, batch_size=8)
    assert later["loss"] < first["loss"] / 4
    assert later["test_accuracy"] >= 0.9


def test_the_same_seed_gives_the_same_weights_bit_by_bit(small_mnist, tmp_path):
    states = [
        trained(small_mnist, tmp_path / f"{number}.pth", num_epochs=2, seed=seed)[
            0
        ].network.state_dict()
        for number, seed in enumerate((3, 3, 4))
    ]
    for name, values in states[0].items():
        assert values.numpy().tobytes() == states[1][name].numpy().tobytes()
        assert values.numpy().tobytes() != states[2][name].numpy().tobytes()


def test_has_20490_parameters():
    model = PyTorchMNISTClassifier(model_path="none")
    assert 20_490 == sum(values.numel() for values in model.build().parameters())


@pytest.mark.parametrize("compiled", [(1, 1, 28, 28), (1, 28, 28, 1)])
@pytest.mark.parametrize("bound", [False, True])
def test_the_channel_goes_where_the_compiled_model_has_it(small_mnist, tmp_path, compiled, bound):
    spec = TensorSpec("image", compiled, "float32")
    expected = small_mnist.load([0]).inputs[0]
    if bound:
        small_mnist.bind([spec])
    model = PyTorchMNISTClassifier(model_path=tmp_path / "m.pth")
    (values,) = model.preprocess(small_mnist.load([0]).inputs, [spec])
    assert compiled == values.shape
    assert np.array_equal(expected.ravel(), values.ravel())
