"""A user's own files: models of every format, data, images; and files that are broken."""

import numpy as np
import pytest

from edge_tester.core.record import read_record
from tests import onnx_models, small_models

# What is asked is whether it runs and answers right, not how much its times differ.
ONCE = ("--replicates", 1)


@pytest.fixture(scope="module")
def files(user):
    """The user, with models that answer like small_models.answer, and data for them."""
    from PIL import Image
    from sklearn.datasets import load_digits

    folder = user.folder
    model = small_models.keras_model()
    model.save(folder / "small.keras")
    model.export(folder / "saved")
    import torch

    torch.jit.script(small_models.torch_module()).save(str(folder / "small.pt"))
    values = np.random.default_rng(0).random((40, 8, 8, 1), np.float32)
    expected = small_models.answer(values).argmax(1)
    np.savez(folder / "small.npz", x=values, y=expected)
    np.savez(folder / "first.npz", x=values.transpose(0, 3, 1, 2), y=expected)
    digits = load_digits()
    for index in range(60):
        path = folder / "images" / str(digits.target[index]) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[index] * 15).astype(np.uint8)).save(path)
    return user


def record(user, name):
    return read_record(user.folder / "build" / "report" / f"{name}.json")


# Words before the report directory and flags; all of them answer everything right.
RIGHT = {
    "keras-compiled": "client small.keras compilers.tflite small.npz REPORT "
    "--compiled-model-path build/small.tflite --calibration-fraction 0 --start-agent",
    "savedmodel-compiled": "client saved compilers.tflite small.npz REPORT "
    "--compiled-model-path build/saved.tflite --calibration-fraction 0 --start-agent",
    "torchscript": "client small.pt first.npz REPORT --input-shapes 1,1,8,8 --start-agent",
}


@pytest.mark.parametrize("name", RIGHT)
def test_models_of_every_framework(files, name):
    files.does(*RIGHT[name].replace("REPORT", f"build/report {name}").split(), *ONCE)
    found = record(files, name)
    assert 40 == found.quality.samples
    assert 1.0 == found.quality.accuracy


@pytest.mark.parametrize(
    ("name", "words", "samples"),
    [
        ("tflite", "m.tflite data.npz", 1797),
        ("onnx", "m.onnx digits", 359),
        ("absolute", "FOLDER/m.tflite runtimes.tflite FOLDER/data.npz", 1797),
        ("full", "m.tflite network edge_tester.datasets.digits.DigitsDataset", 359),
        ("mixed", "tflite_file runtimeprotocols.network tflite datasets.digits", 359),
    ],
)
def test_the_digits_by_any_name(files, name, words, samples):
    words = words.replace("FOLDER", str(files.folder)).split()
    flags = ["--model-path", "m.tflite"] if "tflite_file" in words else []
    output = files.does("client", *words, "build/report", name, *flags, "--start-agent", *ONCE)
    assert "Latency p50" in output
    quality = record(files, name).quality
    assert samples == quality.samples
    # As the README of the shipped models says; what they were trained on comes easier.
    assert {359: 0.9833, 1797: 0.9961}[samples] == round(quality.accuracy, 4)


def test_the_digits_in_this_process(files):
    files.does("client", "m.tflite", "loopback", "digits", "build/report", "loopback")
    found = record(files, "loopback")
    assert 0.9833 == round(found.quality.accuracy, 4)
    # Host and target are one process, so that the host's times would say nothing.
    assert [] == found.host_ns


def test_images_in_class_folders(files):
    files.does("client", "m.tflite", "images", "build/report", "images", "--start-agent", *ONCE)
    assert [str(digit) for digit in range(10)] == record(files, "images").class_names
    assert record(files, "images").quality.accuracy > 0.9


def test_no_data_at_all(files):
    words = "client m.onnx build/report none --num-samples 50 --start-agent"
    output = files.does(*words.split(), *ONCE)
    assert "Accuracy" not in output
    assert "needs about " in output and " more inferences" in output
    found = record(files, "none")
    assert "none" == found.quality.task
    assert 50 == len(found.target_ns)


