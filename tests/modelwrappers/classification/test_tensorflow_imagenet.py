import os
import subprocess
import sys

import numpy as np
import pytest

from edge_tester.core.errors import ModelError, OptionError
from edge_tester.core.tensors import TensorSpec
from edge_tester.modelwrappers.classification.tensorflow_imagenet import TensorFlowImageNet
from edge_tester.testing import ModelWrapperConformance
from tests.modelwrappers.classification.networks import eager_functions

SMALL = {
    "application": "MobileNet",
    "pretrained_weights": "none",
    "input_size": 32,
    "num_classes": 3,
}


def make(path="none.keras", **options):
    return TensorFlowImageNet(model_path=path, **{**SMALL, **options})


@pytest.fixture(scope="session")
def created(tmp_path_factory):
    """A model that was made because there was none."""
    import tensorflow

    tensorflow.keras.utils.set_random_seed(0)
    model = make(tmp_path_factory.mktemp("model") / "network.keras", create=True)
    model.load()
    return model


class TestTensorFlowImageNet(ModelWrapperConformance):
    cls = TensorFlowImageNet
    options = {"model_path": "model.keras", **SMALL}
    saves = True
    exports_onnx = True
    trains = True
    tolerance = 1e-4

    def test_training_is_reproducible(self, dataset, tmp_path):
        # Compiling the steps takes far longer here than the few that are run.
        with eager_functions():
            super().test_training_is_reproducible(dataset, tmp_path)

    @pytest.fixture
    def model_file(self, created):
        return created.model_path

    @pytest.fixture
    def dataset(self, pet_images):
        pet_images.bind([TensorSpec("image", (None, 32, 32, 3), "float32")])
        pet_images.validation_fraction = 0.0
        return pet_images


def test_a_created_model_is_kept(created):
    images = np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32)
    again = make(created.model_path, pretrained_weights="imagenet")
    again.load()
    assert np.array_equal(created.run([images])[0], again.run([images])[0])


def test_a_model_is_made_when_its_file_is_asked_for(tmp_path):
    path = tmp_path / "new.keras"
    with pytest.raises(ModelError, match="new.keras does not exist"):
        make(path).artifact()
    assert path == make(path, create=True).artifact().path
    make(path).load()


def test_weights_come_from_a_file(created, tmp_path):
    path = tmp_path / "w.weights.h5"
    created.network.save_weights(path)
    network = make(pretrained_weights=str(path)).build()
    for expected, actual in zip(created.network.weights, network.weights, strict=True):
        assert np.array_equal(expected.numpy(), actual.numpy())
    with pytest.raises(ModelError, match="no weights of MobileNet"):
        make(pretrained_weights=str(path), num_classes=4).build()
    with pytest.raises(ModelError, match="missing.h5 does not exist"):
        make(pretrained_weights=str(tmp_path / "missing.h5")).build()


@pytest.mark.parametrize(
    ("application", "expected"),
    # Scaled to -1 to 1; blue, green, red less their means; scaled inside the network.
    [
        ("MobileNetV2", [1.0, -1.0, -1.0]),
        ("ResNet50", [-103.939, -116.779, 131.32]),
        ("EfficientNetV2B0", [255.0, 0.0, 0.0]),
    ],
)
def test_each_application_preprocesses_its_own_way(application, expected):
    red = np.zeros((1, 32, 32, 3), np.float32)
    red[..., 0] = 255
    spec = TensorSpec("image", (None, 32, 32, 3), "float32")
    (values,) = make(application=application).preprocess([red], [spec])
    assert expected == pytest.approx(values[0, 0, 0].tolist(), abs=1e-3)
    assert [255.0, 0.0, 0.0] == red[0, 0, 0].tolist()


def test_unknown_applications_and_options_are_refused():
    with pytest.raises(OptionError, match="no 'MobilNetV2'; did you mean 'MobileNetV2'?"):
        make(application="MobilNetV2").build()
    with pytest.raises(OptionError, match="MobileNet does not take the options"):
        make(input_size=8).build()


def test_without_network_and_cache_it_says_what_to_do(tmp_path):
    """Nothing listens at the address of the proxy; and Keras' own folder is empty."""
    script = (
        "from edge_tester.core.errors import ModelError\n"
        "from edge_tester.modelwrappers.classification.tensorflow_imagenet import *\n"
        "model = TensorFlowImageNet(model_path=Path('none.keras'), create=True)\n"
        "try: model.load()\n"
        "except ModelError as error: print(error)\n"
    )
    nowhere = "http://127.0.0.1:9"
    environment = {
        **os.environ,
        "KERAS_HOME": str(tmp_path),
        "https_proxy": nowhere,
        "HTTPS_PROXY": nowhere,
    }
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment
    )
    assert 0 == finished.returncode, finished.stderr
    assert "got no ImageNet weights of MobileNetV2" in finished.stdout
    assert "Connection refused" in finished.stdout
    assert "--pretrained-weights none" in finished.stdout
