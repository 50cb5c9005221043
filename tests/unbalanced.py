"""A depthwise network for the digits whose channels differ in size, so that int8 loses a lot.

Training leaves such channels behind where nothing equalizes them. Here they are made so: what one
layer writes is multiplied channel by channel, and divided in the next. With ReLU between them the
network answers as before, but a tensor has one scale for all of its channels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

WIDTH = 24
# Layers after which the channels differ, counted from the first convolution.
ONE, TWO = (2,), (2, 4)
SMALLEST, LARGEST = 0.001, 3.0
EPOCHS = 40


def trained(seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights and biases of all layers, channels first."""
    import torch
    from sklearn.datasets import load_digits
    from torch import nn

    from edge_tester.datasets.digits import DigitsDataset

    dataset = DigitsDataset()
    dataset.prepare()
    indices = dataset.split().train
    digits = load_digits()
    images = torch.from_numpy((digits.images[indices, None] / 16).astype(np.float32))
    labels = torch.from_numpy(digits.target[indices])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(nn)
        optimizer = torch.optim.Adam(network.parameters(), 6e-3)
        for _ in range(EPOCHS):
            for batch in torch.randperm(len(images)).split(64):
                optimizer.zero_grad()
                nn.functional.cross_entropy(network(images[batch]), labels[batch]).backward()
                optimizer.step()
    layers = [one for one in network if hasattr(one, "weight")]
    return [(one.weight.detach().numpy(), one.bias.detach().numpy()) for one in layers]


def spoiled(
    layers: list[tuple[np.ndarray, np.ndarray]], after: tuple[int, ...], seed: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The same network, with channels that differ behind some of its layers."""
    found = [list(one) for one in layers]
    generator = np.random.default_rng(seed)
    for place in after:
        factors = np.exp(generator.uniform(np.log(SMALLEST), np.log(LARGEST), WIDTH))
        factors = factors.astype(np.float32)
        before, behind = found[place], found[place + 1]
        before[0] = before[0] * factors[:, None, None, None]
        before[1] = before[1] * factors
        # A depthwise layer has the channels that it reads along its first axis.
        depthwise = behind[0].shape[1] == 1
        shape = (-1, 1, 1, 1) if depthwise else (1, -1, 1, 1)
        behind[0] = behind[0] / factors.reshape(shape)
    return [(weights, biases) for weights, biases in found]


def as_onnx(layers: list[tuple[np.ndarray, np.ndarray]], path: Path) -> Path:
    """Write the network as an ONNX file."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants, tensor = [], [], "x"
    transposed = helper.make_node("Transpose", ["image"], ["x"], perm=[0, 3, 1, 2], name="first")
    nodes.append(transposed)
    for place, (weights, biases) in enumerate(layers):
        constants += [
            numpy_helper.from_array(weights, f"w{place}"),
            numpy_helper.from_array(biases, f"b{place}"),
        ]
        inputs = [tensor, f"w{place}", f"b{place}"]
        if weights.ndim == 2:
            nodes += [
                helper.make_node("GlobalAveragePool", [tensor], ["pooled"], name="pool"),
                helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
                helper.make_node("Gemm", ["flat", *inputs[1:]], ["scores"], transB=1, name="dense"),
            ]
            break
        group = WIDTH if weights.shape[1] == 1 and place else 1
        pad = weights.shape[2] // 2
        nodes += [
            helper.make_node(
                "Conv", inputs, [f"c{place}"], group=group, pads=[pad] * 4, name=f"conv{place}"
            ),
            helper.make_node("Relu", [f"c{place}"], [f"r{place}"], name=f"relu{place}"),
        ]
        tensor = f"r{place}"
    graph = helper.make_graph(
        nodes,
        "unbalanced",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 8, 8, 1])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 10])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def as_tflite(layers: list[tuple[np.ndarray, np.ndarray]], path: Path) -> Path:
    """Write the network as a LiteRT file in float32."""
    import tensorflow

    from edge_tester.compilers.tflite import TFLiteCompiler
    from edge_tester.modelwrappers.generic.keras_file import KerasFile

    keras = tensorflow.keras
    image = values = keras.Input((8, 8, 1))
    made = []
    for place, (weights, _) in enumerate(layers):
        if weights.ndim == 2:
            values = keras.layers.GlobalAveragePooling2D()(values)
            layer = keras.layers.Dense(10)
        elif weights.shape[1] == 1 and place:
            layer = keras.layers.DepthwiseConv2D(3, padding="same", activation="relu")
        else:
            size = weights.shape[2]
            layer = keras.layers.Conv2D(WIDTH, size, padding="same", activation="relu")
        values = layer(values)
        made.append(layer)
    network = keras.Model(image, values)
    for place, (layer, (weights, biases)) in enumerate(zip(made, layers, strict=True)):
        if weights.ndim == 2:
            moved = weights.T
        elif weights.shape[1] == 1 and place:
            moved = weights.transpose(2, 3, 0, 1)
        else:
            moved = weights.transpose(2, 3, 1, 0)
        layer.set_weights([moved, biases])
    network.save(path.with_suffix(".keras"))
    source = KerasFile(model_path=path.with_suffix(".keras"))
    TFLiteCompiler(compiled_model_path=path).compile(source, None)
    return path


def _network(nn):
    """Ten layers: a convolution, four depthwise separable pairs, a dense layer."""
    layers = [nn.Conv2d(1, WIDTH, 3, padding=1), nn.ReLU()]
    for _ in range(4):
        layers += [
            *(nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH), nn.ReLU()),
            *(nn.Conv2d(WIDTH, WIDTH, 1), nn.ReLU()),
        ]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTH, 10)]
    return nn.Sequential(*layers)
