import collections
import sys

import numpy as np
import onnx
import pytest

from edge_tester.compilers.coreml import CoreMLCompiler
from edge_tester.compilers.executorch import ExecuTorchCompiler
from edge_tester.compilers.onnx import ONNXCompiler
from edge_tester.compilers.pt2e import PT2ECompiler
from edge_tester.compilers.torch_exported import TorchExportedCompiler
from edge_tester.compilers.torchscript import TorchScriptCompiler
from edge_tester.compilers.tvm import TVMCompiler
from edge_tester.core.errors import CompilationError, ModelError
from edge_tester.core.making.isolation import isolated
from edge_tester.core.making.trial import run_file
from edge_tester.core.model import TrainingPlan
from edge_tester.modelwrappers.classification.pytorch_digits import PyTorchDigitsClassifier
from edge_tester.modelwrappers.frameworks.pytorch import TorchModel
from edge_tester.modelwrappers.generic.executorch_file import ExecuTorchFile
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.modelwrappers.generic.torch_exported_file import TorchExportedFile
from tests.compilers.on_digits import DIGITS_WEIGHTS, OnDigits

TARGETS = ("int8", "dynamic_int8", "weight_only_int8")


class TestInt8(OnDigits):
    cls = PT2ECompiler
    # The logits span about 2.
    tolerance = 0.1

    def test_all_weights_are_integers(self, made):
        assert {"int8": DIGITS_WEIGHTS} == made.artifact.weights.elements


class TestDynamicInt8(OnDigits):
    cls = PT2ECompiler
    options = {"target": "dynamic_int8"}
    tolerance = 0.1


class TestWeightOnlyInt8(TestInt8):
    options = {"target": "weight_only_int8"}


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    """A digits classifier that knows the digits."""
    path = tmp_path_factory.mktemp("trained") / "digits.pth"
    model = PyTorchDigitsClassifier(model_path=path)
    model.train(digits, TrainingPlan(num_epochs=6))
    return model


@pytest.fixture(scope="module")
def programs(trained, digits, tmp_path_factory):
    """That classifier as programs, quantized in each way and in float."""
    folder, made = tmp_path_factory.mktemp("programs"), {}
    for target in TARGETS:
        compiler = PT2ECompiler(compiled_model_path=folder / f"{target}.pt2", target=target)
        made[target] = TorchExportedFile(model_path=compiler.compile(trained, digits).path)
    compiler = TorchExportedCompiler(compiled_model_path=folder / "float.pt2")
    made["float"] = TorchExportedFile(model_path=compiler.compile(trained, digits).path)
    return made


def loaded(model):
    """The same file in a wrapper of its own: one that ran a batch takes no other in a check."""
    own = type(model)(model_path=model.model_path)
    own.load()
    return own


def samples(digits, model):
    """The test split as the model takes it."""
    model = loaded(model)
    specs, _ = model.specs()
    digits.bind(specs)
    found = digits.load(digits.split().test)
    return model.preprocess(found.inputs, specs)[0], found.truth


@pytest.mark.parametrize("target", TARGETS)
def test_quantizing_loses_at_most_a_point(trained, programs, digits, target):
    inputs, truth = samples(digits, trained)
    before, after = (
        np.mean(one.run([inputs])[0].argmax(1) == truth)
        for one in (trained, loaded(programs[target]))
    )
    assert before > 0.9
    assert after >= before - 0.01


@pytest.mark.parametrize("target", ["int8", "weight_only_int8"])
def test_onnx_runtime_answers_as_the_quantized_program(programs, digits, tmp_path, target):
    source = programs[target]
    artifact = ONNXCompiler(compiled_model_path=tmp_path / "m.onnx").compile(source, digits)
    assert {"int8": DIGITS_WEIGHTS} == artifact.weights.elements
    made = ONNXFile(model_path=artifact.path)
    made.load()
    inputs, _ = samples(digits, source)
    expected, actual = (one.run([inputs])[0] for one in (loaded(source), made))
    assert np.array_equal(expected.argmax(1), actual.argmax(1))
    found = collections.Counter(node.op_type for node in onnx.load(artifact.path).graph.node)
    # Two convolutions and a dense layer: their weights; and whatever goes from one to the next.
    assert 3 <= found["DequantizeLinear"]
    assert (target == "int8") == (found["QuantizeLinear"] > 0)


@pytest.mark.parametrize("target", ["int8", "dynamic_int8"])
def test_xnnpack_computes_with_the_integers_of_the_program(programs, digits, tmp_path, target):
    source = programs[target]
    compiler = ExecuTorchCompiler(compiled_model_path=tmp_path / "m.pte")
    artifact = compiler.compile(source, digits)
    in_program = PT2ECompiler().read_weights(source.model_path)
    assert in_program == artifact.weights
    made = ExecuTorchFile(model_path=artifact.path)
    made.load()
    inputs, _ = samples(digits, source)
    source = loaded(source)
    for one in inputs[:40]:
        expected, actual = (model.run([one[None]])[0] for model in (source, made))
        assert expected.argmax() == actual.argmax()


