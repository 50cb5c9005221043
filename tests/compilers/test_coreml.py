"""Core ML programs, their conversion checked by a reference evaluation of what was written."""

import numpy as np
import pytest

from edge_tester.compilers.coreml import CoreMLCompiler
from edge_tester.core.errors import OptionError
from edge_tester.modelwrappers.frameworks.pytorch import TorchModel
from edge_tester.modelwrappers.generic.keras_file import KerasFile
from edge_tester.runtimes.mil import MILRuntime
from tests.compilers.on_digits import DIGITS_WEIGHTS, OnDigits


def require_weights(artifact, model, digits, elements, share):
    """See whether the weights are these, and whether the first sample's answer is still there."""
    assert elements == artifact.weights.elements
    assert share == artifact.weights.quantized_share
    digits.bind(model.specs()[0])
    values = digits.load(digits.split().test[:1]).inputs[0]
    expected = model.run([values])[0]
    assert decibels(expected, evaluated(artifact, values)) > 15


class OnCoreML(OnDigits):
    cls = CoreMLCompiler
    runtime = MILRuntime


class TestTorch(OnCoreML):
    options = {"precision": "float32"}

    def test_weights_are_counted(self, made, torch_digits, digits):
        elements = {"float32": DIGITS_WEIGHTS}
        require_weights(made.artifact, torch_digits, digits, elements, 0)


class TestKerasHalf(OnCoreML):
    options = {"precision": "float16"}
    tolerance = 0.02

    @pytest.fixture
    def model(self, keras_file):
        return KerasFile(model_path=keras_file)


class TestSavedModelInt8(OnCoreML):
    options = {"weights": "int8"}
    tolerance = 0.1

    @pytest.fixture
    def model(self, saved_model):
        return KerasFile(model_path=saved_model)


class TestTorchInt8(OnCoreML):
    options = {"weights": "int8"}
    tolerance = 0.05

    def test_weights_are_counted(self, made, torch_digits, digits):
        require_weights(made.artifact, torch_digits, digits, {"int8": DIGITS_WEIGHTS}, 1)


class Network(TorchModel):
    """Has most operations of common convolutional networks."""

    input_shapes = ((3, 16, 16),)

    def build(self):
        import torch
        from torch import nn

        class Blocks(nn.Module):
            def __init__(self):
                super().__init__()
                self.first = nn.Sequential(
                    nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6()
                )
                self.depthwise = nn.Sequential(nn.Conv2d(8, 8, 5, 1, 2, groups=8), nn.Hardswish())
                self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Sigmoid())
                self.up = nn.ConvTranspose2d(16, 4, 4, 2, 1)
                self.norm = nn.LayerNorm(64)
                self.dense = nn.Linear(64, 10)

            def forward(self, image):
                values = self.first(image)
                values = values + self.depthwise(values) * self.gate(values)
                values = torch.cat((values, nn.functional.silu(values)), 1)
                values = nn.functional.gelu(self.up(values))
                values = nn.functional.avg_pool2d(nn.functional.pad(values, (1, 1, 1, 1)), 3, 2, 1)
                values = nn.functional.max_pool2d(values, 3, 2, 1)
                halves = torch.tanh(values[:, :, :4, :4]).split(2, 1)
                values = torch.cat([nn.functional.leaky_relu(half) for half in halves], 1)
                return self.dense(self.norm(values.flatten(1))).softmax(-1)

        return Blocks()


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    import torch

    model = Network(model_path=tmp_path_factory.mktemp("network") / "network.pth")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model.network = model.build().eval()
    model.save(model.model_path)
    return model


def compiled(model, path, **options):
    return CoreMLCompiler(compiled_model_path=path, **options).compile(model, None)


def evaluated(artifact, values):
    runtime = MILRuntime()
    runtime.prepare()
    (spec,), _ = runtime.load(artifact.path, len(values))
    runtime.set_inputs([spec.conform(values)])
    runtime.run()
    return runtime.get_outputs()[0].astype(np.float32)


def decibels(expected, found):
    return 10 * np.log10(np.square(expected).sum() / np.square(expected - found).sum())


@pytest.mark.parametrize(
    ("options", "least_decibels"),
    [
        ({"precision": "float32"}, 100),
        ({"precision": "float16"}, 50),
        ({"weights": "int8"}, 30),
        ({"weights": "palettized", "palette_bits": 6}, 20),
    ],
)
def test_a_network_of_many_operations_survives(network, tmp_path, options, least_decibels):
    artifact = compiled(network, tmp_path / "network.mlpackage", batch_size=2, **options)
    values = np.random.default_rng(0).random((2, 3, 16, 16), np.float32)
    expected = network.run([values])[0]
    assert decibels(expected, evaluated(artifact, values)) > least_decibels


@pytest.mark.parametrize(
    ("options", "elements", "share"),
    [
        ({"precision": "float16"}, {"float16": DIGITS_WEIGHTS}, 0),
        ({"weights": "palettized"}, {"palette of 16": DIGITS_WEIGHTS}, 1),
        (
            {"weights": "int8", "minimum_deployment_target": "iOS18"},
            {"int8": DIGITS_WEIGHTS},
            1,
        ),
    ],
)
def test_weights_are_counted_and_answers_stay(
    torch_digits, digits, tmp_path, options, elements, share
):
    artifact = compiled(torch_digits, tmp_path / "digits.mlpackage", **options)
    require_weights(artifact, torch_digits, digits, elements, share)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"palette_bits": 3}, "palette_bits must be 1, 2, 4, 6 or 8, got 3"),
        (
            {"weights": "int8", "minimum_deployment_target": "iOS15"},
            "minimum_deployment_target must be iOS16 or macOS13, or newer",
        ),
    ],
)
def test_options_that_do_not_go_together(tmp_path, options, message):
    with pytest.raises(OptionError, match=message):
        CoreMLCompiler(compiled_model_path=tmp_path / "x.mlpackage", **options)
