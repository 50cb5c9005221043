"""Samples to calibrate with, as a user writes them and uses them."""

import json

import numpy as np


def test_samples_are_written_and_calibrated_with(user):
    output = user.does("samples", "m.tflite", "data.npz", "--count", 60, "--out", "rep")
    assert "60 samples, values as the model takes them" in output
    assert "Note: There are 60 samples" in output and "Manifest: rep/manifest.json" in output
    assert 60 == len(list((user.folder / "rep").glob("*.npy")))
    user.does(
        *("client", "m.tflite", "compilers.tflite", "data.npz", "r", "int8", "--target", "int8"),
        *("--limit", 40, "--replicates", 1, "--calibration-samples", "rep", "--start-agent"),
    )
    record = json.loads((user.folder / "r/int8.json").read_text())
    facts = record["model"]["compiler_facts"]["calibration"]
    assert ("folder", "rep", 60) == (facts["source"], facts["folder"], facts["samples"])
    # The data set is measured whole, but for those.
    measured = set(record["predictions"]["index"])
    manifest = json.loads((user.folder / "rep/manifest.json").read_text())
    assert 40 == len(measured) and not measured & {one["index"] for one in manifest["samples"]}
    assert any("they are not measured" in one for one in record["remarks"])


def test_another_range_is_in_the_record(user):
    folder = user.folder / "pixels"
    folder.mkdir()
    x = np.load(user.folder / "data.npz")["x"]
    for number, one in enumerate(x[:220]):
        np.save(folder / f"{number}.npy", 255 * one)
    user.does(
        *("client", "m.onnx", "compilers.onnx", "data.npz", "r", "wrong", "--target", "int8"),
        *("--limit", 20, "--replicates", 1, "--calibration-samples", "pixels"),
        *("--no-self-check", "--start-agent"),
    )
    (remark,) = [
        one
        for one in json.loads((user.folder / "r/wrong.json").read_text())["remarks"]
        if "samples to calibrate with go" in one
    ]
    assert "from 0 to 255, but what the model is fed with goes" in remark and "0 to 1." in remark


def test_what_is_wrong_is_one_line(user):
    assert "take" in user.refused("samples", "random_inputs", "--out", "rnd")
    assert "samples needs one of the datasets" in user.refused("samples", "m.tflite")
    assert "would be replaced, and holds" in user.refused("samples", "data.npz", "--out", ".")
    user.does("samples", "m.tflite", "random_inputs", "--count", 5, "--float-high", 9, "--out", "n")
    (user.folder / "n/000002.npy").unlink()
    line = user.refused(
        *("client", "m.tflite", "compilers.tflite", "data.npz", "r", "x", "--target", "int8"),
        *("--calibration-samples", "n", "--start-agent"),
    )
    assert "n/000002.npy is missing" in line


def test_layers_are_kept_in_float_by_name(user):
    words = ("client", "m.tflite", "compilers.tflite", "data.npz", "r", "mixed", "--target", "int8")
    more = ("--limit", 20, "--replicates", 1, "--calibration-count", 50, "--start-agent")
    assert "did you mean" in user.refused(
        *words, *more, "--keep-float", "sequential_1/conv2d_1/BiasAd"
    )
    user.does(*words, *more, "--keep-float", "sequential_1/conv2d_1/BiasAdd")
    facts = json.loads((user.folder / "r/mixed.json").read_text())["model"]["compiler_facts"]
    assert 1 == facts["kept_in_float"]["layers"] and 0 < facts["kept_in_float"]["weights"]
