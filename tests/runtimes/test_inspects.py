"""Intermediate tensors of the same networks, told by runtimes and frameworks."""

import numpy as np
import pytest

from edge_tester.core.errors import ModelError
from edge_tester.modelwrappers.frameworks.pytorch import TorchModel
from edge_tester.modelwrappers.generic.keras_file import KerasFile
from edge_tester.modelwrappers.generic.torch_factory import TorchFactory
from edge_tester.runtimes.onnxruntime import ONNXRuntime
from edge_tester.runtimes.tflite import TFLiteRuntime
from edge_tester.testing import CutsConformance, InspectsConformance
from tests import damaged_networks, small_models


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("networks")


def cnn_tensors():
    """What PyTorch computes of the network of small_models, layer by layer."""
    torch = pytest.importorskip("torch")
    values, found = torch.from_numpy(small_models.cnn_sample()), []
    with torch.no_grad():
        for layer in small_models.torch_cnn():
            values = layer(values)
            found.append(values.numpy())
    return found


class TestONNXRuntime(CutsConformance):
    cls = ONNXRuntime

    @pytest.fixture
    def model_file(self, tmp_path):
        return small_models.write_cnn_onnx(tmp_path / "cnn.onnx")

    @pytest.fixture
    def samples(self):
        first = small_models.cnn_sample()
        return [[first], [1 - first]]

    @pytest.fixture
    def known(self):
        names = ["1", "2", "3", "4", "5", "6", "7", "y"]
        return dict(zip(names, cnn_tensors(), strict=True))


class OfFiles(CutsConformance):
    """Of float tensors, the network's own layers in Keras or PyTorch are the oracle."""

    name = "residual"
    file = "float.onnx"

    @pytest.fixture
    def model_file(self, folder):
        return damaged_networks.made(self.name, self.file, folder)

    @pytest.fixture
    def samples(self):
        last = self.file.endswith("tflite")
        return damaged_networks.feeds(self.name, 2, last=last)


class TestONNXRuntimeQuantized(OfFiles):
    """What a quantized layer gives is known within the error of int8: see the tolerance."""

    cls = ONNXRuntime
    file = "int8.onnx"
    tolerance = 0.1

    @pytest.fixture
    def known(self, folder, samples):
        runtime = ONNXRuntime()
        runtime.prepare()
        runtime.load(damaged_networks.made(self.name, "float.onnx", folder), 1)
        told = runtime.inspect(samples[0])
        # An activation takes the place of what it follows, a sum included.
        return {one.name: one.values for one in told if one.type in ("Relu", "Gemm")}


class TestTFLiteRuntime(OfFiles):
    cls = TFLiteRuntime
    name = "plain"
    file = "float.tflite"

    @pytest.fixture
    def known(self, folder, samples):
        """By Keras, under LiteRT's names."""
        model = KerasFile(model_path=damaged_networks.made(self.name, "keras", folder))
        model.load()
        told = {one.name: one.values for one in model.inspect(samples[0])}
        convolutions = [values for name, values in told.items() if name.startswith("conv2d")]
        runtime = TFLiteRuntime()
        runtime.prepare()
        runtime.load(damaged_networks.made(self.name, "float.tflite", folder), 1)
        names = [one.name for one in runtime.inspect(samples[0]) if one.type == "CONV_2D"]
        return dict(zip(names, convolutions, strict=True))


class TestTFLiteRuntimeQuantized(TestTFLiteRuntime):
    file = "int8.tflite"
    tolerance = 0.1


class TestTorchModel(InspectsConformance):
    cls = TorchFactory
    options = {"factory": "tests.small_models:torch_cnn", "input_shapes": ["3,32,32"]}

    @pytest.fixture
    def model_file(self, tmp_path):
        torch = pytest.importorskip("torch")
        path = tmp_path / "cnn.pth"
        torch.save(small_models.torch_cnn().state_dict(), path)
        return path

    @pytest.fixture
    def fresh(self, model_file):
        return TorchFactory.from_options({**self.options, "weights": model_file})

    @pytest.fixture
    def samples(self):
        first = small_models.cnn_sample()
        return [[first], [1 - first]]

    @pytest.fixture
    def known(self):
        return {str(place): values for place, values in enumerate(cnn_tensors())}


class TestKerasModel(InspectsConformance):
    cls = KerasFile
    options = {"model_path": "model.keras"}

    @pytest.fixture
    def model_file(self, folder):
        return damaged_networks.made("residual", "keras", folder)

    @pytest.fixture
    def samples(self):
        return damaged_networks.feeds("residual", 2, last=True)

    @pytest.fixture
    def known(self, model_file, samples):
        """One layer by itself, computed by numpy: the mean over the picture."""
        model = KerasFile(model_path=model_file)
        model.load()
        told = {one.name: one for one in model.inspect(samples[0])}
        (mean,) = [one for one in told.values() if one.type == "GlobalAveragePooling2D"]
        return {mean.name: told[mean.inputs[0]].values.mean((1, 2))}


def test_in_place_modules_leave_what_came_before(tmp_path):
    """PyTorch's own values of a convolution are gone when an activation has written over them."""
    torch = pytest.importorskip("torch")
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(inplace=True))
    members = {"input_shapes": ((1, 5, 5),), "build": lambda self: network}
    model = type("InPlace", (TorchModel,), members)(model_path=tmp_path / "model.pth")
    torch.save(network.state_dict(), model.model_path)
    model.load()
    values = np.random.default_rng(0).standard_normal((1, 1, 5, 5), np.float32)
    given, convolved, activated = model.inspect([values])
    with torch.no_grad():
        expected = network[0](torch.from_numpy(values)).numpy()
    assert (expected < 0).any()
    assert np.array_equal(expected, convolved.values)
    assert np.array_equal(np.maximum(expected, 0), activated.values)
    assert ("output",) == activated.aliases
    assert [None, None, 0] == [given.output, convolved.output, activated.output]


def test_modules_that_are_called_again_have_names_of_their_own(tmp_path):
    torch = pytest.importorskip("torch")

    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 3)

        def forward(self, values):
            return self.layer(self.layer(values)) + 1

    members = {"input_shapes": ((3,),), "build": lambda self: Twice()}
    model = type("TwiceModel", (TorchModel,), members)(model_path=tmp_path / "model.pth")
    torch.save(Twice().state_dict(), model.model_path)
    model.load()
    told = model.inspect([np.ones((1, 3), np.float32)])
    assert ["input_0", "layer", "layer:2", "output"] == [one.name for one in told]


def test_models_within_a_keras_model_are_looked_into(tmp_path):
    keras = pytest.importorskip("tensorflow").keras
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="deep")], name="inner")
    outer = keras.Sequential([keras.Input((4,)), inner, keras.layers.ReLU(name="end")])
    outer.save(tmp_path / "model.keras")
    model = KerasFile(model_path=tmp_path / "model.keras")
    model.load()
    told = {one.name: one for one in model.inspect([np.ones((1, 4), np.float32)])}
    assert {"inner/deep", "inner", "end"} <= set(told)
    assert np.array_equal(told["inner/deep"].values, told["inner"].values)
    assert 0 == told["end"].output


def test_a_saved_model_has_no_layers(tmp_path):
    keras = pytest.importorskip("tensorflow").keras
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    network.export(tmp_path / "saved", format="tf_saved_model", verbose=False)
    model = KerasFile(model_path=tmp_path / "saved")
    model.load()
    with pytest.raises(ModelError, match="has no layers any more"):
        model.inspect([np.ones((1, 4), np.float32)])
