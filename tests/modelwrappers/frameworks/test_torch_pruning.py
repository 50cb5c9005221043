"""Pruned networks, channel by channel."""

import copy

import numpy as np
import onnxruntime
import pytest
import torch

from edge_tester.core.compresses import Compression
from edge_tester.core.errors import ModelError
from edge_tester.modelwrappers.frameworks import torch_pruning
from edge_tester.modelwrappers.frameworks.pytorch import TorchModel
from tests.compressible import WIDTH, Depthwise, Plain, Residual, untrained

KEPT = WIDTH // 2
INPUTS = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(3))


def pruned(model, **options):
    """The network of a copy of a model, pruned by a half unless told otherwise."""
    network = copy.deepcopy(model.network)
    compression = Compression(**{"pruning": 0.5, **options})
    torch_pruning.Pruner(network, model.examples(), compression, model).step()
    return network


def squares(weight, axis):
    """Sum of the squares of all weights of each place along an axis."""
    return weight.detach().square().sum([a for a in range(weight.ndim) if a != axis])


def largest(norms, count):
    """Places of the largest, in order."""
    return sorted(torch.argsort(norms, descending=True)[:count].tolist())


def plain_channels(network):
    first, second, dense = network[0], network[4], network[9]
    last = squares(dense.weight, 1).reshape(2 * WIDTH, 4).sum(1)
    return {
        first: largest(squares(first.weight, 0) + squares(second.weight, 1), KEPT),
        second: largest(squares(second.weight, 0) + last, WIDTH),
    }


def depthwise_channels(network):
    start, (one, two) = network[0][0], network[1:3]
    found = {}
    for block in (one, two):
        layers = [m for m in block.modules() if isinstance(m, torch.nn.Conv2d)]
        wide, depthwise, narrow = layers
        norms = squares(wide.weight, 0) + squares(depthwise.weight, 0) + squares(narrow.weight, 1)
        found[wide] = largest(norms, 3 * KEPT)
    # What the first block adds to must lose the channels that it gives.
    first = [m for m in one.modules() if isinstance(m, torch.nn.Conv2d)]
    second = [m for m in two.modules() if isinstance(m, torch.nn.Conv2d)]
    shared = squares(start.weight, 0) + squares(first[2].weight, 0)
    shared = shared + squares(first[0].weight, 1) + squares(second[0].weight, 1)
    found[start] = found[first[2]] = largest(shared, KEPT)
    found[second[2]] = largest(squares(second[2].weight, 0) + squares(network[5].weight, 1), WIDTH)
    return found


def residual_channels(network):
    start, one, two, dense = network[0], network[2], network[3], network[6]
    shared = squares(start.weight, 0) + squares(one.second.weight, 0)
    shared = shared + squares(one.first.weight, 1) + squares(two.first.weight, 1)
    shared = shared + squares(two.shortcut.weight, 1)
    last = squares(two.second.weight, 0) + squares(two.shortcut.weight, 0)
    last = last + squares(dense.weight, 1)
    return {
        start: largest(shared, KEPT),
        one.second: largest(shared, KEPT),
        one.first: largest(squares(one.first.weight, 0) + squares(one.second.weight, 1), KEPT),
        two.first: largest(squares(two.first.weight, 0) + squares(two.second.weight, 1), WIDTH),
        two.second: largest(last, WIDTH),
        two.shortcut: largest(last, WIDTH),
    }


CASES = ((Plain, plain_channels), (Depthwise, depthwise_channels), (Residual, residual_channels))


@pytest.mark.parametrize(("kind", "expected"), CASES)
def test_the_channels_that_stay_have_the_largest_norms(kind, expected, tmp_path):
    model = untrained(kind, tmp_path)
    smaller = dict(pruned(model).named_modules())
    names = {module: name for name, module in model.network.named_modules()}
    for layer, kept in expected(model.network).items():
        after = smaller[names[layer]]
        assert len(kept) == after.out_channels
        # The weights of the first input that stays too are told apart by their values.
        original = [set(row) for row in layer.weight.detach().flatten(1).tolist()]
        rows = [set(row) for row in after.weight.detach().flatten(1).tolist()]
        assert kept == [next(i for i, o in enumerate(original) if row <= o) for row in rows]


