import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edge_tester.resources
from edge_tester.compilers._tvm import library, lowering, targets
from edge_tester.compilers._tvm.targets import debian_triple
from edge_tester.compilers.onnx import ONNXCompiler
from edge_tester.compilers.tflite import TFLiteCompiler
from edge_tester.compilers.tvm import TVMCompiler
from edge_tester.core.errors import CompilationError, ModelError
from edge_tester.modelwrappers.frameworks.pytorch import TorchModel
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from edge_tester.runtimes.tvm import TVMRuntime
from tests.compilers.on_digits import DIGITS_WEIGHTS, OnDigits

RESOURCES = Path(edge_tester.resources.__file__).parent
ARM_64 = 183  # e_machine of ELF
CROSS_COMPILER = "aarch64-linux-gnu-gcc"


class TestONNX(OnDigits):
    cls = TVMCompiler

    @pytest.fixture
    def model(self):
        return ONNXFile(model_path=RESOURCES / "digits.onnx")


class TestTFLite(TestONNX):
    @pytest.fixture
    def model(self):
        return TFLiteFile(model_path=RESOURCES / "digits.tflite")


class TestTorch(OnDigits):
    cls = TVMCompiler


def saved(model):
    import torch

    torch.manual_seed(0)
    model.network = model.build().eval()
    model.save(model.model_path)
    return model


class Mixed(TorchModel):
    """What convolutional networks have and the digits' one has not."""

    input_shapes = ((3, 20, 20),)

    def build(self):
        from torch import nn

        class Residual(nn.Module):
            def __init__(self):
                super().__init__()
                self.first = nn.Sequential(
                    nn.Conv2d(3, 24, 3, 2, 1), nn.BatchNorm2d(24), nn.ReLU6()
                )
                self.depthwise = nn.Sequential(nn.Conv2d(24, 24, 3, 1, 1, groups=24), nn.SiLU())
                self.grouped = nn.Sequential(nn.Conv2d(24, 24, 1, groups=4), nn.Hardswish())
                self.up = nn.ConvTranspose2d(24, 7, 2, 2)
                self.last = nn.Linear(7, 5)

            def forward(self, x):
                x = self.first(x)
                x = self.grouped(self.depthwise(x)) + x
                return self.last(self.up(x).mean((2, 3))).softmax(1)

        return Residual()


class Attention(TorchModel):
    """Patches of an image, and attention between them."""

    input_shapes = ((3, 16, 16),)

    def build(self):
        from torch import nn

        class Patches(nn.Module):
            def __init__(self):
                super().__init__()
                self.embed = nn.Conv2d(3, 32, 4, 4)
                self.layer = nn.TransformerEncoderLayer(32, 2, 48, batch_first=True)

            def forward(self, x):
                return self.layer(self.embed(x).flatten(2).transpose(1, 2)).mean(1)

        return Patches()


def compiled(model, path, **options):
    # Answers are compared here; its own check is tried by the suite, and takes a process each time.
    compiler = TVMCompiler(compiled_model_path=path, self_check=False, **options)
    return compiler.compile(model, None)


def answers(path, values, num_threads=1):
    runtime = TVMRuntime(num_threads=num_threads)
    runtime.prepare()
    runtime.load(path, len(values))
    runtime.set_inputs([values])
    runtime.run()
    return runtime.get_outputs()[0]


def images(shape, batch_size):
    generator = np.random.default_rng(0)
    return generator.uniform(-1, 1, (batch_size, *shape)).astype(np.float32)


def largest_relative_difference(expected, actual):
    return np.abs(expected - actual).max() / np.abs(expected).max()


@pytest.mark.parametrize(("through", "batch_size"), [("torch", 1), ("onnx", 3)])
@pytest.mark.parametrize("kind", [Mixed, Attention])
def test_what_networks_are_made_of(tmp_path, kind, through, batch_size):
    model = saved(kind(model_path=tmp_path / "model.pth"))
    values = images(*kind.input_shapes, batch_size)
    (expected,) = model.run([values])
    if through == "onnx":
        model.save_to_onnx(tmp_path / "model.onnx")
        model = ONNXFile(model_path=tmp_path / "model.onnx")
    artifact = compiled(model, tmp_path / "model.tvm", batch_size=batch_size)
    assert largest_relative_difference(expected, answers(artifact.path, values)) < 1e-5
    assert largest_relative_difference(expected, answers(artifact.path, values, 2)) < 1e-5


@pytest.mark.parametrize("opt_level", [0, 3])
def test_levels_of_optimization(tmp_path, opt_level):
    model = ONNXFile(model_path=RESOURCES / "digits.onnx")
    artifact = compiled(model, tmp_path / "model.tvm", opt_level=opt_level)
    assert {"float32": DIGITS_WEIGHTS} == artifact.weights.elements
    values = images((8, 8, 1), 1)
    model.load()
    (expected,) = model.run([values])
    assert largest_relative_difference(expected, answers(artifact.path, values)) < 1e-5


def test_every_convolution_is_scheduled(monkeypatch, tmp_path):
    scheduled = []
    applied = lowering.schedules.applied

    def recorded(tvm, module, lanes):
        module = applied(tvm, module, lanes)
        for name, function in module.functions_items():
            if isinstance(function, tvm.tirx.PrimFunc):
                done = bool(function.attrs.get("tirx.is_scheduled"))
                scheduled.append((name.name_hint, done, function.script()))
        return module

    monkeypatch.setattr(lowering.schedules, "applied", recorded)
    model = saved(Mixed(model_path=tmp_path / "model.pth"))
    compiled(model, tmp_path / "model.tvm")
    convolutions = [one for one in scheduled if "conv2d" in one[0] and "transpose" not in one[0]]
    assert len(convolutions) == 3
    for name, done, text in convolutions:
        assert done, name
        assert "T.vectorized" in text and "nhwc" in text, name


