import pytest

from edge_tester.core.errors import ModelError
from edge_tester.core.model import TrainingPlan
from edge_tester.datasets.mnist import MNISTDataset
from edge_tester.modelwrappers.classification.tensorflow_mnist import TensorFlowMNISTClassifier
from edge_tester.testing import ModelWrapperConformance
from tests import small_models


@pytest.fixture(scope="session")
def learned(mnist_folder, tmp_path_factory):
    """A trained model and its metrics."""
    dataset = MNISTDataset(dataset_root=mnist_folder)
    dataset.prepare()
    path = tmp_path_factory.mktemp("model") / "mnist.keras"
    model = TensorFlowMNISTClassifier(model_path=path)
    return model, model.train(dataset, TrainingPlan(num_epochs=20, batch_size=8))


class TestTensorFlowMNIST(ModelWrapperConformance):
    cls = TensorFlowMNISTClassifier
    options = {"model_path": "model.keras"}
    saves = True
    exports_onnx = True
    trains = True
    # Logits reach 10.
    tolerance = 1e-4

    @pytest.fixture
    def model_file(self, learned):
        return learned[0].model_path

    @pytest.fixture
    def dataset(self, small_mnist):
        return small_mnist


def test_learns(learned):
    model, metrics = learned
    assert 20_490 == model.network.count_params()
    assert metrics["loss"] < 0.5
    assert metrics["test_accuracy"] >= 0.9


def test_other_networks_are_refused(tmp_path):
    path = tmp_path / "other.keras"
    small_models.keras_model().save(path)
    with pytest.raises(ModelError, match="other.keras is no model of TensorFlowMNISTClassifier"):
        TensorFlowMNISTClassifier(model_path=path).load()
