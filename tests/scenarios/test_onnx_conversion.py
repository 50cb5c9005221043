"""The support grid as a user makes it; one converter crashes, one takes too long."""

import json

CONVERTERS = """
import ctypes, time
from edge_tester.core.errors import BackendMissingError
from edge_tester.onnxconverters.onnxruntime import ONNXRuntimeONNXConversion


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


def test_a_grid_with_a_crash_and_an_endless_import(user):
    (user.folder / "own_converters.py").write_text(CONVERTERS)
    output = user.does(
        *("python", "-m", "edge_tester.scenarios.onnx_conversion"),
        *("./onnx-models", "build/onnx-support-grid.rst", "--converters-list"),
        "edge_tester.onnxconverters.pytorch.PyTorchONNXConversion",
        *("onnxruntime", "own_converters.Crashing", "own_converters.Endless"),
        "own_converters.Unprepared",
        *("--models-list", "detector", "--time-limit-s", "45"),
    )
    assert [f"Grid: build/onnx-support-grid.{s}" for s in ("rst", "html", "json")] == (
        output.splitlines()
    )
    cells = json.loads((user.folder / "build" / "onnx-support-grid.json").read_text())
    assert [
        ("", "supported"),
        ("PyTorch (onnx2torch)", "supported"),
        ("ONNX Runtime", "supported"),
        ("Crashing", "import error"),
        ("Endless", "import error"),
        ("Unprepared (a tool)", "unverified"),
    ] == [(cell["importer"], cell["verdict"]) for cell in cells]
    assert "SIGSEGV" in cells[3]["detail"]
    assert "longer than 45 s" in cells[4]["detail"]
    assert "It needs a tool." == cells[5]["detail"]
    assert (user.folder / "onnx-models" / "pytorch" / "detector.onnx").exists()


def test_mistakes_are_named(user):
    refused = user.refused("onnx-conversion", "o", "g.rst", "--models-list", "resnet")
    assert "No converter has a model 'resnet'" in refused
    assert "did you mean 'resnet" in refused
    assert "ends with .rst" in user.refused("onnx-conversion", "o", "g.html")
    assert "pytorch" in user.refused("onnx-conversion", "o", "g.rst", "--converters-list", "pytorh")