def test_torchscript_keeps_the_rounding(programs, tmp_path):
    compiler = TorchScriptCompiler(compiled_model_path=tmp_path / "m.ts")
    artifact = compiler.compile(programs["int8"], None)
    assert {"int8": DIGITS_WEIGHTS} == artifact.weights.elements
    assert 0 == artifact.facts["self_check"]["largest_difference"]


def test_a_float_program_is_quantized_as_its_network_is(programs, digits, tmp_path):
    compiler = PT2ECompiler(compiled_model_path=tmp_path / "again.pt2")
    made = compiler.compile(programs["float"], digits)
    inputs, _ = samples(digits, programs["float"])
    again = TorchExportedFile(model_path=made.path)
    expected, actual = (loaded(one).run([inputs[:50]])[0] for one in (programs["int8"], again))
    np.testing.assert_array_equal(expected, actual)


@pytest.mark.parametrize("cls", [TVMCompiler, CoreMLCompiler, ExecuTorchCompiler, ONNXCompiler])
def test_a_float_program_is_compiled_as_its_network_is(programs, tmp_path, cls):
    compiler = cls(compiled_model_path=tmp_path / "m")
    artifact = compiler.compile(programs["float"], None)
    assert [DIGITS_WEIGHTS] == list(artifact.weights.elements.values())
    limit = 1e-2 if cls is CoreMLCompiler else 1e-5
    assert artifact.facts["self_check"]["largest_difference"] < limit


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (PT2ECompiler, {}, "PT2ECompiler takes float programs for this"),
        (ExecuTorchCompiler, {"target": "int8"}, "ExecuTorchCompiler takes float programs"),
        (ONNXCompiler, {"target": "int8"}, "that are not quantized yet"),
        (CoreMLCompiler, {}, "CoreMLCompiler takes float programs"),
        (TVMCompiler, {}, "TVMCompiler takes float programs"),
    ],
)
def test_what_is_quantized_is_not_quantized_again(
    programs, digits, tmp_path, cls, options, message
):
    compiler = cls(compiled_model_path=tmp_path / "m", **options)
    with pytest.raises(CompilationError, match=message):
        compiler.compile(programs["int8"], digits)


def test_ranges_are_those_of_the_calibration_samples(programs):
    """Pixels are from 0 to 1, so 255 steps span that."""
    (first,) = [
        node
        for node in programs["int8"].export().graph.nodes
        if "quantize_per_tensor" in str(node.target) and node.args[0].op == "placeholder"
    ]
    scale, zero_point = first.args[1:3]
    assert 1 / 255 == pytest.approx(scale, rel=0.01)
    assert -128 == zero_point


def test_the_batch_stays_open(programs, digits):
    inputs, _ = samples(digits, programs["int8"])
    model = loaded(programs["int8"])
    three = model.run([inputs[:3]])[0]
    one = model.run([inputs[1:2]])[0]
    np.testing.assert_array_equal(three[1:2], one)


def test_equal_models_make_equal_files(trained, programs, digits, tmp_path):
    path = tmp_path / "elsewhere" / "int8.pt2"
    PT2ECompiler(compiled_model_path=path).compile(trained, digits)
    assert programs["int8"].model_path.read_bytes() == path.read_bytes()


def test_a_fresh_process_knows_the_operators(programs):
    """Of a target that has PyTorch alone, where nobody has imported the tools."""
    name = "edge_tester.runtimes.torch_exported.TorchExportedRuntime"
    answers = isolated(run_file, name, programs["int8"].model_path, None)
    assert (1, 10) == answers.runs[0][0].shape


class Fixed(PyTorchDigitsClassifier):
    dynamic_batch = False


def test_a_fixed_batch_stays_fixed(trained, digits, tmp_path):
    model = Fixed(model_path=trained.model_path)
    artifact = PT2ECompiler(compiled_model_path=tmp_path / "one.pt2").compile(model, digits)
    source = TorchExportedFile(model_path=artifact.path)
    executorch = ExecuTorchCompiler(compiled_model_path=tmp_path / "m.pte", batch_size=4)
    with pytest.raises(CompilationError, match="batch_size must be 1, for which alone"):
        executorch.compile(source, digits)
    executorch.batch_size = 1
    assert 1.0 == executorch.compile(source, digits).weights.quantized_share


class Counter(TorchModel):
    """Adds to its inputs how often it ran."""

    input_shapes = ((4,),)

    def build(self):
        import torch

        class Network(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.register_buffer("count", torch.zeros(1))

            def forward(self, values):
                self.count.add_(1)
                return values + self.count

        return Network()


def test_a_state_is_told_and_not_lost(tmp_path):
    model = Counter(model_path=tmp_path / "m.pth")
    model.network = model.build().eval()
    model.save(model.model_path)
    path = tmp_path / "m.pt2"
    TorchExportedCompiler(compiled_model_path=path).compile(model, None)
    source = TorchExportedFile(model_path=path)
    source.load()
    assert ["count"] == source.state_names()
    with pytest.raises(ModelError, match="keeps a state between inferences in count"):
        source.save_to_onnx(tmp_path / "m.onnx")


def test_what_is_exported_names_no_path_of_this_machine(programs):
    content = programs["float"].model_path.read_bytes()
    assert b"stack_trace" not in content
    assert sys.prefix.encode() not in content
