import logging

import numpy as np
import pytest

from edge_tester.core.errors import ModelError
from edge_tester.core.model import TrainingPlan
from edge_tester.core.tensors import TensorSpec
from edge_tester.modelwrappers.classification.pytorch_pet_dataset import (
    PyTorchPetDatasetMobileNetV2,
)
from edge_tester.modelwrappers.frameworks.mobilenet_v2 import channels_of, mobilenet_v2
from edge_tester.testing import ModelWrapperConformance

SMALL = {"input_size": 48, "width": 0.35, "num_classes": 3}


def make(path, **options):
    return PyTorchPetDatasetMobileNetV2(model_path=path, **{**SMALL, **options})


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A state dict as torchvision saves it, with a classifier of other classes."""
    import torch

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "backbone.pth"
    torch.save(mobilenet_v2(torch.nn, 10, 0.35).state_dict(), path)
    return path


@pytest.fixture(scope="session")
def model_path(tmp_path_factory):
    import torch

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "pets.pth"
    model = make(path)
    model.network = model.build().eval()
    model.save(path)
    return path


class TestPyTorchPets(ModelWrapperConformance):
    cls = PyTorchPetDatasetMobileNetV2
    options = {"model_path": "model.pth", **SMALL}
    saves = True
    exports_onnx = True
    trains = True
    # 50 layers deep.
    tolerance = 1e-4

    @pytest.fixture
    def model_file(self, model_path):
        return model_path

    @pytest.fixture
    def dataset(self, pet_images):
        return pet_images


def parameters(network):
    return sum(values.numel() for values in network.parameters())


def test_has_the_published_number_of_parameters():
    """3.4 million in the paper's table 4; torchvision and Keras state the exact number."""
    import torch

    assert 3_504_872 == parameters(mobilenet_v2(torch.nn, 1000))


def test_names_are_those_of_torchvision():
    import torch

    names = set(mobilenet_v2(torch.nn, 1000).state_dict())
    # A block without expansion, one with it, the ends; 52 convolutions and one linear layer.
    for name in (
        "features.0.0.weight",
        "features.0.1.running_mean",
        "features.1.conv.0.0.weight",
        "features.1.conv.1.weight",
        "features.1.conv.2.num_batches_tracked",
        "features.17.conv.0.1.bias",
        "features.17.conv.1.0.weight",
        "features.17.conv.2.weight",
        "features.17.conv.3.running_var",
        "features.18.1.weight",
        "classifier.1.bias",
    ):
        assert name in names
    assert 52 * 6 + 2 == len(names)


@pytest.mark.parametrize(("base", "channels"), [(32, 32), (11.2, 16), (5.6, 8), (44.8, 48), (1, 8)])
def test_channels_are_multiples_of_eight(base, channels):
    assert channels == channels_of(base)


def test_inputs_are_normalized_wherever_the_channels_are():
    model = make("none")
    spec = TensorSpec("image", (None, 3, 48, 48), "float32")
    images = np.random.default_rng(0).uniform(0, 255, (2, 48, 48, 3)).astype(np.float32)
    (last,) = model.preprocess([images], [spec])
    (first,) = model.preprocess([np.moveaxis(images, -1, 1)], [spec])
    (kept,) = model.preprocess([images], [TensorSpec("image", (1, 48, 48, 3), "float32")])
    assert (2, 3, 48, 48) == last.shape
    assert np.float32 == last.dtype
    assert np.array_equal(last, first)
    assert np.array_equal(last, np.moveaxis(kept, -1, 1))
    assert pytest.approx((images[1, 4, 5, 2] / 255 - 0.406) / 0.225, abs=1e-5) == last[1, 2, 4, 5]


def test_learns(pet_images, tmp_path, caplog):
    plan = {"batch_size": 6, "learning_rate": 0.01}
    first = make(tmp_path / "a.pth", dropout=0.0)
    begun = first.train(pet_images, TrainingPlan(num_epochs=1, **plan))["loss"]
    model = make(tmp_path / "b.pth", dropout=0.0)
    assert model.train(pet_images, TrainingPlan(num_epochs=8, **plan))["loss"] < begun / 2
    assert "random weights" in caplog.text
    assert "--pretrained-weights FILE" in caplog.text
    # The data set learned what the model takes.
    assert (3, 48, 48) == pet_images.load([0]).inputs[0].shape[1:]


def backbone_of(model):
    return {n: v.numpy().copy() for n, v in model.network.features.state_dict().items()}


def test_pretrained_weights_stay_at_first(pet_images, tmp_path, weights, caplog):
    import torch

    caplog.set_level(logging.WARNING)
    model = make(tmp_path / "a.pth", pretrained_weights=weights, frozen_epochs=1)
    model.train(pet_images, TrainingPlan(num_epochs=1))
    given = torch.load(weights, weights_only=True)
    frozen = backbone_of(model)
    for name, values in frozen.items():
        assert np.array_equal(given[f"features.{name}"].numpy(), values)
    assert "" == caplog.text
    model = make(tmp_path / "b.pth", pretrained_weights=weights, frozen_epochs=1)
    model.train(pet_images, TrainingPlan(num_epochs=2))
    tuned = backbone_of(model)
    changed = {
        name.rpartition(".")[2] for name in tuned if not np.array_equal(tuned[name], frozen[name])
    }
    # Statistics of a few images do not replace those of ImageNet.
    assert {"weight", "bias"} == changed


def test_stages_follow_the_options(weights):
    model = make("none", pretrained_weights=weights, frozen_epochs=3)
    model.network = model.build()
    plan = TrainingPlan(num_epochs=5, learning_rate=0.5)
    learning = [
        (stage, any(p.requires_grad for p in model.network.features.parameters()))
        for stage in model.stages(plan)
    ]
    assert [((3, 0.5), False), ((2, pytest.approx(0.05)), True)] == learning
    plan.num_epochs = 2
    assert [(2, 0.5)] == list(model.stages(plan))


def test_weights_of_other_networks_are_refused(pet_images, tmp_path, weights):
    plan = TrainingPlan(num_epochs=1)
    with pytest.raises(ModelError, match="backbone.pth is no state dict of MobileNetV2 of width 1"):
        make(tmp_path / "a.pth", pretrained_weights=weights, width=1.0).train(pet_images, plan)
    with pytest.raises(ModelError, match="none.pth does not exist"):
        make(tmp_path / "a.pth", pretrained_weights=tmp_path / "none.pth").train(pet_images, plan)


def test_the_number_of_classes_must_be_that_of_the_data_set(pet_images, tmp_path):
    model = make(tmp_path / "a.pth", num_classes=37)
    with pytest.raises(ModelError, match="num_classes must be 3 .*PetDataset, got 37"):
        model.train(pet_images, TrainingPlan(num_epochs=1))
