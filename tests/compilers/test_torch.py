"""The two compilers that keep a model in PyTorch."""

import pytest

from edge_tester.compilers.torch_exported import TorchExportedCompiler
from edge_tester.compilers.torchscript import TorchScriptCompiler
from edge_tester.testing import CompilerConformance

# Without biases: two 3 x 3 convolutions, 128 x 10.
DIGITS_WEIGHTS = 9 * 16 + 9 * 16 * 32 + 128 * 10


class TestTorchExported(CompilerConformance):
    cls = TorchExportedCompiler

    @pytest.fixture
    def dataset(self, digits):
        return digits

    @pytest.fixture
    def model(self, torch_digits):
        return torch_digits


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
class TestTorchScript(TestTorchExported):
    cls = TorchScriptCompiler


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("cls", [TorchExportedCompiler, TorchScriptCompiler])
def test_weights_are_counted(torch_digits, tmp_path, cls):
    artifact = cls(compiled_model_path=tmp_path / "model").compile(torch_digits, None)
    assert {"float32": DIGITS_WEIGHTS} == artifact.weights.elements
