import shutil
import subprocess
import sys

import numpy as np
import pytest

from edge_tester.compilers.tvm import TVMCompiler
from edge_tester.core.errors import ModelError
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.runtimes.tvm import TVMRuntime
from edge_tester.testing import RuntimeConformance
from tests import small_models

needs_cross_compiler = pytest.mark.skipif(
    shutil.which("aarch64-linux-gnu-gcc") is None, reason="needs aarch64-linux-gnu-gcc"
)


def compiled(folder, name="small.tvm", **options):
    source = ONNXFile(model_path=small_models.write_onnx(folder / "small.onnx"))
    compiler = TVMCompiler(compiled_model_path=folder / name, self_check=False, **options)
    return compiler.compile(source, None).path


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("models"))


class TestTVMRuntime(RuntimeConformance):
    cls = TVMRuntime
    supports_batching = False

    @pytest.fixture
    def model_file(self, library):
        return library

    @pytest.fixture
    def example(self):
        values = small_models.sample((64,))
        return [values], [small_models.answer(values)]


class TestTwoThreads(TestTVMRuntime):
    options = {"num_threads": 2}


def load(path, batch_size=1):
    runtime = TVMRuntime()
    runtime.prepare()
    return runtime, runtime.load(path, batch_size)


def answer(runtime, values):
    runtime.set_inputs([values])
    runtime.run()
    return runtime.get_outputs()[0]


def test_batch_is_that_of_the_library(tmp_path):
    path = compiled(tmp_path, batch_size=4)
    runtime, ((spec,), _) = load(path, 4)
    assert ((4, 64), "x") == (spec.shape, spec.name)
    values = np.repeat(small_models.sample((64,)), 4, axis=0)
    assert np.allclose(small_models.answer(values), answer(runtime, values), atol=1e-5)
    with pytest.raises(ModelError, match="fixed at 4, got 3"):
        load(path, 3)


def test_file_that_was_replaced_is_loaded_anew(tmp_path):
    path = compiled(tmp_path)
    runtime, _ = load(path)
    values = small_models.sample((64,))
    expected = answer(runtime, values)
    compiled(tmp_path, "other.tvm", batch_size=2).replace(path)
    runtime, ((spec,), _) = load(path, 2)
    assert (2, 64) == spec.shape
    assert np.allclose(expected, answer(runtime, np.repeat(values, 2, axis=0))[:1], atol=1e-6)


def aligned(shape):
    memory = np.zeros(np.prod(shape) * 4 + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + np.prod(shape) * 4].view(np.float32).reshape(shape)


def test_aligned_inputs_are_not_copied(library):
    runtime, _ = load(library)
    values = aligned((1, 64))
    runtime.set_inputs([values])
    # What is written after that is what the model reads.
    values[:] = small_models.sample((64,))
    runtime.run()
    assert np.allclose(small_models.answer(values), runtime.get_outputs()[0], atol=1e-5)


def test_library_without_description_is_refused(tmp_path):
    import tvm

    path = tmp_path / "foreign.so"
    x = tvm.te.placeholder((4,), name="x")
    y = tvm.te.compute((4,), lambda i: x[i] + 1.0, name="y")
    tvm.compile(tvm.te.create_prim_func([x, y]), "llvm").export_library(str(path))
    with pytest.raises(ModelError, match=r"foreign.so is no library that TVMCompiler made"):
        load(path)


@needs_cross_compiler
def test_library_for_another_processor_is_refused(tmp_path):
    # The description is read before the library, which its own loader then refuses.
    path = compiled(tmp_path, target="aarch64-a72")
    with pytest.raises(ModelError, match="made for .*cortex-a72"):
        load(path)


def test_facts_tell_what_runs(library):
    facts = load(library)[0].facts()
    assert ("cpu", 1, True) == (
        facts["device"],
        facts["num_threads"],
        facts["model_is_native_code"],
    )
    assert '"kind":"llvm"' in facts["target"]


def test_target_needs_no_framework(library):
    script = (
        "import sys, numpy; from pathlib import Path\n"
        # What is not installed cannot be imported either.
        "sys.modules.update(dict.fromkeys(('torch', 'onnx', 'onnxruntime', 'tflite')))\n"
        "from edge_tester.runtimes.tvm import TVMRuntime\n"
        "runtime = TVMRuntime(); runtime.prepare(); runtime.load(Path(sys.argv[1]), 1)\n"
        "runtime.set_inputs([numpy.ones((1, 64), numpy.float32)]); runtime.run()\n"
        "print(runtime.get_outputs()[0].shape)\n"
    )
    command = [sys.executable, "-c", script, library]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ("(1, 10)\n", "") == (finished.stdout, finished.stderr)