@pytest.mark.parametrize(("kind", "expected"), CASES)
def test_a_pruned_network_answers_as_one_that_does_not_hear_the_channels(kind, expected, tmp_path):
    """A channel that is set to zero behind its layer adds nothing to what reads it."""
    model = untrained(kind, tmp_path)
    smaller = pruned(model)
    # Where values are added, each that adds must be silent; normalizations make 0 to something.
    silent = copy.deepcopy(model.network)
    names = {module: name for name, module in model.network.named_modules()}
    own = dict(silent.named_modules())
    handles = []
    for layer, kept in expected(model.network).items():
        mask = torch.zeros(layer.out_channels)
        mask[kept] = 1
        quiet = own[_normalization_behind(model.network, names[layer])]
        handles.append(quiet.register_forward_hook(_masking(mask)))
    for block in (m for m in silent.modules() if _is_depthwise(m)):
        # Its normalization makes something of the silence before it, which nobody hears.
        name = next(n for n, m in silent.named_modules() if m is block)
        wide = [m for m in expected(model.network) if m.out_channels == block.out_channels]
        before = _layer_before(model.network, name, wide)
        mask = torch.zeros(block.out_channels)
        mask[expected(model.network)[before]] = 1
        behind = own[_normalization_behind(model.network, name)]
        handles.append(behind.register_forward_hook(_masking(mask)))
    with torch.no_grad():
        np.testing.assert_allclose(silent(INPUTS), smaller(INPUTS), rtol=1e-4, atol=1e-4)


def _masking(mask):
    return lambda module, inputs, output: output * mask[:, None, None]


def _is_depthwise(module):
    return isinstance(module, torch.nn.Conv2d) and module.groups > 1


def _normalization_behind(network, name):
    """Name of the batch normalization that reads a layer; of the layer itself if none does."""
    order = [(n, m) for n, m in network.named_modules() if not list(m.children())]
    place = next(i for i, (n, _) in enumerate(order) if n == name)
    behind = order[place + 1 : place + 2]
    return behind[0][0] if behind and isinstance(behind[0][1], torch.nn.BatchNorm2d) else name


def _layer_before(network, name, candidates):
    order = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    own = dict(network.named_modules())[name]
    place = order.index(own)
    return next(m for m in reversed(order[:place]) if m in candidates)


@pytest.mark.parametrize("kind", [Plain, Depthwise, Residual])
def test_onnx_agrees(kind, tmp_path):
    model = untrained(kind, tmp_path)
    expected = copy.copy(model)
    expected.network = pruned(model, scope="global", pruning=0.4)
    expected.save_to_onnx(tmp_path / "pruned.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "pruned.onnx")
    (actual,) = session.run(None, {session.get_inputs()[0].name: INPUTS.numpy()})
    np.testing.assert_allclose(expected.run([INPUTS.numpy()])[0], actual, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "macs", "parameters"),
    [
        # Of 6 and 12 channels: 9 weights for each pair of channels and place, then a dense layer.
        (
            Plain,
            9 * 6 * 64 + 9 * 6 * 12 * 16 + 12 * 4 * 10,
            9 * 6 + 2 * 6 + 9 * 6 * 12 + 12 + 2 * 12 + 12 * 4 * 10 + 10,
        ),
        # 6 channels become 18, and 6 again; then 18, and 12 at half the size.
        (
            Depthwise,
            (9 * 6 + 6 * 18 + 9 * 18 + 18 * 6 + 6 * 18) * 64 + (9 * 18 + 18 * 12) * 16 + 12 * 10,
            (9 * 6 + 12)
            + (6 * 18 + 36 + 9 * 18 + 36 + 18 * 6 + 12)
            + (6 * 18 + 36 + 9 * 18 + 36 + 18 * 12 + 24)
            + 12 * 10
            + 10,
        ),
        (
            Residual,
            (9 * 6 + 2 * 9 * 6 * 6) * 64 + (9 * 6 * 12 + 9 * 12 * 12 + 6 * 12) * 16 + 12 * 10,
            (9 * 6 + 6)
            + 2 * (9 * 6 * 6 + 12)
            + (9 * 6 * 12 + 24 + 9 * 12 * 12 + 24 + 6 * 12 + 12)
            + 12 * 10
            + 10,
        ),
    ],
)
def test_what_is_left_is_counted(kind, macs, parameters, tmp_path):
    model = untrained(kind, tmp_path)
    network = pruned(model)
    assert macs == torch_pruning.macs(network, model.examples(), model)
    assert parameters == torch_pruning.parameters(network)


