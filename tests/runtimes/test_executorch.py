import numpy as np
import pytest

from edge_tester.compilers.executorch import ExecuTorchCompiler
from edge_tester.modelwrappers.classification.pytorch_digits import PyTorchDigitsClassifier
from edge_tester.runtimes.executorch import ExecuTorchRuntime
from edge_tester.testing import RuntimeConformance


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("torch") / "digits.pth"
    model = PyTorchDigitsClassifier(model_path=path)
    model.network = model.build().eval()
    model.save(path)
    return model


@pytest.fixture(scope="module")
def program(model):
    path = model.model_path.with_suffix(".pte")
    ExecuTorchCompiler(compiled_model_path=path, self_check=False).compile(model, None)
    return path


class TestExecuTorchRuntime(RuntimeConformance):
    cls = ExecuTorchRuntime
    supports_batching = False

    @pytest.fixture
    def model_file(self, program):
        return program

    @pytest.fixture
    def example(self, model):
        values = np.random.default_rng(0).random((1, 1, 8, 8), np.float32)
        return [values], model.run([values])
