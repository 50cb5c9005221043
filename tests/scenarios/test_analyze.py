"""Analyze, as a user types it."""

import csv
import json

import pytest


@pytest.fixture(scope="module")
def analyzed(user):
    """What analyzing the shipped ONNX model with a profile printed."""
    words = ("--profile", "--output", "a.json", "--report-directory", "a")
    return user.does("analyze", "m.onnx", *words)


def test_a_terminal_of_eighty_columns_is_enough(analyzed):
    lines = analyzed.splitlines()
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in analyzed
    assert "Multiply-accumulates              84,224" in lines
    assert "Peak of activations               5,120 bytes (5.000 KiB)" in lines


def test_the_measured_latency_is_beside_the_estimate(user, analyzed):
    found = json.loads((user.folder / "a.json").read_text())
    assert 0 < found["estimated_ns"]
    assert 0 < found["measured_ns"]
    assert found["measured_memory_bytes"] > found["peak_activation_bytes"]
    assert 84_224 == found["macs"]
    shares = [one["time_share"] for one in found["layers"] if one["time_share"] is not None]
    # ONNX Runtime renames what it changes: those have no counterpart, which is said.
    assert 0 < sum(shares) < 1
    assert any("no counterpart in the file" in note for note in found["notes"])


def test_tables_and_a_page_are_written(user, analyzed):
    folder = user.folder / "a"
    rows = list(csv.DictReader((folder / "layerwise_breakdown.csv").open()))
    assert 84_224 == sum(int(row["macs"]) for row in rows)
    (summary,) = csv.DictReader((folder / "hardware_summary.csv").open())
    assert ("84224", "6090") == (summary["macs"], summary["parameters"])
    page = (folder / "analysis.html").read_text()
    assert 3 == page.count("<svg")
    assert "84,224 multiply-accumulates, 6,090 parameters." in page


def test_a_batch_multiplies_the_work(user):
    output = user.does("analyze", "m.tflite", "--batch-size", 4, "--no-roofline")
    assert f"Multiply-accumulates              {4 * 84_224:,}" in output
    assert "GFLOP/s" not in output


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("missing.onnx",), "missing.onnx does not exist"),
        (("m.onnx", "--input-shapes", "8x8"), "--input-shapes must be sizes separated by commas"),
        (("m.onnx", "--batch-sizes", "2"), "did you mean '--batch-size'?"),
        (("m.onnx", "--output", "m.onnx/a.json"), "cannot be written"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(user, words, line):
    assert line in user.refused("analyze", *words)
