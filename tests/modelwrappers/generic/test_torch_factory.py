"""Any PyTorch network, named by the function that builds it."""

import json
import sys

import numpy as np
import pytest

from edge_tester.core.errors import ModelError, OptionError
from edge_tester.modelwrappers.generic.torch_factory import TorchFactory
from edge_tester.modelwrappers.generic.torchscript_file import TorchScriptFile

CODE = """
import torch

def make(classes=4):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, classes))

class Words(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(50, 3)
    def forward(self, words):
        return self.table(words).mean(1)

def number():
    return 7
"""


@pytest.fixture(scope="module", autouse=True)
def module(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    (folder / "small_networks.py").write_text(CODE)
    sys.path.append(str(folder))
    yield
    sys.path.remove(str(folder))


def made(name="make", shapes=("3,4",), **options):
    return TorchFactory(factory=f"small_networks:{name}", input_shapes=shapes, **options)


@pytest.fixture(params=[False, True], ids=["plain", "checkpoint"])
def weights(tmp_path, request):
    import small_networks
    import torch

    torch.manual_seed(3)
    state = small_networks.make().state_dict()
    path = tmp_path / "weights.pt"
    torch.save({"state_dict": state, "epoch": 9} if request.param else state, path)
    return path, state


def test_weights_are_those_of_the_file(weights):
    path, state = weights
    model = made(weights=path)
    model.load()
    values = np.random.default_rng(0).random((2, 3, 4), np.float32)
    (found,) = model.run([values])
    expected = values.reshape(2, 12) @ state["1.weight"].numpy().T + state["1.bias"].numpy()
    assert expected == pytest.approx(found, abs=1e-5)
    assert [] == model.remarks()


def test_a_network_without_weights_is_the_same_every_time_and_said_to_be_so(tmp_path):
    hashes = {made(model_path=tmp_path / f"{i}.pth").artifact().sha256 for i in range(2)}
    assert 1 == len(hashes)
    assert "may be random numbers" in made(model_path=tmp_path / "a.pth").remarks()[0]


def test_integer_inputs(tmp_path):
    model = made("Words", ("5:int64",), model_path=tmp_path / "w.pth")
    model.load()
    (spec,), _ = model.specs()
    assert ("int64", (None, 5)) == (spec.dtype, spec.shape)
    assert (2, 3) == model.run([np.full((2, 5), 49)])[0].shape


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("nothing", {}, "no function or class 'nothing'"),
        ("number", {}, "must return a torch.nn.Module, got int"),
        ("make", {"factory_options": json.dumps({"colour": 3})}, "unexpected keyword"),
        ("make", {"shapes": ()}, "give the shape of one sample"),
    ],
)
def test_what_cannot_be_built_is_said(tmp_path, name, options, said):
    with pytest.raises((ModelError, OptionError), match=said):
        model = made(name, model_path=tmp_path / "m.pth", **options)
        model.load()
        model.specs()


@pytest.mark.parametrize("shape", ["3x4", "", "3,4:complex64", "-1,4"])
def test_misspelt_shapes(shape):
    with pytest.raises(OptionError, match="sizes separated by commas"):
        made(shapes=(shape,))


def test_a_state_dict_is_no_torchscript_file(weights):
    path, _ = weights
    with pytest.raises(ModelError, match="holds weights .a state dict.*--weights"):
        TorchScriptFile(model_path=path).artifact()