def test_raw_outputs_are_those_of_the_model(files):
    words = "client m.tflite data.npz build/report raw --start-agent --outputs-directory build/raw"
    files.does(*words.split(), *ONCE)
    outputs = np.load(files.folder / "build" / "raw" / "output_0.npy")
    assert outputs.argmax(1).tolist() == record(files, "raw").predictions.predicted


@pytest.mark.parametrize("kind", ["single", "dynamic", "two"])
def test_unusual_models_run_without_data(files, kind):
    onnx_models.write(files.folder / f"{kind}.onnx", kind)
    words = ("client", f"{kind}.onnx", "build/report", kind, "--num-samples", 10)
    files.does(*words, "--start-agent", *ONCE)
    assert 10 == len(record(files, kind).target_ns)


@pytest.fixture(scope="module")
def broken(user):
    """The user, with files that are broken in many ways."""
    folder = user.folder
    for name in ("m.tflite", "m.onnx", "data.npz"):
        content = (folder / name).read_bytes()
        (folder / f"half-{name}").write_bytes(content[: len(content) // 2])
        (folder / f"empty-{name}").touch()
        (folder / f"text-{name}").write_text("This is something else.\n" * 20)
    # The archive is whole, an array in it is not.
    content = bytearray((folder / "data.npz").read_bytes())
    start = content.index(b"\x93NUMPY")
    content[start : start + 6] = b"NOTHIN"
    (folder / "damaged-data.npz").write_bytes(content)
    np.savez(folder / "objects.npz", x=np.array([{}, {}], object))
    np.savez(folder / "unequal.npz", x=np.ones((5, 8, 8, 1)), y=np.arange(4))
    np.savez(folder / "shape.npz", x=np.ones((50, 7, 7, 1), np.float32), y=np.arange(50) % 10)
    (folder / "no images").mkdir()
    return user


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nothing.tflite data.npz", "nothing.tflite does not exist"),
        ("half-m.tflite data.npz", "half-m.tflite: The model is not a valid Flatbuffer"),
        ("empty-m.tflite data.npz", "empty-m.tflite is empty"),
        ("text-m.tflite data.npz", "is no LiteRT (TensorFlow Lite) model"),
        ("nothing.onnx data.npz", "nothing.onnx does not exist"),
        ("half-m.onnx data.npz", "Protobuf parsing failed"),
        ("empty-m.onnx data.npz", "empty-m.onnx is empty"),
        ("text-m.onnx data.npz", "Protobuf parsing failed"),
        ("m.tflite nothing.npz", "nothing.npz does not exist"),
        ("m.tflite half-data.npz", "half-data.npz is no readable .npz file"),
        ("m.tflite empty-data.npz", "empty-data.npz is no readable .npz file: it is empty"),
        ("m.tflite text-data.npz", "text-data.npz is no readable .npz file"),
        ("m.tflite damaged-data.npz", "damaged-data.npz is no readable .npz file"),
        ("m.tflite objects.npz", "holds Python objects"),
        ("m.tflite unequal.npz", "unequal lengths: x 5, y 4"),
        ("m.tflite shape.npz", "takes (1, 8, 8, 1) float32, got (1, 7, 7, 1) float32"),
        ("m.tflite no_images", "no_images"),
        ("m.tflite echo data.npz", "EchoRuntime runs echo, got 'tflite'"),
        ("tflite_file data.npz --model-path m.onnx", "takes tflite files, got m.onnx"),
    ],
)
def test_files_that_cannot_be_used_are_named(broken, words, said):
    words, _, flags = words.partition(" --")
    flags = f"--{flags}".split() if flags else []
    line = [*words.split(), "r", "broken", *flags, "--start-agent"]
    assert said in broken.refused("client", *line)
    assert not (broken.folder / "r" / "broken.json").exists()


def test_folders_that_cannot_be_used_are_named(broken):
    assert "no images" in broken.refused("client", "m.tflite", "no images", "r", "n")
    message = broken.refused("client", "m.tflite", "data.npz", "./m.onnx/", "n", "--start-agent")
    assert "The run record m.onnx/n.json cannot be written: File exists" in message
    words = "client m.tflite data.npz r n --start-agent --outputs-directory m.onnx"
    assert "The outputs cannot be written to m.onnx: File exists" in broken.refused(*words.split())
