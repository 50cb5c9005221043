import math
import os
import subprocess
import sys

import numpy as np
import pytest

from edge_tester.core.errors import ModelError
from edge_tester.core.model import TrainingPlan
from edge_tester.core.tensors import TensorSpec
from edge_tester.datasets.pet_dataset import PetDataset
from edge_tester.modelwrappers.classification.tensorflow_pet_dataset import (
    TensorFlowPetDatasetMobileNetV2,
)
from edge_tester.testing import ModelWrapperConformance
from tests.modelwrappers.classification.networks import eager_functions

SMALL = {"input_size": 48, "width": 0.35, "num_classes": 3}


def make(path, **options):
    return TensorFlowPetDatasetMobileNetV2(model_path=path, **{**SMALL, **options})


@pytest.fixture(scope="session")
def weights(pet_folder, tmp_path_factory):
    """Random weights of the backbone alone, with statistics of the pets."""
    import tensorflow

    tensorflow.keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("weights") / "backbone.weights.h5"
    model = make("none", pretrained_weights="none")
    model.build()
    for layer in model.backbone.layers:
        if hasattr(layer, "momentum"):
            layer.momentum = 0.0
    dataset = PetDataset(dataset_root=pet_folder, image_size=48)
    dataset.prepare()
    model.backbone(model.normalize(dataset.load(range(24)).inputs[0]), training=True)
    model.backbone.save_weights(path)
    return path


@pytest.fixture(scope="session")
def learned(pet_folder, weights, tmp_path_factory):
    """A model whose head was trained, and its metrics."""
    dataset = PetDataset(dataset_root=pet_folder, validation_fraction=0.0)
    dataset.prepare()
    path = tmp_path_factory.mktemp("model") / "pets.keras"
    model = make(path, pretrained_weights=str(weights), dropout=0.0, frozen_epochs=15)
    plan = TrainingPlan(num_epochs=15, batch_size=6, learning_rate=0.01)
    return model, model.train(dataset, plan)


class TestTensorFlowPets(ModelWrapperConformance):
    cls = TensorFlowPetDatasetMobileNetV2
    options = {"model_path": "model.keras", **SMALL}
    saves = True
    exports_onnx = True
    trains = True
    # 50 layers deep, and logits reach 13.
    tolerance = 2e-3

    @pytest.fixture(autouse=True)
    def start(self, weights, monkeypatch):
        # Training all of it takes half a minute, mostly for compiling its gradients.
        monkeypatch.setattr(
            type(self), "options", {**self.options, "pretrained_weights": str(weights)}
        )

    def test_training_is_reproducible(self, dataset, tmp_path):
        # Compiling the steps takes far longer here than the few that are run.
        with eager_functions():
            super().test_training_is_reproducible(dataset, tmp_path)

    @pytest.fixture
    def model_file(self, learned):
        return learned[0].model_path

    @pytest.fixture
    def dataset(self, pet_images):
        pet_images.validation_fraction = 0.0
        return pet_images


def test_has_the_published_number_of_parameters():
    """The same as PyTorch's; Keras counts the statistics of normalization too."""
    model = make("none", pretrained_weights="none", width=1.0, num_classes=1000)
    learning = model.build().trainable_variables
    assert 3_504_872 == sum(int(np.prod(variable.shape)) for variable in learning)


def test_the_head_learns_on_a_frozen_backbone(learned, weights):
    model, metrics = learned
    guessing = math.log(3)
    assert metrics["loss"] < guessing / 2
    assert metrics["test_accuracy"] == 1.0
    given = make("none", pretrained_weights=str(weights))
    given.build()
    for expected, actual in zip(given.backbone.weights, model.backbone.weights, strict=True):
        assert np.array_equal(expected.numpy(), actual.numpy())


def test_stages_follow_the_options(weights):
    model = make("none", pretrained_weights=str(weights), frozen_epochs=3)
    model.network = model.build()
    plan = TrainingPlan(num_epochs=5, learning_rate=0.5)
    head = 2
    learning = [(stage, len(model.network.trainable_variables)) for stage in model.stages(plan)]
    assert [(3, 0.5), (2, pytest.approx(0.05))] == [stage for stage, _ in learning]
    assert head == learning[0][1] < learning[1][1]
    model = make("none", pretrained_weights="none")
    model.network = model.build()
    assert [(5, 0.5)] == list(model.stages(plan))
    assert len(model.network.trainable_variables) == learning[1][1]


def test_without_network_and_cache_it_warns_and_goes_on(tmp_path):
    """Nothing listens at the address of the proxy; and Keras' own folder is empty."""
    script = (
        "import logging; logging.basicConfig()\n"
        "from edge_tester.modelwrappers.classification.tensorflow_pet_dataset import *\n"
        "model = TensorFlowPetDatasetMobileNetV2(model_path='none', input_size=48)\n"
        "print(model.build().count_params(), model.pretrained)\n"
    )
    environment = {
        **os.environ,
        "KERAS_HOME": str(tmp_path),
        "https_proxy": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment
    )
    assert 0 == finished.returncode, finished.stderr
    assert "2305381 False\n" == finished.stdout
    assert "random weights" in finished.stderr
    assert "Connection refused" in finished.stderr
    assert "--pretrained-weights FILE" in finished.stderr


def test_inputs_are_scaled_as_keras_does():
    import tensorflow

    images = np.random.default_rng(0).uniform(0, 255, (2, 48, 48, 3)).astype(np.float32)
    spec = TensorSpec("image", (None, 48, 48, 3), "float32")
    (values,) = make("none").preprocess([images], [spec])
    expected = tensorflow.keras.applications.mobilenet_v2.preprocess_input(images.copy())
    assert expected == pytest.approx(values, abs=1e-6)
    first = TensorSpec("image", (None, 3, 48, 48), "float32")
    (moved,) = make("none").preprocess([images], [first])
    assert np.array_equal(values, np.moveaxis(moved, 1, -1))


def test_weights_that_do_not_fit_are_refused(weights, tmp_path):
    with pytest.raises(ModelError, match="no weights of MobileNetV2 of width 0.5 without its top"):
        make("none", pretrained_weights=str(weights), width=0.5).build()
    with pytest.raises(ModelError, match="none.h5 does not exist"):
        make("none", pretrained_weights=str(tmp_path / "none.h5")).build()


def test_the_number_of_classes_must_be_that_of_the_data_set(pet_images, tmp_path):
    model = make(tmp_path / "a.keras", num_classes=37)
    with pytest.raises(ModelError, match="num_classes must be 3 .*PetDataset, got 37"):
        model.train(pet_images, TrainingPlan(num_epochs=1))
