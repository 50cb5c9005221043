"""Small networks of varied structure with random weights, in PyTorch and in Keras.

The statistics of normalizing layers are those of the samples: without, signals vanish
on their way, and what is left of the inputs in the outputs is too little to compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_tester.modelwrappers.frameworks.pytorch import TorchModel
from edge_tester.modelwrappers.generic.keras_file import KerasFile
from edge_tester.onnxconverters import _torch_models as blocks

# Name -> shapes of one sample of each input, channels first.
SHAPES = {
    "separable": ((3, 32, 32),),
    "gated": ((3, 32, 32),),
    "branches": ((3, 31, 33),),
    "two_ends": ((3, 16, 16), (9,)),
    "sequence": ((5, 37),),
    "dense": ((13,),),
    "recurrent": ((5, 9),),
}


def samples(shapes: Sequence[tuple[int, ...]], count: int) -> list[np.ndarray]:
    """Sums of one random profile along each axis, so that samples differ at large."""
    generator = np.random.default_rng(0)
    found = []
    for shape in shapes:
        values = np.zeros((count, *shape), np.float32)
        for axis, size in enumerate(shape, start=1):
            sizes = [count, *[1] * len(shape)]
            sizes[axis] = size
            values += generator.standard_normal(sizes, np.float32)
        found.append(values)
    return found


def torch_model(name: str, folder: Path) -> TorchModel:
    """One of the networks below as a PyTorch model that was saved."""
    import torch

    build = {key: globals()[f"_torch_{key}"] for key in SHAPES}[name]
    members = {"input_shapes": SHAPES[name], "build": lambda self: build()}
    model = type(name.title(), (TorchModel,), members)(model_path=folder / f"{name}.pth")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model.network = model.build()
        for layer in model.network.modules():
            if hasattr(layer, "running_var"):
                layer.momentum = 1.0
        model.network.train()(*map(torch.from_numpy, samples(SHAPES[name], 64)))
    model.network.eval()
    model.save(model.model_path)
    return model


def _torch_separable():
    from torch import nn

    return nn.Sequential(
        blocks._convolution(nn, 3, 16, 3, 2, act=nn.ReLU6),
        blocks._inverted_residual(nn, 16, 48, 16, 3, 1, nn.ReLU6),
        blocks._inverted_residual(nn, 16, 56, 24, 5, 2, nn.ReLU6),
        *blocks._classifier(nn, 24),
    )


def _torch_gated():
    from torch import nn

    return nn.Sequential(
        blocks._convolution(nn, 3, 16, 3, 2, act=nn.Hardswish),
        blocks._inverted_residual(nn, 16, 40, 16, 3, 1, nn.Hardswish, 8, nn.Hardsigmoid()),
        blocks._inverted_residual(nn, 16, 40, 24, 5, 2, nn.SiLU, 12, nn.Sigmoid()),
        *blocks._classifier(nn, 24),
    )


def _torch_branches():
    import torch
    from torch import nn

    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = blocks._convolution(nn, 3, 12, 3, 2, act=nn.LeakyReLU)
            self.branches = nn.ModuleList(
                [
                    nn.Conv2d(12, 7, 1),
                    nn.Sequential(nn.Conv2d(12, 6, (1, 5), padding=(0, 2)), nn.PReLU(6)),
                    nn.Conv2d(12, 5, 3, padding=2, dilation=2),
                    nn.Sequential(nn.AvgPool2d(3, 1, 1), nn.Conv2d(12, 6, 1, groups=2)),
                ]
            )
            self.up = nn.ConvTranspose2d(24, 9, 3, 2, 1)
            self.dense = nn.Linear(18, 10)

        def forward(self, image):
            values = self.first(image)
            values = torch.cat([branch(values) for branch in self.branches], 1)
            values = self.up(nn.functional.max_pool2d(values, 3, 2, 1))
            return self.dense(torch.cat((values.mean((2, 3)), values.amax((2, 3))), 1))

    return Branches()


def _torch_two_ends():
    import torch
    from torch import nn

    class TwoEnds(nn.Module):
        def __init__(self):
            super().__init__()
            self.image = nn.Sequential(
                blocks._convolution(nn, 3, 10, 3, 2, act=nn.ReLU),
                nn.AdaptiveAvgPool2d(2),
                nn.Flatten(),
            )
            self.scores, self.values = nn.Linear(49, 10), nn.Linear(49, 4)

        def forward(self, image, further):
            joined = torch.cat((self.image(image), further), 1)
            return self.scores(joined), torch.sigmoid(self.values(joined))

    return TwoEnds()


def _torch_sequence():
    from torch import nn

    return nn.Sequential(
        *(nn.Conv1d(5, 17, 5, 2, 2), nn.BatchNorm1d(17), nn.GELU()),
        *(nn.Conv1d(17, 23, 3, dilation=2), nn.ReLU()),
        *(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(23, 10)),
    )


def _torch_dense():
    from torch import nn

    return nn.Sequential(
        *(nn.Linear(13, 29), nn.Tanh(), nn.Linear(29, 31), nn.ELU()),
        *(nn.LayerNorm(31), nn.Linear(31, 7)),
    )


def _torch_recurrent():
    from torch import nn

    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.recurrent = nn.LSTM(9, 12, batch_first=True, bidirectional=True)
            self.dense = nn.Linear(24, 7)

        def forward(self, values):
            return self.dense(self.recurrent(values)[0][:, -1])

    return Recurrent()


def keras_model(name: str, folder: Path) -> KerasFile:
    """One of the networks below as a Keras file, channels last."""
    import tensorflow

    keras = tensorflow.keras
    keras.utils.set_random_seed(0)
    shapes = [(*shape[1:], shape[0]) for shape in SHAPES[name]]
    if name == "recurrent":
        shapes = list(SHAPES[name])
    inputs = [keras.Input(shape) for shape in shapes]
    build = {key: globals()[f"_keras_{key}"] for key in SHAPES}[name]
    network = keras.Model(inputs, build(keras.layers, *inputs))
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    values = samples(shapes, 64)
    network(values if len(values) > 1 else values[0], training=True)
    path = folder / f"{name}.keras"
    network.save(path)
    return KerasFile(model_path=path)


def _keras_convolution(layers, values, filters, size, stride=1, act=None):
    values = layers.Conv2D(filters, size, stride, "same", use_bias=False)(values)
    values = layers.BatchNormalization()(values)
    return layers.Activation(act)(values) if act else values


def _keras_inverted_residual(layers, values, hidden, after, size, stride, act, squeezed=0):
    before = values
    values = _keras_convolution(layers, values, hidden, 1, act=act)
    values = layers.DepthwiseConv2D(size, stride, "same", use_bias=False)(values)
    values = layers.Activation(act)(layers.BatchNormalization()(values))
    if squeezed:
        factors = layers.GlobalAveragePooling2D(keepdims=True)(values)
        factors = layers.Conv2D(squeezed, 1, activation="relu")(factors)
        values = values * layers.Conv2D(hidden, 1, activation="hard_sigmoid")(factors)
    values = _keras_convolution(layers, values, after, 1)
    return before + values if before.shape == values.shape else values


def _keras_separable(layers, image):
    values = _keras_convolution(layers, image, 16, 3, 2, "relu6")
    values = _keras_inverted_residual(layers, values, 48, 16, 3, 1, "relu6")
    values = _keras_inverted_residual(layers, values, 56, 24, 5, 2, "relu6")
    return layers.Dense(10)(layers.GlobalAveragePooling2D()(values))


def _keras_gated(layers, image):
    values = _keras_convolution(layers, image, 16, 3, 2, "hard_silu")
    values = _keras_inverted_residual(layers, values, 40, 16, 3, 1, "hard_silu", 8)
    values = _keras_inverted_residual(layers, values, 40, 24, 5, 2, "silu", 12)
    return layers.Dense(10)(layers.GlobalAveragePooling2D()(values))


def _keras_branches(layers, image):
    values = layers.LeakyReLU()(_keras_convolution(layers, image, 12, 3, 2))
    branches = [
        layers.Conv2D(7, 1)(values),
        layers.PReLU(shared_axes=(1, 2))(layers.Conv2D(6, (1, 5), padding="same")(values)),
        layers.Conv2D(5, 3, padding="same", dilation_rate=2)(values),
        layers.Conv2D(6, 1)(layers.AveragePooling2D(3, 1, "same")(values)),
    ]
    values = layers.MaxPooling2D(3, 2, "same")(layers.Concatenate()(branches))
    values = layers.Conv2DTranspose(9, 3, 2, "same")(values)
    ends = [layers.GlobalAveragePooling2D()(values), layers.GlobalMaxPooling2D()(values)]
    return layers.Dense(10)(layers.Concatenate()(ends))


def _keras_two_ends(layers, image, further):
    values = _keras_convolution(layers, image, 10, 3, 2, "relu")
    values = layers.Flatten()(layers.AveragePooling2D(4)(values))
    joined = layers.Concatenate()([values, further])
    return [layers.Dense(10)(joined), layers.Dense(4, activation="sigmoid")(joined)]


def _keras_sequence(layers, values):
    values = layers.BatchNormalization()(layers.Conv1D(17, 5, 2, "same")(values))
    values = layers.Conv1D(23, 3, dilation_rate=2, activation="relu")(
        layers.Activation("gelu")(values)
    )
    return layers.Dense(10)(layers.GlobalAveragePooling1D()(values))


def _keras_dense(layers, values):
    values = layers.Dense(31, activation="elu")(layers.Dense(29, activation="tanh")(values))
    return layers.Dense(7)(layers.LayerNormalization()(values))


def _keras_recurrent(layers, values):
    # Neither the converter of TensorFlow Lite nor that of Core ML takes Keras' loops.
    recurrent = layers.LSTM(12, unroll=True)
    return layers.Dense(7)(layers.Bidirectional(recurrent)(values))
