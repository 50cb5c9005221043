import numpy as np
import pytest

from edge_tester.core.errors import ModelError, RuntimeStateError
from edge_tester.runtimes.torch_exported import TorchExportedRuntime
from edge_tester.testing import RuntimeConformance
from tests import small_models


def save(path, batch):
    import torch

    example = (torch.zeros(batch or 2, 1, 8, 8),)
    dynamic = None if batch else ({0: torch.export.Dim("batch")},)
    program = torch.export.export(small_models.torch_module(), example, dynamic_shapes=dynamic)
    torch.export.save(program, path)
    return path


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return save(tmp_path_factory.mktemp("programs") / "small.pt2", None)


class TestEager(RuntimeConformance):
    cls = TorchExportedRuntime

    @pytest.fixture
    def model_file(self, program):
        return program

    @pytest.fixture
    def example(self):
        values = small_models.sample((1, 8, 8))
        return [values], [small_models.answer(values)]


def test_torch_compile_gives_the_same(program):
    runtime = TorchExportedRuntime(mode="compile")
    runtime.prepare()
    runtime.load(program, 1)
    values = small_models.sample((1, 8, 8))
    runtime.set_inputs([values])
    runtime.run()
    np.testing.assert_allclose(runtime.get_outputs()[0], small_models.answer(values), atol=1e-5)
    assert ("compile", 0) == tuple(runtime.facts()[name] for name in ("mode", "graph_breaks"))


def test_torch_compile_says_what_it_needs(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeStateError, match=r"needs a C\+\+ compiler.*apt install g\+\+"):
        TorchExportedRuntime(mode="compile").prepare()


def test_a_fixed_batch_must_fit(tmp_path):
    runtime = TorchExportedRuntime()
    runtime.prepare()
    path = save(tmp_path / "fixed.pt2", 4)
    with pytest.raises(ModelError, match="fixed at 4, got 3"):
        runtime.load(path, 3)
    (inputs,), _ = runtime.load(path, 4)
    assert (4, 1, 8, 8) == inputs.shape
