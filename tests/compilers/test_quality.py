"""What compilers make of networks that none of them was tried with."""

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from edge_tester.compilers.coreml import CoreMLCompiler
from edge_tester.compilers.executorch import ExecuTorchCompiler
from edge_tester.compilers.onnx import ONNXCompiler
from edge_tester.compilers.tflite import TFLiteCompiler
from edge_tester.compilers.torch_exported import TorchExportedCompiler
from edge_tester.compilers.torchscript import TorchScriptCompiler
from edge_tester.compilers.tvm import TVMCompiler
from edge_tester.core.dataset import Dataset
from edge_tester.core.model import ModelWrapper
from edge_tester.datasets.npz_file import NpzDataset
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from edge_tester.runtimes.executorch import ExecuTorchRuntime
from edge_tester.runtimes.mil import MILRuntime
from edge_tester.runtimes.onnxruntime import ONNXRuntime
from edge_tester.runtimes.openvino import OpenVINORuntime
from edge_tester.runtimes.tflite import TFLiteRuntime
from edge_tester.runtimes.torch_exported import TorchExportedRuntime
from edge_tester.runtimes.torchscript import TorchScriptRuntime
from edge_tester.runtimes.tvm import TVMRuntime
from tests import networks

CALIBRATION, TEST = 200, 32
LEAST_TOP_1 = 0.85


class Way(NamedTuple):
    """One step to a compiled model, and how near to its source that must stay.

    ``difference`` is the largest one from the source, relative to the source's largest value.
    ``decibels`` compares what differs between samples with the error: a constant output
    would be no answer. 8 bits that a tensor fills keep about 50 dB. Here a dozen layers add
    their errors, one range serves all channels of a tensor, and nothing was trained to be
    robust; seen were 18 dB and more, and 34 where activations stay floats. Wrong scales,
    layouts or orders leave none.
    """

    compiler: type
    options: dict
    difference: float = 1e-5
    decibels: float = 0


# For compilers that check themselves in a fresh process, which takes longest. That they pass what
# is good is asked of them elsewhere, and here of all that check themselves in this process.
UNCHECKED = {"self_check": False}
HALF, WEIGHTS, INTEGERS = {"difference": 5e-3}, (1, 30), (1, 16)
WAYS = {
    "coreml": Way(CoreMLCompiler, {"precision": "float32"}),
    "coreml float16": Way(CoreMLCompiler, {}, **HALF),
    "coreml int8": Way(CoreMLCompiler, {"weights": "int8"}, *WEIGHTS),
    "executorch": Way(ExecuTorchCompiler, UNCHECKED),
    "executorch int8": Way(ExecuTorchCompiler, {"target": "int8", **UNCHECKED}, *INTEGERS),
    "onnx": Way(ONNXCompiler, {}),
    "onnx int8": Way(ONNXCompiler, {"target": "int8"}, *INTEGERS),
    "tflite": Way(TFLiteCompiler, {}),
    "tflite float16": Way(TFLiteCompiler, {"target": "float16"}, **HALF),
    "tflite dynamic": Way(TFLiteCompiler, {"target": "dynamic"}, *WEIGHTS),
    "tflite weight-only": Way(TFLiteCompiler, {"target": "weight-only"}, *WEIGHTS),
    "tflite int8": Way(TFLiteCompiler, {"target": "int8"}, *INTEGERS),
    "torch-exported": Way(TorchExportedCompiler, {}),
    "torchscript": Way(TorchScriptCompiler, {}),
    "tvm": Way(TVMCompiler, UNCHECKED),
}
RUNTIMES = {
    "coreml": [MILRuntime],
    "executorch": [ExecuTorchRuntime],
    "onnx": [ONNXRuntime, OpenVINORuntime],
    "tflite": [TFLiteRuntime],
    "torch-exported": [TorchExportedRuntime],
    "torchscript": [TorchScriptRuntime],
    "tvm": [TVMRuntime],
}
FILES = {"onnx": ONNXFile, "tflite": TFLiteFile}
ALL = "separable gated branches two_ends sequence dense recurrent"
# A slow compiler gets some of the networks, no two of its ways the same ones.
CASES = [
    ("torch", "onnx", ALL),
    ("torch", "onnx int8", "separable branches recurrent"),
    ("torch", "coreml", "branches dense recurrent"),
    ("torch", "coreml float16", "gated recurrent"),
    ("torch", "coreml int8", "separable"),
    ("torch", "executorch", "two_ends"),
    ("torch", "executorch int8", "dense"),
    ("torch", "torchscript", "branches two_ends recurrent"),
    ("torch", "torch-exported", "branches two_ends recurrent"),
    ("torch", "tvm", "dense recurrent"),
    ("torch", "onnx > tvm", "gated branches"),
    ("keras", "tflite", ALL),
    ("keras", "tflite float16", "gated"),
    ("keras", "tflite dynamic", "branches"),
    ("keras", "tflite weight-only", "two_ends"),
    ("keras", "tflite int8", "separable gated branches two_ends recurrent"),
    ("keras", "tflite > tvm", "separable"),
    ("keras", "onnx", "sequence recurrent"),
    ("keras", "onnx int8", "two_ends"),
    ("keras", "coreml", "sequence two_ends recurrent"),
]


