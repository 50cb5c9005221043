"""Small networks of five structures, conversions of them, and one layer of these destroyed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edge_tester.core.checking.sides import Side, side_of, side_of_file
from edge_tester.modelwrappers.frameworks.pytorch import TorchModel
from edge_tester.modelwrappers.generic.keras_file import KerasFile
from tests.networks import samples

NETWORKS = ("plain", "residual", "separable", "branches", "dense")
# Source and conversion; the names of files are those below.
KINDS = (
    ("float.onnx", "float.onnx"),
    ("float.onnx", "int8.onnx"),
    ("float.tflite", "int8.tflite"),
    ("torch", "float.onnx"),
    ("keras", "float.tflite"),
)
_CALIBRATION = 200
# Of operators with weights, their names in either format, and the place of the weights.
_WEIGHTED = {"Conv", "Gemm", "MatMul", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
# Their kernels want outputs of the scale of their inputs.
_SAME_SCALE = {"AVERAGE_POOL_2D", "MAX_POOL_2D", "CONCATENATION", "RESHAPE", "MEAN"}


def shape_of(name: str) -> tuple[int, ...]:
    """Of one sample, channels first."""
    return (24,) if name == "dense" else (3, 16, 16)


def feeds(name: str, count: int, *, last: bool) -> list[list[np.ndarray]]:
    """Samples, each of shape (1, ...), with the channels last or first."""
    (values,) = samples([shape_of(name)], count)
    if last and values.ndim == 4:
        values = np.moveaxis(values, 1, -1)
    return [[np.ascontiguousarray(one)] for one in np.split(values, count)]


class Sum:
    """What adds its input to what layers make of it; a module of PyTorch when it is called."""

    def __new__(cls, *layers):
        import torch

        class Residual(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.body = torch.nn.Sequential(*layers)

            def forward(self, values):
                return torch.relu(values + self.body(values))

        return Residual()


def _torch_network(name: str):
    import torch
    from torch import nn

    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(12, 8, 1), nn.Conv2d(12, 8, 3, padding=1)
            self.third = nn.Sequential(nn.Conv2d(12, 6, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 1, 1))

        def forward(self, values):
            parts = [self.first(values), self.second(values), self.third(values)]
            return torch.relu(torch.cat(parts, 1))

    def conv(inputs, outputs, size=3, stride=1, groups=1):
        return nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups), nn.ReLU()

    end = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
    layers = {
        "plain": (*conv(3, 12), *conv(12, 16, 3, 2), *conv(16, 20), *conv(20, 16)),
        "residual": (
            *conv(3, 16, 3, 2),
            *(Sum(*conv(16, 16), nn.Conv2d(16, 16, 3, 1, 1)) for _ in range(2)),
        ),
        "separable": (
            *conv(3, 12, 3, 2),
            *(*conv(12, 12, 3, 1, 12), *conv(12, 20, 1), *conv(20, 20, 3, 2, 20)),
            *conv(20, 16, 1),
        ),
        "branches": (*conv(3, 12), Branches(), *conv(24, 16, 3, 2)),
        "dense": (nn.Linear(24, 40), nn.Tanh(), nn.Linear(40, 32), nn.ReLU(), nn.Linear(32, 16)),
    }[name]
    network = nn.Sequential(*layers, *(() if name == "dense" else end), nn.Linear(16, 10))
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.normal_(layer.bias, std=0.1)
    return network


def torch_model(name: str, folder: Path) -> TorchModel:
    """One of the networks as a PyTorch model that was saved."""
    import torch

    members = {"input_shapes": (shape_of(name),), "build": lambda self: _torch_network(name)}
    model = type(name.title(), (TorchModel,), members)(model_path=folder / f"{name}.pth")
    if not model.model_path.exists():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model.network = model.build().eval()
        model.save(model.model_path)
    return model


def _keras_network(name: str):
    import tensorflow

    keras = tensorflow.keras
    keras.utils.set_random_seed(0)
    start = {"kernel_initializer": "he_normal", "bias_initializer": "random_normal"}

    def conv(values, filters, size=3, stride=1, act="relu"):
        layer = keras.layers.Conv2D(filters, size, stride, "same", activation=act, **start)
        return layer(values)

    def depthwise(values, stride=1):
        layer = keras.layers.DepthwiseConv2D(
            3, stride, "same", activation="relu", depthwise_initializer="he_normal"
        )
        return layer(values)

    def dense(values, units, act=None):
        return keras.layers.Dense(units, activation=act, **start)(values)

    shape = shape_of(name)
    given = keras.Input(shape if name == "dense" else (*shape[1:], shape[0]))
    values = given
    if name == "dense":
        values = dense(dense(dense(values, 40, "tanh"), 32, "relu"), 16)
    elif name == "plain":
        values = conv(conv(conv(conv(values, 12), 16, 3, 2), 20), 16)
    elif name == "residual":
        values = conv(values, 16, 3, 2)
        for _ in range(2):
            inner = conv(conv(values, 16), 16, act=None)
            values = keras.layers.ReLU()(keras.layers.Add()([values, inner]))
    elif name == "separable":
        values = conv(depthwise(conv(values, 12, 3, 2)), 20, 1)
        values = conv(depthwise(values, 2), 16, 1)
    else:
        values = conv(values, 12)
        parts = [conv(values, 8, 1, act=None), conv(values, 8, act=None)]
        parts.append(conv(conv(values, 6, 1), 8, act=None))
        values = keras.layers.ReLU()(keras.layers.Concatenate()(parts))
        values = conv(values, 16, 3, 2)
    if name != "dense":
        values = keras.layers.GlobalAveragePooling2D()(values)
    return keras.Model(given, dense(values, 10))


def made(name: str, file: str, folder: Path) -> Path:
    """Return a form of a network, which is made if it is not there."""
    from edge_tester.compilers.onnx import ONNXCompiler
    from edge_tester.compilers.tflite import TFLiteCompiler
    from edge_tester.datasets.npz_file import NpzDataset

    path = folder / f"{name}-{file}"
    if file in ("torch", "keras"):
        path = folder / f"{name}.{'pth' if file == 'torch' else 'keras'}"
    if path.exists():
        return path
    if file == "torch":
        torch_model(name, folder)
        return path
    if file == "keras":
        _keras_network(name).save(path)
        return path
    precision, _, format = file.partition(".")
    last = format == "tflite"
    values = folder / f"{name}-{format}.npz"
    all_feeds = np.concatenate([one[0] for one in feeds(name, 2 * _CALIBRATION, last=last)])
    np.savez(values, x=all_feeds[:8], x_calibration=all_feeds)
    dataset = NpzDataset(dataset_path=values)
    dataset.prepare()
    model = KerasFile(model_path=made(name, "keras", folder)) if last else torch_model(name, folder)
    compiler = TFLiteCompiler if last else ONNXCompiler
    target = "default" if precision == "float" else "int8"
    compiler(target=target, compiled_model_path=path, self_check=False).compile(model, dataset)
    return path


def side(name: str, file: str, folder: Path, path: Path | None = None) -> Side:
    """Load a form of a network, or another file of that form."""
    path = path or made(name, file, folder)
    if file == "torch":
        return side_of(torch_model(name, folder))
    if file == "keras":
        return side_of(KerasFile(model_path=path))
    return side_of_file(path, path.suffix[1:])


class Damage(NamedTuple):
    """What was done.

    Attributes
    ----------
    path : Path
        The damaged file.
    place : int
        Of the operator in the graph.
    what : str
    """

    path: Path
    place: int
    what: str


def damaged(path: Path, target: Path, generator: np.random.Generator, wanted: str = "") -> Damage:
    """Write a copy of a file in which one random operator with weights is destroyed.

    Its weights are permuted, all of them multiplied or divided by 8 (of integers: their scale), or,
    of int8, the scale of its output is. ``wanted`` is what shall be done, as the result says it.
    """
    while wanted:
        found = damaged(path, target, generator)
        if wanted == found.what:
            return found
    kinds = ["weights permuted", "scale of the weights"]
    if "int8" in path.name:
        kinds.append("scale of the output")
    kind = str(generator.choice(kinds))
    factor = float(generator.choice([8, 0.125]))
    make = _damaged_onnx if path.suffix == ".onnx" else _damaged_tflite
    place, operator = make(path, target, kind, factor, generator)
    told = kind if kind.startswith("weights") else f"{kind} x {factor:g}"
    return Damage(target, place, f"{told} of {operator} at {place}")


def _damaged_onnx(path, target, kind, factor, generator):
    import onnx

    model = onnx.load(str(path))
    graph = model.graph
    constants = {one.name: one for one in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    readers = {name: node for node in graph.node for name in node.input}
    places = [i for i, node in enumerate(graph.node) if node.op_type in _WEIGHTED]
    place = int(generator.choice(places))
    node = graph.node[place]
    weights = made_by.get(node.input[1])
    scaled = node.input[1] if weights is None else weights.input[1]
    if kind == "scale of the output":
        quantize = readers[node.output[0]]
        assert quantize.op_type == "QuantizeLinear"
        scaled = quantize.input[1]
    if kind == "weights permuted":
        name = node.input[1] if weights is None else weights.input[0]
        _put(onnx, constants[name], lambda values: _permuted(values, generator))
    else:
        _put(onnx, constants[scaled], lambda values: values * np.float32(factor))
    onnx.save(model, str(target))
    return place, node.op_type


def _put(onnx, tensor, change):
    values = onnx.numpy_helper.to_array(tensor)
    tensor.CopyFrom(onnx.numpy_helper.from_array(change(values).astype(values.dtype), tensor.name))


def _permuted(values, generator):
    return generator.permutation(values.ravel()).reshape(values.shape)


def _damaged_tflite(path, target, kind, factor, generator):
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    graph = model.subgraphs[0]
    names = {value: key for key, value in vars(schema.BuiltinOperator).items()}
    types = [names[model.operatorCodes[one.opcodeIndex].builtinCode] for one in graph.operators]
    places = [place for place, name in enumerate(types) if name in _WEIGHTED]
    if kind == "scale of the output":
        places = [p for p in places if not _SAME_SCALE & set(_readers(graph, types, p))]
    place = int(generator.choice(places))
    operator = graph.operators[place]
    weights = graph.tensors[operator.inputs[1]]
    if kind == "scale of the output":
        output = operator.outputs[0]
        graph.tensors[output].quantization.scale = graph.tensors[output].quantization.scale * factor
        # Kernels want the scales of biases to be those of inputs times those of weights.
        for other, name in zip(graph.operators, types, strict=True):
            if name in _WEIGHTED and other.inputs[0] == output and other.inputs[2] >= 0:
                _rescale(model, graph.tensors[other.inputs[2]], factor, keep=True)
    elif kind == "weights permuted":
        data = model.buffers[weights.buffer].data
        dtype = np.float32 if weights.type == schema.TensorType.FLOAT32 else np.int8
        values = _permuted(np.frombuffer(bytes(data), dtype), generator)
        model.buffers[weights.buffer].data = np.frombuffer(values.tobytes(), np.uint8)
    elif weights.type == schema.TensorType.FLOAT32:
        values = np.frombuffer(bytes(model.buffers[weights.buffer].data), np.float32)
        scaled = (values * np.float32(factor)).tobytes()
        model.buffers[weights.buffer].data = np.frombuffer(scaled, np.uint8)
    else:
        weights.quantization.scale = np.asarray(weights.quantization.scale) * factor
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            _rescale(model, graph.tensors[operator.inputs[2]], factor, keep=True)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    target.write_bytes(bytes(builder.Output()))
    return place, types[place]


def _readers(graph, types, place) -> Iterator[str]:
    made = set(map(int, graph.operators[place].outputs))
    for operator, name in zip(graph.operators, types, strict=True):
        if made & set(map(int, operator.inputs)):
            yield name


def _rescale(model, bias, factor, *, keep):
    """Give a bias another scale, and keep what it stands for."""
    bias.quantization.scale = np.asarray(bias.quantization.scale) * factor
    values = np.frombuffer(bytes(model.buffers[bias.buffer].data), np.int32)
    whole = np.rint(values / factor).astype(np.int32) if keep else values
    model.buffers[bias.buffer].data = np.frombuffer(whole.tobytes(), np.uint8)
