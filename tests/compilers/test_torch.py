"""The two compilers that keep a model in PyTorch."""

import pytest

from edge_tester.compilers.torch_exported import TorchExportedCompiler
from edge_tester.compilers.torchscript import TorchScriptCompiler
from tests.compilers.on_digits import DIGITS_WEIGHTS, OnDigits


class TestTorchExported(OnDigits):
    cls = TorchExportedCompiler


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
class TestTorchScript(TestTorchExported):
    cls = TorchScriptCompiler


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("cls", [TorchExportedCompiler, TorchScriptCompiler])
def test_weights_are_counted(torch_digits, tmp_path, cls):
    artifact = cls(compiled_model_path=tmp_path / "model").compile(torch_digits, None)
    assert {"float32": DIGITS_WEIGHTS} == artifact.weights.elements
