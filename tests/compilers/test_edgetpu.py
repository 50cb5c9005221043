import json
import os
import sys
from pathlib import Path

import pytest

import edge_tester.resources
from edge_tester.compilers._shared.flatbuffer import Flatbuffer
from edge_tester.compilers._tflite.edgetpu import EdgeTPULog
from edge_tester.compilers.tflite import TFLiteCompiler
from edge_tester.core.errors import BackendMissingError, CompilationError
from edge_tester.modelwrappers.generic.keras_file import KerasFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from edge_tester.runtimes.tflite import TFLiteRuntime
from tests.runs import measured

DIGITS = Path(edge_tester.resources.__file__).parent / "digits.tflite"
# In the form that https://coral.ai/docs/edgetpu/compiler/ shows.
LOG = """\
Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 557 ms.

Input model: model.tflite
Input size: 4.08MiB
Output model: model_edgetpu.tflite
Output size: 4.25MiB
On-chip memory used for caching model parameters: 3.96MiB
On-chip memory remaining for caching model parameters: 2.91MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 9
Operation log: model_edgetpu.log

Model successfully compiled but not all operations are supported by the Edge TPU. A percentage \
of the model will instead run on the CPU, which is slower.
Number of operations that will run on Edge TPU: 5
Number of operations that will run on CPU: 4

Operator                       Count      Status

CONV_2D                        2          Mapped to Edge TPU
CONV_2D                        1          More than one subgraph is not supported
MAX_POOL_2D                    2          Mapped to Edge TPU
FULLY_CONNECTED                1          Mapped to Edge TPU
QUANTIZE                       1          Operation is otherwise supported, but not mapped due \
to some unspecified limitation
ADD                            2          More than one subgraph is not supported
"""
LIMITATION = "Operation is otherwise supported, but not mapped due to some unspecified limitation"
LEFT = {
    "CONV_2D": {"More than one subgraph is not supported": 1},
    "QUANTIZE": {LIMITATION: 1},
    "ADD": {"More than one subgraph is not supported": 2},
}
MAPPED = {"CONV_2D": 2, "MAX_POOL_2D": 2, "FULLY_CONNECTED": 1}


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Put a command named edgetpu_compiler on the PATH.

    Coral's own is proprietary and cannot be installed with this project. What stands for it
    records its arguments, copies the model to where the real one writes its result, prints a
    log and ends with a status.
    """
    folder = tmp_path / "bin"
    folder.mkdir()

    def install(log=LOG, status=0, writes=True):
        (folder / "log").write_text(log)
        script = folder / "edgetpu_compiler"
        script.write_text(
            f"#!{sys.executable}\n"
            "import json, pathlib, shutil, sys\n"
            "here = pathlib.Path(__file__).parent\n"
            "(here / 'arguments').write_text(json.dumps(sys.argv[1:]))\n"
            "model = pathlib.Path(sys.argv[-1])\n"
            "folder = pathlib.Path(sys.argv[sys.argv.index('--out_dir') + 1])\n"
            f"if {writes}: shutil.copyfile(model, folder / (model.stem + '_edgetpu.tflite'))\n"
            "print((here / 'log').read_text())\n"
            f"sys.exit({status})\n"
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
        return folder

    return install


def compiler_in(folder, **options):
    path = folder / "out" / "digits.tflite"
    return TFLiteCompiler(compiled_model_path=path, target="edgetpu", **options)


def test_log_tells_where_each_operation_runs_and_why():
    log = EdgeTPULog.parse(LOG)
    assert "16.0.384591198" == log.version
    assert MAPPED == log.mapped
    assert LEFT == log.left


def test_log_without_a_table_maps_nothing():
    assert EdgeTPULog("", {}, {}) == EdgeTPULog.parse("Internal compiler error. Aborting!\n")


def test_the_tool_is_given_int8_and_its_result_taken(tool, digits, tmp_path):
    folder = tool()
    types = {"inference_input_type": "uint8", "inference_output_type": "uint8"}
    artifact = compiler_in(tmp_path, **types).compile(TFLiteFile(model_path=DIGITS), digits)
    *arguments, model = json.loads((folder / "arguments").read_text())
    assert ["--show_operations", "--out_dir", str(Path(model).parent)] == arguments
    assert 1 == artifact.weights.quantized_share
    found = Flatbuffer.read(artifact.path, "test").input_and_output_types()
    assert (["uint8"], ["uint8"]) == found
    # Beside the result there is nothing, and what was in between is gone.
    assert [artifact.path] == list(artifact.path.parent.iterdir())
    assert not Path(model).exists()


def test_the_artifact_tells_what_runs_where(tool, digits, tmp_path):
    tool()
    artifact = compiler_in(tmp_path).compile(TFLiteFile(model_path=DIGITS), digits)
    assert {
        "edgetpu_compiler": "16.0.384591198",
        "operations on the Edge TPU": MAPPED,
        "operations on the CPU": LEFT,
        "self_check": {"run": False, "reason": "it was compiled for the Edge TPU"},
        "calibrated": {"0": [0.0, 1.0]},
        "calibration": {
            "source": "data set",
            "dataset": "edge_tester.datasets.digits.DigitsDataset",
            "part": "calibration",
            "samples": 225,
        },
    } == artifact.facts


def test_the_record_tells_what_runs_where(tool, digits, tmp_path):
    tool()
    compiler = compiler_in(tmp_path)
    record = measured(TFLiteFile(model_path=DIGITS), digits, TFLiteRuntime(), compiler)
    assert MAPPED == record.model.compiler_facts["operations on the Edge TPU"]


def test_a_keras_model_has_no_float_operation_left(tool, keras_file, digits, tmp_path):
    tool()
    artifact = compiler_in(tmp_path).compile(KerasFile(model_path=keras_file), digits)
    assert {"int8": 640} == artifact.weights.elements


def test_without_the_tool_the_error_says_where_it_comes_from(tmp_path, monkeypatch, digits):
    monkeypatch.setenv("PATH", str(tmp_path))
    # Before anything is calibrated.
    with pytest.raises(BackendMissingError, match="edgetpu-compiler.* Linux on x86-64 alone"):
        compiler_in(tmp_path).compile(TFLiteFile(model_path=DIGITS), digits)


@pytest.mark.parametrize(
    ("log", "status", "writes", "message"),
    [
        (
            "Edge TPU Compiler version 16.0.384591198\nInternal compiler error. Aborting!\n",
            1,
            False,
            r"failed with exit status 1: Internal compiler error\. Aborting!$",
        ),
        ("Model not quantized\n", 0, False, "exit status 0: Model not quantized$"),
        ("", 3, True, "exit status 3: it gave no reason$"),
        (
            "Operator   Count   Status\n\nADD   2   Operation not supported\n",
            0,
            True,
            r"mapped no operation to the Edge TPU: 2 ADD: Operation not supported\.$",
        ),
        ("Done\n", 0, True, "mapped no operation to the Edge TPU: its log names none"),
    ],
)
def test_what_the_tool_cannot_do_is_an_error(tool, digits, tmp_path, log, status, writes, message):
    tool(log, status, writes)
    compiler = compiler_in(tmp_path)
    with pytest.raises(CompilationError, match=message):
        compiler.compile(TFLiteFile(model_path=DIGITS), digits)
    assert not compiler.compiled_model_path.exists()
