import numpy as np
import pytest

from edge_tester.compilers.executorch import ExecuTorchCompiler
from edge_tester.core.errors import CompilationError
from edge_tester.core.samples.choosing import write_samples
from edge_tester.runtimes.executorch import ExecuTorchRuntime
from tests.compilers.on_digits import DIGITS_WEIGHTS, OnDigits


def require(artifact, dtype, delegates):
    """See whether a program of the digits has these weights, and who runs it."""
    assert {dtype: DIGITS_WEIGHTS} == artifact.weights.elements
    runtime = ExecuTorchRuntime()
    runtime.prepare()
    runtime.load(artifact.path, 1)
    facts = runtime.facts()
    assert delegates == facts["delegates"]
    assert ("aten::convolution.out" in facts["operators"]) == (not delegates)


class TestXNNPACK(OnDigits):
    cls = ExecuTorchCompiler
    dtype = "float32"

    def test_weights_and_delegates(self, made):
        require(made.artifact, self.dtype, {"XnnpackBackend": 1})


class TestXNNPACKInt8(TestXNNPACK):
    options = {"target": "int8"}
    dtype = "int8"
    # The logits span about 2.
    tolerance = 0.1


def test_weights_without_a_delegate(torch_digits, digits, tmp_path):
    path = tmp_path / "model.pte"
    # What is computed is checked by the networks below.
    compiler = ExecuTorchCompiler(compiled_model_path=path, delegate="none", self_check=False)
    require(compiler.compile(torch_digits, digits), "float32", {})


def test_the_batch_size_is_fixed_in_the_program(torch_digits, tmp_path):
    path = tmp_path / "model.pte"
    ExecuTorchCompiler(compiled_model_path=path, batch_size=3).compile(torch_digits, None)
    runtime = ExecuTorchRuntime()
    runtime.prepare()
    (inputs,), _ = runtime.load(path, 3)
    assert (3, 1, 8, 8) == inputs.shape
    values = np.random.default_rng(0).random((3, 1, 8, 8), np.float32)
    runtime.set_inputs([values])
    runtime.run()
    np.testing.assert_allclose(runtime.get_outputs()[0], torch_digits.run([values])[0], rtol=1e-4)


def test_integers_without_xnnpack_are_refused(torch_digits, digits, tmp_path):
    compiler = ExecuTorchCompiler(
        compiled_model_path=tmp_path / "model.pte", target="int8", delegate="none"
    )
    with pytest.raises(CompilationError, match="delegate must be xnnpack for target int8"):
        compiler.compile(torch_digits, digits)


def convolutional(folder, build):
    import torch

    from edge_tester.modelwrappers.frameworks.pytorch import TorchModel

    members = {"input_shapes": ((3, 12, 12),), "build": lambda self: build(torch)}
    model = type("Network", (TorchModel,), members)(model_path=folder / "network.pth")
    torch.manual_seed(0)
    model.network = model.build().eval()
    model.save(model.model_path)
    return model


def channels_last(torch):
    class Last(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = torch.nn.Conv2d(3, 8, 3), torch.nn.Conv2d(8, 4, 3)

        def forward(self, images):
            images = images.contiguous(memory_format=torch.channels_last)
            return self.second(torch.relu(self.first(images))).mean((2, 3))

    return Last().to(memory_format=torch.channels_last)


def even_kernel(torch):
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, (4, 1), padding="same"),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
    )


@pytest.mark.parametrize(
    ("build", "options"),
    [
        (channels_last, {}),
        (channels_last, {"delegate": "none"}),
        (channels_last, {"target": "int8"}),
        (even_kernel, {"target": "int8"}),
    ],
)
def test_orders_of_channels_and_paddings(tmp_path, build, options):
    from edge_tester.datasets.random_inputs import RandomDataset

    dataset = RandomDataset(num_samples=200, test_fraction=0, calibration_fraction=1)
    dataset.prepare()
    compiler = ExecuTorchCompiler(compiled_model_path=tmp_path / "m.pte", **options)
    artifact = compiler.compile(convolutional(tmp_path, build), dataset)
    limit = 0.1 if options.get("target") == "int8" else 1e-4
    assert artifact.facts["self_check"]["largest_difference"] < limit


def test_a_folder_of_samples_is_calibrated_with(tmp_path, digits, torch_digits):
    write_samples(digits, torch_digits, 10, 0, tmp_path / "samples")
    compiler = ExecuTorchCompiler(
        compiled_model_path=tmp_path / "m.pte",
        target="int8",
        calibration_samples=tmp_path / "samples",
    )
    artifact = compiler.compile(torch_digits, digits)
    assert 10 == artifact.facts["calibration"]["samples"]
    assert artifact.remarks[0].startswith("There are 10 samples to calibrate with")
