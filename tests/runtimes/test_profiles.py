"""What runtimes tell of their operators: of the same network, each in its own way."""

import importlib.resources

import numpy as np
import pytest

from edge_tester.compilers.tvm import TVMCompiler
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.runtimes.executorch import ExecuTorchRuntime
from edge_tester.runtimes.onnxruntime import ONNXRuntime
from edge_tester.runtimes.openvino import OpenVINORuntime
from edge_tester.runtimes.tflite import TFLiteRuntime
from edge_tester.runtimes.torch_exported import TorchExportedRuntime
from edge_tester.runtimes.torchscript import TorchScriptRuntime
from edge_tester.runtimes.tvm import TVMRuntime
from edge_tester.testing import ProfilesConformance
from tests import small_models

DIGITS = importlib.resources.files("edge_tester.resources") / "digits.tflite"
SHAPES = [[1, 16, 32, 32], [1, 32, 30, 30], [1, 32, 15, 15], [1, 32, 14, 14], [1, 10]]


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    return small_models.write_cnn_onnx(tmp_path_factory.mktemp("models") / "cnn.onnx")


@pytest.fixture(scope="module")
def library(onnx_file, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "cnn.tvm"
    compiler = TVMCompiler(compiled_model_path=path)
    return compiler.compile(ONNXFile(model_path=onnx_file), None).path


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    torch = pytest.importorskip("torch")
    path = tmp_path_factory.mktemp("models") / "cnn.pt"
    example = torch.from_numpy(small_models.cnn_sample())
    torch.jit.save(torch.jit.trace(small_models.torch_cnn(), example), path)
    return path


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    torch = pytest.importorskip("torch")
    path = tmp_path_factory.mktemp("models") / "cnn.pt2"
    example = torch.from_numpy(small_models.cnn_sample())
    torch.export.save(torch.export.export(small_models.torch_cnn(), (example,)), path)
    return path


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """With XNNPACK, and without."""
    torch = pytest.importorskip("torch")
    exir = pytest.importorskip("executorch.exir")
    xnnpack = pytest.importorskip("executorch.backends.xnnpack.partition.xnnpack_partitioner")
    folder, found = tmp_path_factory.mktemp("models"), []
    for number, some in enumerate(([xnnpack.XnnpackPartitioner()], [])):
        example = (torch.from_numpy(small_models.cnn_sample()),)
        exported = torch.export.export(small_models.torch_cnn(), example)
        made = exir.to_edge_transform_and_lower(exported, partitioner=some).to_executorch()
        found.append(folder / f"{number}.pte")
        found[-1].write_bytes(made.buffer)
    return found


class OfTheNetwork(ProfilesConformance):
    @pytest.fixture
    def sample(self):
        return [small_models.cnn_sample()]


def profiled(cls, path, count=20, **options):
    runtime = cls(**options)
    runtime.prepare()
    runtime.load(path, 1)
    return runtime.profile([small_models.cnn_sample()], count)


def shapes_of(profile):
    return [one.shapes[0] for one in profile.operators]


def in_order(wanted, found):
    """Tell whether all that is wanted is found, in this order."""
    rest = iter(found)
    return all(one in rest for one in wanted)


class TestONNXRuntime(OfTheNetwork):
    cls = ONNXRuntime

    @pytest.fixture
    def model_file(self, onnx_file):
        return onnx_file


class TestOpenVINO(OfTheNetwork):
    cls = OpenVINORuntime

    @pytest.fixture
    def model_file(self, onnx_file):
        return onnx_file


class TestTVM(OfTheNetwork):
    cls = TVMRuntime

    @pytest.fixture
    def model_file(self, library):
        return library

    def test_a_fused_function_has_one_time(self, library):
        profile = profiled(TVMRuntime, library)
        types = [one.type for one in profile.operators]
        assert in_order(["fused_conv2d_relu", "max_pool2d"], types)
        assert {"cpu"} == {one.delegate for one in profile.operators}
        # Its layouts are its own.
        sizes = [sorted(shape) for shape in shapes_of(profile)]
        assert in_order(map(sorted, SHAPES), sizes)


class TestTorchScript(OfTheNetwork):
    cls = TorchScriptRuntime
    options = {"input_shapes": ["1,3,32,32"]}

    @pytest.fixture
    def model_file(self, script):
        return script

    def test_an_operator_has_the_time_of_all_that_it_calls(self, script):
        profile = profiled(TorchScriptRuntime, script, input_shapes=("1,3,32,32",))
        calls = "_convolution relu _convolution tanh max_pool2d avg_pool2d flatten linear".split()
        assert calls == [one.type for one in profile.operators]
        # PyTorch tells the shapes of what goes in alone.
        assert {None} == {one.shapes and tuple(one.shapes) for one in profile.operators}


class TestTorchExported(OfTheNetwork):
    cls = TorchExportedRuntime

    @pytest.fixture
    def model_file(self, program):
        return program

    def test_names_and_shapes_are_those_of_the_graph(self, program):
        profile = profiled(TorchExportedRuntime, program)
        assert ["conv2d", "relu", "conv2d_1"] == [one.name for one in profile.operators[:3]]
        assert in_order(SHAPES, shapes_of(profile))
        assert ["float32"] == profile.operators[0].dtypes

    def test_one_function_has_no_operators(self, program):
        runtime = TorchExportedRuntime(mode="compile")
        runtime.prepare()
        runtime.load(program, 1)
        profile = runtime.profile([small_models.cnn_sample()], 3)
        assert ([], True) == (profile.operators, "mode 'eager'" in profile.unavailable)


class TestExecuTorch(OfTheNetwork):
    cls = ExecuTorchRuntime

    @pytest.fixture
    def model_file(self, programs):
        return programs[0]

    def test_what_a_delegate_tells_stands_for_its_call(self, programs):
        profile = profiled(ExecuTorchRuntime, programs[0])
        types = [one.type for one in profile.operators]
        assert 2 == sum(one.startswith("Convolution") for one in types)
        assert "DELEGATE_CALL" not in types
        delegates = {one.type: one.delegate for one in profile.operators}
        assert "XnnpackBackend" == delegates["Max Pooling (NHWC, F32)"]

    def test_a_kernel_has_one_time_with_its_call(self, programs):
        profile = profiled(ExecuTorchRuntime, programs[1])
        types = [one.type for one in profile.operators]
        assert in_order(["convolution.out", "tanh.out", "convolution.out"][:2], types)
        assert "OPERATOR_CALL" not in types
        assert {"ExecuTorch's kernels"} == {one.delegate for one in profile.operators}
        assert profile.total_ns <= profile.whole_ns


class TestTFLite(ProfilesConformance):
    cls = TFLiteRuntime
    options = {"xnnpack": False}
    # Differences are refused where others disturb the blocks.
    always_tells = False

    @pytest.fixture
    def model_file(self):
        return DIGITS

    @pytest.fixture
    def sample(self):
        return [np.random.default_rng(0).random((1, 8, 8, 1), np.float32)]


def test_onnx_runtime_tells_what_really_ran(onnx_file):
    profile = profiled(ONNXRuntime, onnx_file)
    types = [one.type for one in profile.operators]
    # An activation has become part of its convolution.
    assert in_order(["Conv", "Conv", "MaxPool", "AveragePool", "Flatten", "Gemm"], types)
    assert "Relu" not in types
    assert in_order(SHAPES, shapes_of(profile))
    assert {"CPUExecutionProvider"} == {one.delegate for one in profile.operators}
    assert (1000, 20) == (profile.resolution_ns, profile.inferences)
    unoptimized = profiled(ONNXRuntime, onnx_file, graph_optimization_level="disable")
    names = "first relu second tanh pool mean flatten dense".split()
    assert names == [one.name for one in unoptimized.operators]


def test_openvino_names_what_it_fused(onnx_file):
    profile = profiled(OpenVINORuntime, onnx_file)
    first = next(one for one in profile.operators if one.type == "Convolution")
    assert any("relu" in name for name in first.fused)
    assert first.delegate.startswith("CPU ")
    assert in_order(SHAPES, shapes_of(profile))
    assert "mean" == profile.statistic


@pytest.mark.parametrize("kind", ["script", "exported"])
def test_what_a_module_keeps_is_kept_over_a_profile(tmp_path, kind):
    torch = pytest.importorskip("torch")

    class Counts(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(1))

        def forward(self, x):
            self.seen.add_(1)
            return x + self.seen

    path, zeros = tmp_path / "m", np.zeros((1, 4), np.float32)
    if kind == "script":
        torch.jit.save(torch.jit.script(Counts()), path)
        runtime = TorchScriptRuntime(input_shapes=("1,4",))
    else:
        torch.export.save(torch.export.export(Counts(), (torch.zeros(1, 4),)), path)
        runtime = TorchExportedRuntime()
    runtime.prepare()
    runtime.load(path, 1)
    for number in (1, 2, 3):
        runtime.set_inputs([zeros])
        runtime.run()
        assert [number] * 4 == runtime.get_outputs()[0][0].tolist()
        assert runtime.profile([zeros], 5).operators
