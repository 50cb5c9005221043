"""Command lines as people type them."""

import numpy as np
import pytest
from PIL import Image

from edge_tester.core.errors import OptionError, PluginError
from edge_tester.scenarios.inference_client import COMMAND


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("m.tflite", "m.onnx"):
        (tmp_path / name).write_bytes(b"TFL3TFL3")
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 2)))
    for name in ("cats", "dogs"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "pictures" / name / "1.png")
    # With an earlier report, whose plots are no pictures to measure with.
    (tmp_path / "reports" / "r_plots").mkdir(parents=True)
    (tmp_path / "reports" / "r_plots" / "1.png").touch()
    (tmp_path / "reports" / "r.md").touch()
    return tmp_path


def understood(line):
    parsed = COMMAND.parse(line.split())
    classes = {role: type(part).__name__ for role, part in parsed.parts}
    return classes, tuple(parsed.trailing[n] for n in ("report_directory", "report_name"))


@pytest.mark.parametrize(
    ("line", "report"),
    [
        ("m.tflite d.npz r n", ("r", "n")),
        ("m.tflite d.npz reports n", ("reports", "n")),
        ("m.tflite d.npz", ("build/report", "m")),
        ("m.tflite d.npz reports", ("reports", "m")),
        ("m.tflite d.npz new/", ("new/", "m")),
        ("m.tflite d.npz a/b n", ("a/b", "n")),
        ("--start-agent m.tflite --limit 1 d.npz r --pace isolated n", ("r", "n")),
        ("m.tflite d.npz r n --input-mean 1 2 3", ("r", "n")),
        ("m.tflite --input-mean 1 2 3 d.npz r n", ("r", "n")),
        ("m.tflite --input-mean -1 -2.5 d.npz r n", ("r", "n")),
        ("m.tflite --limit=1 d.npz r n", ("r", "n")),
    ],
)
def test_flags_and_words_in_any_order(line, report):
    classes, found = understood(line)
    assert report == found
    assert ("TFLiteFile", "NpzDataset") == (classes["modelwrappers"], classes["datasets"])


@pytest.mark.parametrize(
    ("line", "role", "name"),
    [
        ("m.tflite --compiler tflite d.npz", "compilers", "TFLiteCompiler"),
        ("m.tflite --runtime tflite d.npz", "runtimes", "TFLiteRuntime"),
        ("m.tflite tflite network d.npz", "compilers", "TFLiteCompiler"),
        ("m.tflite network tflite d.npz", "runtimes", "TFLiteRuntime"),
        ("m.onnx onnx tflite", "compilers", "ONNXCompiler"),
        ("--model m.tflite --dataset d.npz", "datasets", "NpzDataset"),
        ("d.npz m.tflite", "modelwrappers", "TFLiteFile"),
        ("m.tflite pictures r n", "datasets", "ImageFolderDataset"),
        ("m.tflite pictures", "datasets", "ImageFolderDataset"),
        ("m.tflite r n", "datasets", "RandomDataset"),
        ("m.tflite reports n", "datasets", "RandomDataset"),
        ("m.tflite reports/", "datasets", "RandomDataset"),
        ("mine:make --input-shapes 1,8,8 d.npz", "compilers", "TorchExportedCompiler"),
        ("mine:make onnxruntime --input-shapes 3 d.npz", "compilers", "ONNXCompiler"),
        ("torchvision:resnet18 compilers.onnx", "modelwrappers", "TorchFactory"),
        ("m.pte", "modelwrappers", "ExecuTorchFile"),
        ("m.mlpackage runtimes.mil", "modelwrappers", "CoreMLFile"),
    ],
)
def test_names_are_of_the_role_that_their_place_or_a_flag_tells(line, role, name):
    assert name == understood(line)[0][role]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("m.tflite d.npz nowhere", "REPORT_NAME is missing behind it"),
        ("m.tflite pictures n", "pictures holds pictures: if it is the data set"),
        ("m.tflite dta.npz r n --compiler", "--compiler must be followed"),
        ("m.tflite tflite d.npz r n", "--compiler tflite or --runtime tflite"),
        ("m.tflite m.onnx d.npz r n", "'m.onnx' is one too many"),
        ("m.tflite d.npz --dataset digits", "names one of the datasets too"),
        ("m.tflite d.npz --dataset digits --dataset mnist", "--dataset is given twice"),
        ("m.tflite d.npz --targt int8", "unknown --targt"),
        ("m.tflite d.npz --target int8", "compilers.tflite and compilers.tvm have --target"),
        ("m.tflite imagez r n", "did you mean 'imagenet'"),
        ("net.pth d.npz", "mynet:make --weights net.pth"),
    ],
)
def test_what_cannot_be_meant_is_said(line, said):
    with pytest.raises((OptionError, PluginError)) as caught:
        understood(line)
    assert said in str(caught.value)
