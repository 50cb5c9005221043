"""Compiling through as many formats as it takes."""

from pathlib import Path

import numpy as np
import onnx
import pytest

import edge_tester.resources
from edge_tester.compilers.onnx import ONNXCompiler
from edge_tester.compilers.tflite import TFLiteCompiler
from edge_tester.compilers.torch_exported import TorchExportedCompiler
from edge_tester.core.errors import CompilationError
from edge_tester.core.making.chain import compile_model, links_between
from edge_tester.datasets.digits import DigitsDataset
from edge_tester.modelwrappers.classification.pytorch_digits import PyTorchDigitsClassifier
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from edge_tester.runtimes.onnxruntime import ONNXRuntime
from tests.runs import measured


class QuantizingCompiler(ONNXCompiler):
    """Takes ONNX alone, so that every other model needs a link before it."""

    input_formats = ("onnx",)


class CompilerOfNothing(ONNXCompiler):
    input_formats = ("no-such-format",)


@pytest.fixture
def model(tmp_path) -> PyTorchDigitsClassifier:
    model = PyTorchDigitsClassifier(model_path=tmp_path / "digits.pth")
    model.network = model.build().eval()
    model.save(model.model_path)
    return model


def test_a_compiler_that_takes_the_format_needs_no_link():
    assert [] == links_between("onnx", QuantizingCompiler)


def test_the_shortest_chain_is_found():
    assert [ONNXCompiler] == links_between("torch", QuantizingCompiler)


class CompilerOfPrograms(ONNXCompiler):
    input_formats = ("torch-exported",)


def test_what_quantizes_is_never_a_link_by_itself():
    """By name, pt2e comes first of those that make a program of a network."""
    assert [TorchExportedCompiler] == links_between("torch", CompilerOfPrograms)
    assert [] == links_between("torch", ONNXCompiler)


@pytest.mark.parametrize("format", ["echo", "keras"])
def test_a_missing_link_is_named(format):
    with pytest.raises(CompilationError, match="CompilerOfNothing takes no-such-format") as caught:
        links_between(format, CompilerOfNothing)
    assert repr(format) in str(caught.value)
    assert ("no compiler takes that" in str(caught.value)) == (format == "echo")
    assert ("tflite" in str(caught.value)) == (format == "keras")


def test_a_chain_is_told_and_calibrated_as_the_first_model_is_fed(model, tmp_path):
    told, dataset = [], DigitsDataset()
    dataset.prepare()
    compiler = QuantizingCompiler(
        compiled_model_path=tmp_path / "int8.onnx", target="int8", model_framework="torch"
    )
    artifact = compile_model(compiler, model, dataset, told.append)
    way = "torch -> onnx (ONNXCompiler) -> onnx (QuantizingCompiler)"
    assert [f"Compiling {model.model_path}: {way}"] == told
    assert 1.0 == artifact.weights.quantized_share
    assert ["onnx", "torch"] == [artifact.parent.format, artifact.parent.parent.format]
    assert model.artifact().sha256 == artifact.parent.parent.sha256
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(artifact.path).graph.node}
    specs, _ = model.specs()
    inputs = model.preprocess(dataset.load(np.arange(8)).inputs, specs)
    (expected,) = model.run(inputs)
    compiled = ONNXFile(model_path=artifact.path)
    compiled.load()
    (found,) = compiled.run(inputs)
    assert np.abs(expected - found).max() < 0.1 * np.abs(expected).max()


def test_what_the_user_says_of_the_first_model_is_checked(model, tmp_path):
    compiler = QuantizingCompiler(compiled_model_path=tmp_path / "x.onnx", model_framework="keras")
    with pytest.raises(CompilationError, match="model_framework is 'keras'"):
        compile_model(compiler, model, None)


def test_a_direct_compiler_tells_what_it_does(tmp_path):
    told = []
    path = Path(edge_tester.resources.__file__).with_name("digits.tflite")
    compiler = TFLiteCompiler(compiled_model_path=tmp_path / "copy.tflite")
    compile_model(compiler, TFLiteFile(model_path=path), None, told.append)
    assert [f"Compiling {path}: tflite -> tflite (TFLiteCompiler)"] == told


def test_every_step_is_in_the_artifact_and_in_the_record(model, tmp_path):
    """Options, packages and facts of each, in the order of the work."""
    compiler = QuantizingCompiler(compiled_model_path=tmp_path / "int8.onnx", target="int8")
    dataset = DigitsDataset(limit=3)
    record = measured(model, dataset, ONNXRuntime(), compiler)
    first, second = [part for part in record.components if part.role == "compiler"]
    assert ["ONNXCompiler", "QuantizingCompiler"] == [
        part.name.rpartition(".")[2] for part in (first, second)
    ]
    assert ["default", "int8"] == [part.options["target"] for part in (first, second)]
    assert first.facts["self_check"]["run"] and second.facts["self_check"]["run"]
    assert "calibrated" in second.facts and "calibrated" not in first.facts
    for part in (first, second):
        assert {"onnx", "onnxruntime"} <= set(part.versions)
        # What decided what came out is among the versions of the machine that made it.
        assert part.versions.items() <= record.host.versions.items()
    artifact = compile_model(compiler, model, dataset)
    assert artifact.parent.facts["self_check"]["run"]
    assert first.versions == artifact.parent.tool_versions
    assert (first.options["target"], second.facts) == ("default", artifact.facts)
