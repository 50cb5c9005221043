"""Model files of a few hundred weights, and what they must answer by numpy alone.

All are one fully connected layer from 64 values to 10: ``flatten(x) @ WEIGHTS + BIASES``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

_generator = np.random.default_rng(0)
WEIGHTS = _generator.standard_normal((64, 10)).astype(np.float32)
BIASES = _generator.standard_normal(10).astype(np.float32)


def sample(shape: tuple[int, ...]) -> np.ndarray:
    """One sample of 64 values between 0 and 1."""
    return np.random.default_rng(1).random((1, *shape), np.float32)


def answer(values: np.ndarray) -> np.ndarray:
    """What every model below answers to a batch."""
    return values.reshape(len(values), -1) @ WEIGHTS + BIASES


def keras_model(batch: int | None = None):
    """A Keras model of shape (batch, 8, 8, 1), its batch open or fixed."""
    import tensorflow

    keras = tensorflow.keras
    model = keras.Sequential(
        [keras.Input((8, 8, 1), batch), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    model.layers[-1].set_weights([WEIGHTS, BIASES])
    return model


def tflite_content(model) -> bytes:
    """The float32 .tflite of a Keras model."""
    import tensorflow

    return tensorflow.lite.TFLiteConverter.from_keras_model(model).convert()


def without_signatures(content: bytes) -> bytes:
    """The same .tflite as old converters wrote it."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    model.signatureDefs = None
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def write_onnx(
    path: Path,
    batch: int | str | None = "batch",
    output_batch: int | str | None = "batch",
    bias_is_constant: bool = False,
) -> Path:
    """A Gemm of shape (batch, 64)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(WEIGHTS, "weights")
    biases = numpy_helper.from_array(BIASES, "biases")
    nodes = [helper.make_node("Gemm", ["x", "weights", "biases"], ["y"])]
    if bias_is_constant:
        nodes.insert(0, helper.make_node("Constant", [], ["biases"], value=biases))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [output_batch, 10])],
        [weights] if bias_is_constant else [weights, biases],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


def cnn_sample() -> np.ndarray:
    """One picture for the networks below."""
    return np.random.default_rng(2).random((1, 3, 32, 32), np.float32)


def cnn_weights() -> dict[str, np.ndarray]:
    """Of two convolutions and a fully connected layer."""
    generator = np.random.default_rng(3)
    shapes = {"a": (16, 3, 3, 3), "b": (32, 16, 3, 3), "c": (10, 32 * 14 * 14)}
    return {k: 0.1 * generator.standard_normal(s).astype(np.float32) for k, s in shapes.items()}


def write_cnn_onnx(path: Path) -> Path:
    """Eight operators on pictures of shape (batch, 3, 32, 32), the batch open."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Conv", ["x", "a"], ["1"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["1"], ["2"], "relu"),
        helper.make_node("Conv", ["2", "b"], ["3"], "second"),
        helper.make_node("Tanh", ["3"], ["4"], "tanh"),
        helper.make_node("MaxPool", ["4"], ["5"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        # 15 by 15 becomes 14 by 14.
        helper.make_node("AveragePool", ["5"], ["6"], "mean", kernel_shape=[2, 2]),
        helper.make_node("Flatten", ["6"], ["7"], "flatten"),
        helper.make_node("Gemm", ["7", "c"], ["y"], "dense", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "cnn",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(values, name) for name, values in cnn_weights().items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


def torch_cnn():
    """The same as a module of PyTorch."""
    import torch

    nn, weights = torch.nn, {k: torch.from_numpy(v) for k, v in cnn_weights().items()}
    first, second = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.Conv2d(16, 32, 3, bias=False)
    dense = nn.Linear(32 * 14 * 14, 10, bias=False)
    with torch.no_grad():
        for layer, name in ((first, "a"), (second, "b"), (dense, "c")):
            layer.weight.copy_(weights[name])
    layers = (first, nn.ReLU(), second, nn.Tanh(), nn.MaxPool2d(2), nn.AvgPool2d(2, 1))
    return nn.Sequential(*layers, nn.Flatten(), dense).eval()


def torch_module():
    """A module of shape (batch, 1, 8, 8)."""
    import torch

    linear = torch.nn.Linear(64, 10)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(WEIGHTS.T.copy()))
        linear.bias.copy_(torch.from_numpy(BIASES))
    return torch.nn.Sequential(torch.nn.Flatten(), linear).eval()
