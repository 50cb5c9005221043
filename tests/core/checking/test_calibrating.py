"""Numbers of samples and methods side by side."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

import edge_tester.resources
from edge_tester.compilers.onnx import ONNXCompiler
from edge_tester.compilers.tflite import TFLiteCompiler
from edge_tester.core.checking.calibrating import CalibrationReport, calibration_report
from edge_tester.core.checking.scoring import unmeasured
from edge_tester.core.errors import DatasetError, OptionError
from edge_tester.datasets.digits import DigitsDataset
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile

RESOURCES = Path(edge_tester.resources.__file__).parent
KINDS = {
    "onnx": (ONNXCompiler, ONNXFile),
    "tflite": (TFLiteCompiler, TFLiteFile),
}


def report(kind, dataset, **options):
    cls, wrapper = KINDS[kind]
    model = wrapper(model_path=RESOURCES / f"digits.{kind}")
    return calibration_report(cls(target="int8"), model, dataset, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_more_samples_widen_ranges_and_clip_less(digits, kind):
    found = report(kind, digits, counts=(10, 50, 200), methods=["minmax"] * (kind == "onnx"))
    assert [10, 50, 200] == [one.samples for one in found.trials]
    few, _, many = found.trials
    assert [one.name for one in few.ranges] == [one.name for one in many.ranges]
    for less, more in zip(few.ranges, many.ranges, strict=True):
        assert more.minimum <= less.minimum and less.maximum <= more.maximum
        assert 0 <= more.clipped <= less.clipped
    assert few.clipped > many.clipped
    # Of some tensors ten samples have not seen the ends, of the input they have.
    assert {0.0} < {one.clipped for one in few.ranges}
    assert many.worth.signal_to_noise_db > 20 and many.worth.agreement > 0.97
    assert any("There are 10 samples" in one for one in few.remarks) and [] == many.remarks
    content = msgspec.json.encode(found)
    assert found == msgspec.json.decode(content, type=CalibrationReport)


def test_the_clipped_share_is_that_of_the_values_of_the_tensor(tmp_path):
    """Counted again by hand, of the input, whose values are those of the data set."""
    dataset = DigitsDataset()
    dataset.prepare()
    dim = tmp_path / "dim"
    dim.mkdir()
    for number, image in enumerate(dataset.load(range(30)).inputs[0]):
        np.save(dim / f"{number}.npy", image / 2)
    model = ONNXFile(model_path=RESOURCES / "digits.onnx")
    compiler = ONNXCompiler(target="int8", calibration_samples=dim)
    found = calibration_report(compiler, model, dataset, counts=(30, 31), methods=["minmax"])
    (reason,) = found.left_out
    assert reason.startswith("31 samples: ONNXCompiler.calibration_count must be at most the 30")
    one = found.trials[0].ranges[0]
    assert ("image", 0.5) == (one.name, one.maximum)
    values = dataset.load(unmeasured(dataset, 300)[:100]).inputs[0]
    slack = (one.maximum - one.minimum) / 510
    expected = np.mean((values > one.maximum + slack) | (values < one.minimum - slack))
    assert 0.1 < expected
    assert pytest.approx(expected) == one.clipped


def test_all_methods_of_the_tool_are_tried_by_default(digits):
    found = report("onnx", digits, counts=(20,))
    assert ["minmax", "percentile", "entropy"] == [one.method for one in found.trials]
    widths = [sum(r.maximum - r.minimum for r in one.ranges) for one in found.trials]
    assert widths[2] < widths[0] and widths[1] <= widths[0]
    assert [None] == [one.method for one in report("tflite", digits, counts=(20,)).trials]


def test_what_there_are_no_samples_for_is_left_out_and_said(digits):
    found = report("tflite", digits, counts=(10, 5000))
    assert [10] == [one.samples for one in found.trials]
    (reason,) = found.left_out
    assert reason.startswith("5000 samples: DigitsDataset has")
    with pytest.raises(DatasetError, match="too few samples to calibrate with. 5000"):
        report("tflite", digits, counts=(5000,))


def test_what_cannot_be_compared_is_refused(digits):
    model = ONNXFile(model_path=RESOURCES / "digits.onnx")
    with pytest.raises(OptionError, match="calibrates nothing with these options"):
        calibration_report(ONNXCompiler(), model, digits)
    with pytest.raises(OptionError, match="by minmax, percentile, entropy, got 'median'"):
        report("onnx", digits, methods=["median"])
    with pytest.raises(OptionError, match="by its one method, got 'entropy'"):
        report("tflite", digits, methods=["entropy"])
