import warnings

import numpy as np
import pytest

from edge_tester.compilers.torch_exported import TorchExportedCompiler
from edge_tester.compilers.torchscript import TorchScriptCompiler
from edge_tester.core.errors import ModelError
from edge_tester.core.model import TrainingPlan
from edge_tester.core.tensors import TensorSpec
from edge_tester.modelwrappers.classification.pytorch_digits import PyTorchDigitsClassifier
from edge_tester.modelwrappers.generic.torchscript_file import TorchScriptFile
from edge_tester.testing import ModelWrapperConformance


class TestPyTorchDigits(ModelWrapperConformance):
    cls = PyTorchDigitsClassifier
    options = {"model_path": "model.pth"}
    saves = True
    exports_onnx = True
    trains = True

    @pytest.fixture
    def model_file(self, trained_torch):
        return trained_torch.model_path

    @pytest.fixture
    def dataset(self, digits):
        return digits


def test_learns_the_digits(digits, tmp_path):
    model = PyTorchDigitsClassifier(model_path=tmp_path / "digits.pth")
    metrics = model.train(digits, TrainingPlan())
    assert metrics["test_accuracy"] >= 0.97
    assert metrics["validation_accuracy"] >= 0.97


def test_training_leaves_the_callers_random_numbers_alone(digits, tmp_path):
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    model = PyTorchDigitsClassifier(model_path=tmp_path / "digits.pth")
    model.train(digits, TrainingPlan(num_epochs=1))
    assert torch.equal(expected, torch.rand(3))


def test_torchscript_answers_alike_and_knows_its_shapes(trained_torch, digits, tmp_path):
    path = tmp_path / "digits.pt"
    TorchScriptCompiler(compiled_model_path=path).compile(trained_torch, None)
    script = TorchScriptFile(model_path=path)
    script.load()
    inputs = trained_torch.preprocess(digits.load([0, 1]).inputs, trained_torch.specs()[0])
    assert (1, 1, 8, 8) == script.specs()[0][0].shape
    assert trained_torch.run(inputs)[0] == pytest.approx(script.run(inputs)[0], abs=1e-5)


def test_exported_program_answers_alike(trained_torch, digits, tmp_path):
    import torch

    path = tmp_path / "digits.pt2"
    TorchExportedCompiler(compiled_model_path=path).compile(trained_torch, None)
    inputs = trained_torch.preprocess(digits.load([0, 1, 2]).inputs, trained_torch.specs()[0])
    program = torch.export.load(path).module()
    answer = program(torch.tensor(inputs[0])).detach().numpy()
    assert trained_torch.run(inputs)[0] == pytest.approx(answer, abs=1e-5)


@pytest.mark.parametrize(("shape", "moved"), [((1, 1, 8, 8), True), ((1, 8, 8, 1), False)])
def test_the_channel_goes_where_the_compiled_model_has_it(digits, tmp_path, shape, moved):
    model = PyTorchDigitsClassifier(model_path=tmp_path / "digits.pth")
    images = digits.load([0]).inputs
    (values,) = model.preprocess(images, [TensorSpec("image", shape, "float32")])
    assert shape == values.shape
    assert np.array_equal(images[0].ravel(), values.ravel())


def test_other_networks_are_refused(tmp_path):
    import torch

    path = tmp_path / "other.pth"
    torch.save(torch.nn.Linear(2, 2).state_dict(), path)
    model = PyTorchDigitsClassifier(model_path=path)
    with pytest.raises(ModelError, match="other.pth is no state dict of PyTorchDigitsClassifier"):
        model.load()


def test_code_in_a_file_is_not_run(tmp_path):
    import torch

    path = tmp_path / "whole.pth"
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(ModelError, match="more than tensors"):
        PyTorchDigitsClassifier(model_path=path).load()


def test_exporting_prints_nothing(trained_torch, tmp_path, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TorchScriptCompiler(compiled_model_path=tmp_path / "a.pt").compile(trained_torch, None)
    trained_torch.save_to_onnx(tmp_path / "a.onnx")
    assert ("", "") == tuple(capfd.readouterr())
