"""Networks of PyTorch that name their outputs, nest them, or keep something between runs."""

import hashlib

import numpy as np
import pytest
import torch

from edge_tester.compilers.coreml import CoreMLCompiler
from edge_tester.compilers.executorch import ExecuTorchCompiler
from edge_tester.compilers.onnx import ONNXCompiler
from edge_tester.compilers.torch_exported import TorchExportedCompiler
from edge_tester.compilers.torchscript import TorchScriptCompiler
from edge_tester.compilers.tvm import TVMCompiler
from edge_tester.core.errors import ModelError
from edge_tester.modelwrappers.frameworks.pytorch import TorchModel
from edge_tester.runtimes.executorch import ExecuTorchRuntime
from edge_tester.runtimes.torch_exported import TorchExportedRuntime

COMPILERS = {
    "onnx": ONNXCompiler,
    "tvm": TVMCompiler,
    "coreml": CoreMLCompiler,
    "executorch": ExecuTorchCompiler,
    "torchscript": TorchScriptCompiler,
    "torch-exported": TorchExportedCompiler,
}


class Named(torch.nn.Module):
    """Answers with a dictionary whose keys are not sorted, and something nested."""

    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Linear(6, 4), torch.nn.Linear(6, 3)

    def forward(self, values):
        out = self.first(values)
        return {"out": out, "aux": self.second(values), "pair": (out + 1, [out * 2])}


class Leaky(torch.nn.Module):
    """Leaky integrate-and-fire: what is left of a charge stays until the next run."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(6, 3)
        self.register_buffer("charge", torch.zeros(1, 3))

    def forward(self, values):
        charge = 0.9 * self.charge + self.layer(values)
        spikes = (charge > 0.5).float()
        self.charge.copy_((charge - spikes)[:1].detach())
        return charge + spikes


class Counting(torch.nn.Module):
    """Keeps a number and a tensor as plain attributes."""

    def __init__(self):
        super().__init__()
        self.layer, self.steps, self.last = torch.nn.Linear(6, 3), 0, None

    def forward(self, values):
        self.steps += 1
        answer = self.layer(values)
        if self.last is not None:
            answer = answer + self.last
        self.last = answer.detach()
        return answer


def wrapped(folder, network, **members):
    kind = type("Mine", (TorchModel,), {"input_shapes": ((6,),), "build": network, **members})
    model = kind(model_path=folder / "mine.pth")
    torch.manual_seed(0)
    model.network = model.build().eval()
    model.save(model.model_path)
    return model


def values(seed=0):
    return np.random.default_rng(seed).random((1, 6), np.float32)


@pytest.mark.parametrize("format", COMPILERS)
def test_named_and_nested_outputs_keep_their_order_in_every_format(tmp_path, format):
    model = wrapped(tmp_path, lambda self: Named())
    _, outputs = model.specs()
    assert ["out", "aux", "pair", "pair_3"] == [spec.name for spec in outputs]
    assert [4, 3, 4, 4] == [spec.shape[-1] for spec in outputs]
    options = {"precision": "float32"} if format == "coreml" else {}
    compiler = COMPILERS[format](compiled_model_path=tmp_path / "made", **options)
    # Its own check compares each output with that of the network.
    facts = compiler.compile(model, None).facts["self_check"]
    assert facts["compared"]
    assert facts["largest_difference"] < 1e-5


def test_an_answer_without_tensors_is_refused(tmp_path):
    class Talking(Named):
        def forward(self, values):
            return {"out": self.first(values), "said": "done"}

    model = wrapped(tmp_path, lambda self: Talking())
    with pytest.raises(ModelError, match="must give tensors, .* got str"):
        model.specs()


@pytest.mark.parametrize("format", ["onnx", "tvm", "coreml"])
@pytest.mark.parametrize(("network", "where"), [(Leaky, "charge"), (Counting, "last, steps")])
def test_formats_that_would_lose_a_state_refuse_it(tmp_path, network, where, format):
    model = wrapped(tmp_path, lambda self: network(), dynamic_batch=False)
    compiler = COMPILERS[format](compiled_model_path=tmp_path / "made")
    with pytest.raises(ModelError, match=f"keeps a state between inferences in {where}, which"):
        compiler.compile(model, None)


@pytest.mark.parametrize(
    ("format", "runtime"),
    [("executorch", ExecuTorchRuntime), ("torch-exported", TorchExportedRuntime)],
)
def test_formats_that_keep_a_state_begin_with_that_of_the_file(tmp_path, format, runtime):
    model = wrapped(tmp_path, lambda self: Leaky(), dynamic_batch=False)
    compiler = COMPILERS[format](compiled_model_path=tmp_path / "made")
    artifact = compiler.compile(model, None)
    assert "keeps a state" in artifact.remarks[0]
    fresh, runner = type(model)(model_path=model.model_path), runtime()
    fresh.load()
    runner.prepare()
    runner.load(artifact.path, 1)
    for seed in range(4):
        runner.set_inputs([values(seed)])
        runner.run()
        np.testing.assert_allclose(fresh.run([values(seed)])[0], runner.get_outputs()[0], atol=1e-5)


def test_a_state_of_one_sample_is_found_where_batches_are_open(tmp_path):
    class Exact(Leaky):
        def forward(self, values):
            self.charge.copy_(self.charge + self.layer(values))
            return self.charge * 1

    model = wrapped(tmp_path, lambda self: Exact())
    assert ["charge"] == model.state_names()
    with pytest.raises(ModelError, match="keeps a state"):
        ONNXCompiler(compiled_model_path=tmp_path / "made").compile(model, None)


def test_looking_at_the_specs_moves_no_state_on(tmp_path):
    model = wrapped(tmp_path, lambda self: Leaky())
    model.specs()
    assert ["charge"] == model.state_names()
    assert 0 == model.network.charge.abs().max()


def test_a_network_that_normalizes_keeps_no_state(tmp_path):
    model = wrapped(
        tmp_path, lambda self: torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.BatchNorm1d(4))
    )
    assert [] == model.state_names()


def test_equal_networks_make_equal_files(tmp_path):
    found = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        model = wrapped(tmp_path / name, lambda self: Leaky())
        found.add(hashlib.sha256(model.model_path.read_bytes()).hexdigest())
    assert 1 == len(found)


def test_masks_of_the_smallest_number_survive_half_precision(tmp_path):
    class Masked(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(6, 6)

        def forward(self, values):
            # Inputs of 0..1 mask every element, some of them more.
            low = torch.finfo(torch.float32).min
            bounded = torch.clamp(self.layer(values), low, -low)
            return torch.softmax(bounded + (1.0 - values.round() * 0) * low, -1)

    model = wrapped(tmp_path, lambda self: Masked())
    artifact = CoreMLCompiler(compiled_model_path=tmp_path / "made").compile(model, None)
    assert {"float16": 36} == artifact.weights.elements
    assert artifact.facts["self_check"]["compared"]
    assert artifact.facts["self_check"]["largest_difference"] < 0.02
