"""Support grids as a user makes them; one converter crashes, one takes too long."""

import json

CONVERTERS = """
import ctypes, shutil, time
from pathlib import Path
import numpy
from edge_tester.core.errors import BackendMissingError
from edge_tester.core.onnxconversion import ModelEntry
from edge_tester.onnxconverters.onnxruntime import ONNXRuntimeONNXConversion


class Small(ONNXRuntimeONNXConversion):
    framework = "Small"

    def models(self):
        return [ModelEntry("digits", lambda: self.import_model(Path("m.onnx")))]

    def inputs_of(self, model):
        return [numpy.random.default_rng(0).random((1, 8, 8, 1), numpy.float32)]

    def export_model(self, model, path):
        shutil.copyfile("m.onnx", path)


class Crashing(ONNXRuntimeONNXConversion):
    framework = "Crashing"

    def import_model(self, path):
        ctypes.string_at(0)


class Endless(ONNXRuntimeONNXConversion):
    framework = "Endless"

    def import_model(self, path):
        time.sleep(600)


class Unprepared(ONNXRuntimeONNXConversion):
    framework = "Unprepared"
    import_tools = "a tool"

    def prepare(self):
        raise BackendMissingError("It needs a tool.")
"""


def cells_of(user, name):
    """The cells of a grid, and what each says."""
    cells = json.loads((user.folder / "build" / f"{name}.json").read_text())
    return [(cell["importer"], cell["verdict"]) for cell in cells], [
        cell["detail"] for cell in cells
    ]


def test_a_framework_s_model_in_itself_and_elsewhere(user):
    output = user.does(
        *("python", "-m", "edge_tester.scenarios.onnx_conversion"),
        *("./onnx-models", "build/onnx-support-grid.rst", "--converters-list"),
        *("edge_tester.onnxconverters.pytorch.PyTorchONNXConversion", "onnxruntime"),
        *("--models-list", "detector"),
    )
    assert [f"Grid: build/onnx-support-grid.{s}" for s in ("rst", "html", "json")] == (
        output.splitlines()
    )
    assert [
        ("", "supported"),
        ("PyTorch (onnx2torch)", "supported"),
        ("ONNX Runtime", "supported"),
    ] == cells_of(user, "onnx-support-grid")[0]
    assert (user.folder / "onnx-models" / "pytorch" / "detector.onnx").exists()


def test_a_grid_with_a_crash_and_an_endless_import(user):
    (user.folder / "own_converters.py").write_text(CONVERTERS)
    names = ("Small", "Crashing", "Endless", "Unprepared")
    user.does(
        *("onnx-conversion", "./onnx-models", "build/own.rst", "--time-limit-s", "10"),
        *("--converters-list", "onnxruntime", *(f"own_converters.{name}" for name in names)),
    )
    verdicts, details = cells_of(user, "own")
    assert [
        ("", "supported"),
        ("ONNX Runtime", "supported"),
        ("Small", "supported"),
        ("Crashing", "import error"),
        ("Endless", "import error"),
        ("Unprepared (a tool)", "unverified"),
    ] == verdicts
    assert "SIGSEGV" in details[3]
    assert "longer than 10 s" in details[4]
    assert "It needs a tool." == details[5]


def test_mistakes_are_named(user):
    refused = user.refused("onnx-conversion", "o", "g.rst", "--models-list", "resnet")
    assert "No converter has a model 'resnet'" in refused
    assert "did you mean 'resnet" in refused
    assert "ends with .rst" in user.refused("onnx-conversion", "o", "g.html")
    assert "pytorch" in user.refused("onnx-conversion", "o", "g.rst", "--converters-list", "pytorh")