class TwoEnds(TorchModel):
    """A layer that is an output itself, one filter per channel behind another, and a hidden one."""

    input_shapes = ((3, 6, 6),)

    def build(self):
        nn = torch.nn

        class Network(nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden = nn.Conv2d(3, 8, 3)
                self.picture = nn.Conv2d(8, 4, 1)
                self.apart = nn.Conv2d(4, 4, 3, padding=1, groups=4)
                self.scores = nn.Linear(8, 5)

            def forward(self, values):
                hidden = torch.relu(self.hidden(values))
                scores = self.scores(hidden.mean((2, 3)))
                return scores, torch.relu(self.apart(self.picture(hidden)))

        return Network()


def test_outputs_are_never_pruned(tmp_path):
    model = untrained(TwoEnds, tmp_path)
    network = model.network
    kept = torch_pruning.protected(network, model.examples(), model)
    assert {network.scores, network.picture, network.apart} == set(kept)
    smaller = pruned(model)
    assert (4, 4, 4, 5) == (
        smaller.hidden.out_channels,
        smaller.picture.out_channels,
        smaller.apart.out_channels,
        smaller.scores.out_features,
    )
    assert 3 == smaller.hidden.in_channels


@pytest.mark.parametrize("kind", [Plain, Depthwise, Residual])
def test_of_global_scope_no_layer_vanishes(kind, tmp_path):
    model = untrained(kind, tmp_path)
    network = pruned(model, scope="global", pruning=0.9)
    assert all(layer.channels_after > 0 for layer in torch_pruning.layers(model.network, network))
    assert (5, 10) == tuple(network(INPUTS).shape)


def test_a_network_that_counts_on_its_channels_is_refused(tmp_path):
    class Counting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = torch.nn.Conv2d(1, 8, 3), torch.nn.Linear(8, 10)

        def forward(self, values):
            return self.last(self.first(values).mean((2, 3)).view(-1, 8))

    members = {"input_shapes": ((1, 8, 8),), "build": lambda self: Counting()}
    model = untrained(type("Counting", (TorchModel,), members), tmp_path)
    with pytest.raises(ModelError, match="Counting cannot be pruned, perhaps because its code has"):
        pruned(model)


def test_a_network_without_hidden_channels_is_refused(tmp_path):
    members = {"input_shapes": ((6,),), "build": lambda self: torch.nn.Linear(6, 4)}
    model = untrained(type("Alone", (TorchModel,), members), tmp_path)
    with pytest.raises(ModelError, match="Alone cannot be pruned: no layer can lose a channel"):
        pruned(model)


def test_numbers_of_channels_are_rounded_up(tmp_path):
    network = pruned(untrained(Plain, tmp_path), pruning=0.01)
    assert (WIDTH - 1, 2 * WIDTH - 1) == (network[0].out_channels, network[4].out_channels)


def test_taylor_keeps_what_the_loss_depends_on(tmp_path):
    model = untrained(Plain, tmp_path)
    network, compression = model.network, Compression(pruning=0.5, importance="taylor")
    pruner = torch_pruning.Pruner(network, model.examples(), compression, model)
    network(INPUTS).square().sum().backward()
    before = network[0].weight.detach().clone()
    counted = [(one.weight * one.weight.grad).abs() for one in (network[0], network[4])]
    kept = largest(counted[0].sum((1, 2, 3)) + counted[1].sum((0, 2, 3)), KEPT)
    pruner.step()
    assert torch.equal(before[kept], network[0].weight)
