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


def torch_module():
    """A module of shape (batch, 1, 8, 8)."""
    import torch

    linear = torch.nn.Linear(64, 10)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(WEIGHTS.T.copy()))
        linear.bias.copy_(torch.from_numpy(BIASES))
    return torch.nn.Sequential(torch.nn.Flatten(), linear).eval()
