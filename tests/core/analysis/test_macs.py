"""Multiply-accumulates against sums made by hand, and PyTorch against its own counter."""

import math

import pytest

from edge_tester.core.analysis import analyze
from edge_tester.core.analysis.macs import macs_of
from edge_tester.core.graphs import Attention, Convolution, Product, Recurrent, Unknown
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from tests.core.analysis.graphs import graph_of, operator
from tests.networks import SHAPES, keras_model, torch_model


@pytest.mark.parametrize(
    ("work", "inputs", "outputs", "macs"),
    [
        # 5 output channels of 10 elements, kernels of 3 x 3 over 4 channels.
        (Convolution(kernel=(3, 3), input_channels=4, output_channels=5), 99, 50, 50 * 9 * 4),
        # In two groups each sums over half of the channels.
        (
            Convolution(kernel=(3, 3), input_channels=4, output_channels=6, groups=2),
            99,
            60,
            60 * 9 * 2,
        ),
        # Depthwise: over one.
        (
            Convolution(kernel=(5,), input_channels=8, output_channels=8, groups=8),
            99,
            80,
            80 * 5,
        ),
        (
            Convolution(
                kernel=(2, 2), input_channels=8, output_channels=6, groups=2, transposed=True
            ),
            80,
            999,
            80 * 4 * 3,
        ),
        (Product(contracted=7), 99, 11, 77),
        # Ten scores of each of three queries of width 8, and their sums of width 8.
        (Attention(keys=10), 24, 24, 24 * 10 + 24 * 10),
        (Recurrent(cells=6, weights=100), 1, 1, 600),
        (Unknown(reason="nobody knows"), 1, 1, None),
    ],
)
def test_each_kind_of_work(work, inputs, outputs, macs):
    graph = graph_of(
        {"in": inputs, "out": outputs}, [operator("one", "in", "out", work=work)], "out"
    )
    assert macs == macs_of(graph.operators[0], graph)


def counted(network, *inputs):
    """What PyTorch counts while it runs; recurrent layers it does not count."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    # Attention is counted where it is made of products of matrices, and not where it is one.
    products = sdpa_kernel(SDPBackend.MATH)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad(), products:
            network(*inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return counter.get_total_flops() // 2


def hand(name):
    """Multiply-accumulates of one sample of what PyTorch's counter leaves out."""
    # Five steps, two directions, four gates of 12 cells, 9 inputs and 12 of the step before.
    return 5 * 2 * 4 * 12 * (9 + 12) if name == "recurrent" else 0


@pytest.mark.parametrize("name", SHAPES)
def test_pytorch_and_onnx_count_alike(name, tmp_path):
    import torch

    model = torch_model(name, tmp_path)
    samples = 3
    found = analyze(model.graph(samples))
    inputs = [torch.zeros(samples, *shape) for shape in SHAPES[name]]
    expected = counted(model.network, *inputs) + samples * hand(name)
    assert ((), expected) == (found.unknown, found.macs)
    model.save_to_onnx(tmp_path / "exported.onnx")
    exported = analyze(ONNXFile(model_path=tmp_path / "exported.onnx").graph(samples))
    assert ((), expected) == (exported.unknown, exported.macs)
    learned = sum(one.numel() for one in model.network.parameters())
    assert learned == found.parameters
    # Counted by a module's own hooks, a bias is one more for each output channel.
    import torchinfo

    if name not in ("branches", "recurrent"):
        told = torchinfo.summary(model.network, input_data=inputs, verbose=0).total_mult_adds
        assert expected <= told <= expected + 30 * samples * learned


# Dilated convolutions are ordinary ones of every second element, which the converter fills up to
# an even number: 16 x 18 instead of 16 x 17 outputs of 5 x (3 x 3 x 12), 16 instead of 15 of
# 23 x (3 x 17).
FILLED_UP = {"branches": 16 * 5 * 108, "sequence": 23 * 51}


