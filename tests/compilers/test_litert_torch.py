import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_tester.compilers.litert_torch import LiteRTTorchCompiler
from edge_tester.compilers.tflite import TFLiteCompiler
from edge_tester.core.errors import CompilationError
from edge_tester.core.making.chain import compile_model, links_between
from edge_tester.core.making.toolenvironment import default_tools_folder, run_python, tool_python
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from tests.compilers.on_digits import DIGITS_WEIGHTS, OnDigits

# The real tool: made once and kept where everything that can be made again is.
TOOLS = Path(__file__).parents[2] / "build" / "tools"
# Whichever test is the first one makes the tool's environment.
pytestmark = pytest.mark.timeout(1200)


class TestLiteRTTorch(OnDigits):
    cls = LiteRTTorchCompiler
    options = {"tools_directory": str(TOOLS)}


def test_batches_keep_the_order_of_dimensions(torch_digits, tmp_path):
    compiler = LiteRTTorchCompiler(
        compiled_model_path=tmp_path / "m.tflite", batch_size=3, tools_directory=TOOLS
    )
    artifact = compiler.compile(torch_digits, None)
    assert {"float32": DIGITS_WEIGHTS} == artifact.weights.elements
    assert {"litert-torch", "torch", "ai-edge-litert"} == set(artifact.facts) - {"self_check"}
    result = TFLiteFile(model_path=artifact.path)
    result.load()
    assert [(3, 1, 8, 8)] == [spec.shape for spec in result.specs()[0]]
    values = np.random.default_rng(0).random((3, 1, 8, 8), np.float32)
    expected, actual = torch_digits.run([values])[0], result.run([values])[0]
    np.testing.assert_allclose(expected, actual, atol=1e-5)


def test_it_is_the_way_from_torch_to_tflite():
    assert [LiteRTTorchCompiler] == links_between("torch", TFLiteCompiler)


def test_a_torch_model_becomes_int8(torch_digits, digits, tmp_path, monkeypatch):
    # Links of a chain have their default options.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    default_tools_folder().parent.mkdir(parents=True)
    default_tools_folder().symlink_to(TOOLS)
    compiler = TFLiteCompiler(compiled_model_path=tmp_path / "m.tflite", target="int8")
    # Where this test is the first one, the link has nothing to find yet.
    TOOLS.mkdir(parents=True, exist_ok=True)
    artifact = compile_model(compiler, torch_digits, digits)
    assert {"int8": DIGITS_WEIGHTS} == artifact.weights.elements
    assert "tflite" == artifact.parent.format
    assert "torch" == artifact.parent.parent.format


def test_an_interpreter_without_the_tool_says_so_in_one_line(torch_digits, tmp_path):
    compiler = LiteRTTorchCompiler(
        compiled_model_path=tmp_path / "m.tflite", litert_torch_python=Path(sys.executable)
    )
    with pytest.raises(CompilationError) as caught:
        compiler.compile(torch_digits, None)
    assert (
        "LiteRTTorchCompiler: litert-torch failed with exit status 1: "
        "ModuleNotFoundError: No module named 'litert_torch'"
    ) == str(caught.value)


def test_an_interpreter_that_is_none_is_named(torch_digits, tmp_path):
    compiler = LiteRTTorchCompiler(
        compiled_model_path=tmp_path / "m.tflite", litert_torch_python=tmp_path / "no-python"
    )
    with pytest.raises(CompilationError, match="no-python cannot be run: No such file"):
        compiler.compile(torch_digits, None)


@pytest.fixture
def project(tmp_path):
    """A package that pip installs without any index."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "answer.py").write_text("VALUE = 42\n")
    (folder / "setup.py").write_text(
        "from setuptools import setup\nsetup(name='answer', version='1', py_modules=['answer'])\n"
    )
    wheel = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([sys.executable, "-m", *wheel, "-w", tmp_path, folder], check=True)
    return str(next(tmp_path.glob("*.whl")))


def test_an_environment_is_made_once_and_apart(project, tmp_path, monkeypatch):
    tools = tmp_path / "tools"
    python = tool_python("answer", [project], tools)
    assert [python.parents[1]] == list(tools.iterdir())
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "answer.py").write_text("VALUE = 'of another environment'\n")
    assert "42\n" == run_python(python, ["-c", "import answer; print(answer.VALUE)"], "answer")
    made = python.parents[1].stat().st_ctime_ns
    assert python == tool_python("answer", [project], tools)
    assert made == python.parents[1].stat().st_ctime_ns
    # numpy is here, and not there.
    with pytest.raises(CompilationError, match="answer failed .* No module named 'numpy'"):
        run_python(python, ["-c", "import numpy"], "answer")


def test_half_an_environment_is_never_left(tmp_path):
    missing = str(tmp_path / "missing-1-py3-none-any.whl")
    with pytest.raises(CompilationError, match="^answer failed .*missing-1-py3-none-any.whl"):
        tool_python("answer", [missing], tmp_path / "tools")
    assert [] == list((tmp_path / "tools").iterdir())