def test_weights_of_quantized_onnx_are_told_as_they_came_out(digits, tmp_path):
    source = ONNXFile(model_path=RESOURCES / "digits.onnx")
    path = tmp_path / "int8.onnx"
    ONNXCompiler(compiled_model_path=path, target="int8").compile(source, digits)
    model = ONNXFile(model_path=path)
    artifact = compiled(model, tmp_path / "model.tvm")
    assert {"float32": DIGITS_WEIGHTS} == artifact.weights.elements
    values = digits.load(digits.split().test[:8]).inputs[0][:1]
    model.load()
    (expected,) = model.run([values])
    # Sums of integers are exact, those of floats are not: one step of a scale may differ.
    assert largest_relative_difference(expected, answers(artifact.path, values)) < 0.02


def test_quantized_tflite_is_refused(digits, tmp_path):
    source = TFLiteFile(model_path=RESOURCES / "digits.tflite")
    path = tmp_path / "int8.tflite"
    TFLiteCompiler(compiled_model_path=path, target="int8").compile(source, digits)
    with pytest.raises(CompilationError, match="int8.tflite is quantized"):
        compiled(TFLiteFile(model_path=path), tmp_path / "model.tvm")


@pytest.mark.skipif(shutil.which(CROSS_COMPILER) is None, reason=f"needs {CROSS_COMPILER}")
@pytest.mark.parametrize("target", ["aarch64", "aarch64-a72", "aarch64-a76"])
def test_other_processors(tmp_path, target):
    model = ONNXFile(model_path=RESOURCES / "digits.onnx")
    artifact = compiled(model, tmp_path / "model.tvm", target=target)
    assert {"float32": DIGITS_WEIGHTS} == artifact.weights.elements
    header = artifact.path.read_bytes()[:20]
    assert (b"\x7fELF", ARM_64) == (header[:4], struct.unpack_from("<H", header, 18)[0])


def test_missing_cross_compiler_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(targets.shutil, "which", lambda name: None)
    model = ONNXFile(model_path=RESOURCES / "digits.onnx")
    with pytest.raises(CompilationError, match=f"{CROSS_COMPILER} .* package gcc-aarch64"):
        compiled(model, tmp_path / "model.tvm", target="aarch64-a72")


@pytest.mark.parametrize(
    "target",
    [
        "raspberry-pi/4b-aarch64",
        json.dumps({"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a72"}),
    ],
)
def test_targets_of_tvm_are_taken(target):
    import tvm

    found = targets.parsed(tvm, target, "test")
    assert ("llvm", "cortex-a72") == (found.kind.name, found.attrs["mcpu"])


@pytest.mark.parametrize("target", ["lvm", "llvm -mcpu=cortex-a72", '{"kind":', '{"kind": "no"}'])
def test_unknown_targets_are_refused(tmp_path, target):
    model = ONNXFile(model_path=RESOURCES / "digits.onnx")
    with pytest.raises(CompilationError, match="must be llvm, aarch64, .* got"):
        compiled(model, tmp_path / "model.tvm", target=target)


def test_open_sizes_other_than_the_batch_are_named(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    shape = ["batch", "length"]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    path = tmp_path / "open.onnx"
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    with pytest.raises(CompilationError, match="dimension 1 of input 'x'"):
        compiled(ONNXFile(model_path=path), tmp_path / "model.tvm")


def test_weights_of_other_files_are_not_guessed(tmp_path):
    path = tmp_path / "model.tvm"
    path.write_bytes(b"\x7fELF and so on")
    with pytest.raises(ModelError, match="no library that TVMCompiler made"):
        library.weights(path)


def test_terminal_stays_clean(tmp_path):
    script = (
        "import sys; from pathlib import Path\n"
        "from edge_tester.compilers.tvm import TVMCompiler\n"
        "from edge_tester.modelwrappers.generic.onnx_file import ONNXFile\n"
        "model = ONNXFile(model_path=Path(sys.argv[1]))\n"
        "TVMCompiler(compiled_model_path=Path(sys.argv[2])).compile(model, None)\n"
    )
    command = [sys.executable, "-c", script, RESOURCES / "digits.onnx", tmp_path / "m.tvm"]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ("", "") == (finished.stdout, finished.stderr)


@pytest.mark.parametrize(
    ("triple", "debian"),
    [
        ("aarch64-linux-gnu", "aarch64-linux-gnu"),
        ("aarch64-unknown-linux-gnu", "aarch64-linux-gnu"),
        ("armv7l-linux-gnueabihf", "arm-linux-gnueabihf"),
        ("armv6-unknown-linux-gnueabihf", "arm-linux-gnueabihf"),
        ("x86_64-pc-linux-gnu", "x86_64-linux-gnu"),
        ("riscv64-linux-gnu", "riscv64-linux-gnu"),
        ("arm64-apple-darwin", ""),
        ("aarch64-linux-android", ""),
        ("x86_64-linux-musl", ""),
    ],
)
def test_hints_name_packages_that_debian_has(triple, debian):
    assert debian == debian_triple(triple)
