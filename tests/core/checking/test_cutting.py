"""The model of one layer that shows an error, and the script that shows it without this package."""

import json
import subprocess
import sys

import msgspec
import numpy as np
import pytest

from edge_tester.core.checking.cutting import SHOWN, cut_down
from edge_tester.core.checking.findings import Layer
from edge_tester.core.checking.layers import compare_layers
from edge_tester.core.errors import InputError, ModelError
from tests.damaged_networks import damaged, feeds, made, side

# Source, conversion and whether the source is cut as well.
KINDS = [
    ("float.onnx", "int8.onnx", True),
    ("float.tflite", "int8.tflite", True),
    ("torch", "float.onnx", False),
    ("keras", "float.tflite", False),
]
# Says at the end what it imported.
_WATCHED = """
import runpy, sys
try:
    runpy.run_path(sys.argv[1], run_name="__main__")
finally:
    assert not [name for name in sys.modules if name.startswith("edge_tester")]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("networks")


def broken(name, source, conversion, folder, target, seed=3):
    """A comparison with a destroyed layer, both sides and the samples."""
    path = made(name, conversion, folder)
    damage = damaged(path, target / f"damaged-{path.name}", np.random.default_rng(seed))
    sides = side(name, source, folder), side(name, conversion, folder, damage.path)
    values = feeds(name, 3, last="tflite" in conversion)
    return compare_layers(*sides, values), *sides, values


def run(script, cwd):
    command = [sys.executable, "-I", "-c", _WATCHED, str(script)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


@pytest.mark.parametrize(("source", "conversion", "both"), KINDS)
def test_the_script_shows_the_error_without_this_package(
    source, conversion, both, folder, tmp_path
):
    comparison, ours, theirs, values = broken("plain", source, conversion, folder, tmp_path)
    target, elsewhere = tmp_path / "cut", tmp_path / "elsewhere"
    elsewhere.mkdir()
    small = cut_down(comparison, ours, theirs, values, target)
    assert comparison.first == small.layer
    assert small.share >= SHOWN
    assert small.operators < small.operators_whole
    assert [both, []] == [small.source_part, small.remarks]
    format = conversion.partition(".")[2]
    files = {f"conversion.{format}", "layer.json", "reproduce.py", "tensors.npz"}
    assert files | ({f"source.{format}"} if both else set()) == set(small.files)
    finished = run(target / "reproduce.py", elsewhere)
    assert finished.returncode == 0, finished.stderr
    shown = json.loads(finished.stdout.splitlines()[-1])
    saved = np.load(target / "tensors.npz")
    difference = saved["got"].astype(np.float64) - saved["expected"]
    expected = float(np.sqrt(np.mean(np.square(difference))))
    # Other kernels of integers may round otherwise.
    assert pytest.approx(expected, rel=0.05) == shown["rms_difference"]
    assert pytest.approx(expected, rel=1e-6) == small.rms_difference
    assert ("the source's part" in finished.stdout) == both
    kept = msgspec.json.decode((target / "layer.json").read_bytes(), type=Layer)
    assert comparison.broken == kept


def test_the_script_says_when_the_error_is_gone(folder, tmp_path):
    """Somebody has mended the converter: the sound part takes the place of the broken one."""
    comparison, ours, theirs, values = broken("plain", *KINDS[0][:2], folder, tmp_path)
    target = tmp_path / "cut"
    cut_down(comparison, ours, theirs, values, target)
    (target / "conversion.onnx").write_bytes((target / "source.onnx").read_bytes())
    finished = run(target / "reproduce.py", tmp_path)
    assert finished.returncode == 1, finished.stderr


def test_an_error_that_grows_needs_more_than_its_last_layer(folder, tmp_path):
    """Rounding adds up over layers; the part begins where enough of it has come together."""
    sides = side("plain", "float.onnx", folder), side("plain", "int8.onnx", folder)
    values = feeds("plain", 3, last=False)
    comparison = compare_layers(*sides, values)
    assert comparison.first is None
    last = [one.name for one in comparison.layers if one.kind == "Conv"][-1]
    small = cut_down(comparison, *sides, values, tmp_path / "cut", last)
    assert 1 < small.operators < small.operators_whole
    assert SHOWN <= small.share < 1.5
    assert run(tmp_path / "cut/reproduce.py", tmp_path).returncode == 0


def test_the_sample_with_the_largest_difference_is_kept(folder, tmp_path):
    comparison, ours, theirs, values = broken("dense", *KINDS[0][:2], folder, tmp_path)
    values = [[0.01 * values[0][0]], *values[1:], [3 * values[1][0]]]
    small = cut_down(comparison, ours, theirs, values, tmp_path / "cut")
    assert len(values) - 1 == small.sample


def test_what_cannot_be_cut_down_is_refused(folder, tmp_path):
    sides = side("dense", "float.onnx", folder), side("dense", "int8.onnx", folder)
    values = feeds("dense", 2, last=False)
    comparison = compare_layers(*sides, values)
    with pytest.raises(ModelError, match="stands out; name the one"):
        cut_down(comparison, *sides, values, tmp_path)
    with pytest.raises(ModelError, match="no compared layer 'nothing'; there are"):
        cut_down(comparison, *sides, values, tmp_path, "nothing")
    with pytest.raises(InputError, match="at least one sample"):
        cut_down(comparison, *sides, [], tmp_path, comparison.layers[0].name)
    torch = side("dense", "torch", folder)
    with pytest.raises(ModelError, match="no part can be cut out"):
        cut_down(comparison, sides[0], torch, values, tmp_path)
    assert [] == list(tmp_path.iterdir())
