import numpy as np
import pytest

from edge_tester.core.errors import ModelError, OptionError
from edge_tester.core.model import TrainingPlan
from edge_tester.core.tensors import TensorSpec
from edge_tester.modelwrappers.classification.pytorch_imagenet import PyTorchImageNet
from edge_tester.testing import ModelWrapperConformance
from tests.modelwrappers.classification.networks import small_network

FACTORY = "tests.modelwrappers.classification.networks:small_network"
OPTIONS = {"factory": FACTORY, "factory_options": '{"channels": 8}', "input_size": 16}


@pytest.fixture(scope="session")
def state_dict(tmp_path_factory):
    import torch

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "network.pth"
    torch.save(small_network(channels=8).state_dict(), path)
    return path


class TestPyTorchImageNet(ModelWrapperConformance):
    cls = PyTorchImageNet
    options = {"model_path": "model.pth", **OPTIONS}
    saves = True
    exports_onnx = True
    trains = True

    @pytest.fixture
    def model_file(self, state_dict):
        return state_dict

    @pytest.fixture
    def dataset(self, pet_images):
        pet_images.bind([TensorSpec("image", (None, 3, 16, 16), "float32")])
        return pet_images


def make(**options):
    return PyTorchImageNet(model_path="none.pth", **{**OPTIONS, **options})


def test_learns(pet_images, tmp_path):
    model = make(input_mean=(0.0, 0.0, 0.0), input_std=(1.0, 1.0, 1.0))
    model.model_path = tmp_path / "model.pth"
    losses = [
        model.train(pet_images, TrainingPlan(num_epochs=count, learning_rate=0.05))["loss"]
        for count in (1, 30)
    ]
    assert losses[1] < losses[0] / 2


def test_the_usual_normalization():
    images = np.full((1, 16, 16, 3), 255, np.float32)
    spec = TensorSpec("image", (None, 3, 16, 16), "float32")
    (values,) = make().preprocess([images], [spec])
    expected = [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    assert expected == pytest.approx(values[0, :, 3, 4].tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"factory": "torchvision"}, "factory must be module:name, got 'torchvision'"),
        ({"factory_options": "[1]"}, "factory_options must be a JSON object"),
        ({"factory_options": "{"}, "factory_options must be a JSON object"),
        ({"input_mean": (0.5,)}, "input_mean must have 3 numbers"),
        ({"input_std": (1.0, 0.0, 1.0)}, "input_std must be greater than 0"),
    ],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(OptionError, match=said):
        make(**options)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"factory": "no_such_module:f"}, OptionError, "there is no module no_such_module"),
        ({"factory": "tests:f"}, OptionError, "tests has no function or class 'f'"),
        ({"factory": FACTORY.replace("small_network", "NOT_A_FUNCTION")}, OptionError, "no func"),
        ({"factory_options": '{"width": 1}'}, ModelError, "failed: TypeError.*'width'"),
    ],
)
def test_factories_that_do_not_work_are_named(options, error, said):
    with pytest.raises(error, match=f"PyTorchImageNet.*{said}"):
        make(**options).build()