class Source(NamedTuple):
    model: ModelWrapper
    dataset: Dataset
    values: list[np.ndarray]
    expected: list[np.ndarray]


@pytest.fixture(scope="module")
def source_of(tmp_path_factory):
    """Makes each network and its samples once."""

    @functools.cache
    def made(framework, network):
        folder = tmp_path_factory.mktemp(network)
        model = getattr(networks, f"{framework}_model")(network, folder)
        model.load()
        shapes = [spec.shape[1:] for spec in model.specs()[0]]
        arrays = networks.samples(shapes, CALIBRATION + TEST)
        path = folder / "samples.npz"
        np.savez(path, **{f"x_{place}": one for place, one in enumerate(arrays)})
        dataset = NpzDataset(
            dataset_path=path,
            calibration_fraction=CALIBRATION / (CALIBRATION + TEST),
            validation_fraction=0,
            test_fraction=TEST / (CALIBRATION + TEST),
        )
        dataset.prepare()
        values = list(dataset.load(dataset.split().test).inputs)
        return Source(model, dataset, values, model.run(values))

    return made


@pytest.fixture(scope="module")
def artifact_of(source_of, tmp_path_factory):
    """Compiles each network each way once."""

    @functools.cache
    def made(framework, network, steps):
        source = source_of(framework, network)
        *before, last = steps
        model = source.model
        if before:
            earlier = made(framework, network, tuple(before))
            model = FILES[earlier.format](model_path=earlier.path)
        path: Path = tmp_path_factory.mktemp("compiled") / "model"
        way = WAYS[last]
        compiler = way.compiler(compiled_model_path=path, **way.options)
        return compiler.compile(model, source.dataset)

    return made


def answers(runtime, path, values):
    runtime.prepare()
    inputs, outputs = runtime.load(path, 1)
    found = []
    for number in range(len(values[0])):
        sample = [one[number : number + 1] for one in values]
        runtime.set_inputs([s.conform(one) for s, one in zip(inputs, sample, strict=True)])
        runtime.run()
        results = zip(outputs, runtime.get_outputs(), strict=True)
        found.append([spec.dequantize(np.array(one)) for spec, one in results])
    return [np.concatenate(one).astype(np.float32) for one in zip(*found, strict=True)]


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("framework", "way", "network"),
    [(framework, way, network) for framework, way, names in CASES for network in names.split()],
)
def test_a_compiled_network_answers_like_its_source(
    source_of, artifact_of, framework, way, network
):
    steps = tuple(way.split(" > "))
    source, artifact = source_of(framework, network), artifact_of(framework, network, steps)
    for runtime in RUNTIMES[artifact.format]:
        found = answers(runtime(), artifact.path, source.values)
        for expected, actual in zip(source.expected, found, strict=True):
            assert expected.shape == actual.shape
            error = expected - actual
            assert np.abs(error).max() < WAYS[steps[-1]].difference * np.abs(expected).max()
            signal = np.square(expected - expected.mean(0)).sum()
            noise = np.square(error).sum() + 1e-12
            assert 10 * np.log10(signal / noise) > WAYS[steps[-1]].decibels
            assert np.mean(expected.argmax(-1) == actual.argmax(-1)) >= LEAST_TOP_1