@pytest.mark.parametrize("name", ["separable", "branches", "sequence", "dense", "two_ends"])
def test_litert_counts_as_keras_is_built(name, tmp_path):
    import tensorflow

    wrapper = keras_model(name, tmp_path)
    network = tensorflow.keras.models.load_model(wrapper.model_path)
    path = tmp_path / f"{name}.tflite"
    path.write_bytes(tensorflow.lite.TFLiteConverter.from_keras_model(network).convert())
    found = analyze(TFLiteFile(model_path=path).graph())
    assert () == found.unknown
    expected = sum(map(_by_layer, network.layers)) + FILLED_UP.get(name, 0)
    assert expected == found.macs
    # Keras leaves the batch open.
    assert 4 * expected == analyze(TFLiteFile(model_path=path).graph(4)).macs


def _by_layer(layer):
    """Multiply-accumulates of a layer of Keras, by its weights and output."""
    kind = type(layer).__name__
    if not layer.weights or "Normalization" in kind or "PReLU" in kind:
        return 0
    kernel = math.prod(layer.weights[0].shape)
    if kind == "Dense":
        return kernel
    if kind == "Conv2DTranspose":
        return math.prod(layer.input.shape[1:-1]) * kernel
    return math.prod(layer.output.shape[1:-1]) * kernel


def _layers():
    import torch
    from torch import nn

    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(12, 3, 16, batch_first=True)

        def forward(self, values):
            other = torch.einsum("btc,bdc->btd", values, values)
            return self.layer(values), other @ values

    return {
        "conv1d": (nn.Conv1d(4, 6, 5, stride=2, dilation=2, groups=2), (4, 33)),
        "conv3d": (nn.Conv3d(3, 4, (1, 2, 3), padding=1), (3, 5, 6, 7)),
        "transposed1d": (nn.ConvTranspose1d(4, 6, 5, stride=2, groups=2), (4, 9)),
        "transposed2d": (nn.ConvTranspose2d(4, 6, 3, stride=2, dilation=2), (4, 6, 7)),
        "transposed3d": (nn.ConvTranspose3d(4, 2, 2, stride=2), (4, 3, 4, 5)),
        "linear": (nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 2, bias=False)), (3, 5)),
        "attention": (Attending(), (7, 12)),
    }


@pytest.mark.parametrize(
    "name",
    ["conv1d", "conv3d", "transposed1d", "transposed2d", "transposed3d", "linear", "attention"],
)
def test_layers_of_all_dimensions(name, tmp_path):
    import torch

    from edge_tester.modelwrappers.frameworks.pytorch import TorchModel

    network, shape = _layers()[name]
    members = {"input_shapes": (shape,), "build": lambda self: network}
    model = type("Layer", (TorchModel,), members)(model_path=tmp_path / "layer.pth")
    model.network = network.eval()
    model.save(model.model_path)
    found = analyze(model.graph(2))
    assert ((), counted(network, torch.zeros(2, *shape))) == (found.unknown, found.macs)
    model.save_to_onnx(tmp_path / "layer.onnx")
    exported = analyze(ONNXFile(model_path=tmp_path / "layer.onnx").graph(2))
    assert ((), found.macs) == (exported.unknown, exported.macs)


def test_recurrent_layers_by_hand(tmp_path):
    import torch
    from torch import nn

    from edge_tester.modelwrappers.frameworks.pytorch import TorchModel

    class Cells(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(6, 5, num_layers=2, batch_first=True)
            self.lstm = nn.LSTM(5, 8, batch_first=True, proj_size=3)

        def forward(self, values):
            return self.lstm(self.gru(values)[0])[0]

    torch.manual_seed(0)
    members = {"input_shapes": ((7, 6),), "build": lambda self: Cells()}
    model = type("Cellular", (TorchModel,), members)(model_path=tmp_path / "cells.pth")
    model.network = model.build().eval()
    model.save(model.model_path)
    steps = 2 * 7
    gru = 3 * 5 * (6 + 5) + 3 * 5 * (5 + 5)
    lstm = 4 * 8 * (5 + 3) + 8 * 3
    found = analyze(model.graph(2))
    assert ((), steps * (gru + lstm)) == (found.unknown, found.macs)


def test_layers_of_pytorch_are_named_after_their_modules(tmp_path):
    found = analyze(torch_model("two_ends", tmp_path).graph())
    by_module = {one.layer: one for one in found.layers if one.macs}
    assert {"image.0.0", "scores", "values"} == set(by_module)
    assert 49 * 10 == by_module["scores"].macs
    assert 49 * 10 + 10 == by_module["scores"].parameters
