"""The suite of compilers that leave layers in float passes ours and rejects bad ones."""

import inspect
from pathlib import Path

import pytest

import edge_tester.resources
from edge_tester.compilers.onnx import ONNXCompiler
from edge_tester.compilers.tflite import TFLiteCompiler
from edge_tester.core.selectivecompiler import SelectiveCompiler
from edge_tester.datasets.digits import DigitsDataset
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from edge_tester.testing import SelectiveConformance

RESOURCES = Path(edge_tester.resources.__file__).parent


@pytest.fixture
def dataset():
    dataset = DigitsDataset()
    dataset.prepare()
    return dataset


def onnx_model():
    return ONNXFile(model_path=RESOURCES / "digits.onnx")


class TestONNX(SelectiveConformance):
    cls = ONNXCompiler

    @pytest.fixture
    def dataset(self, dataset):
        return dataset

    @pytest.fixture
    def model(self):
        return onnx_model()


class TestTFLite(TestONNX):
    cls = TFLiteCompiler

    @pytest.fixture
    def model(self):
        return TFLiteFile(model_path=RESOURCES / "digits.tflite")


class Deaf(ONNXCompiler):
    """Quantizes what was to be left alone, and refuses no name."""

    def keep(self, more=None):
        return []


class Forgetful(ONNXCompiler):
    """Tells no layers."""

    def facts(self):
        self.layers = []
        return super().facts()


class Guessing(ONNXCompiler):
    """Calls ranges what are none."""

    def note_ranges(self, ranges):
        super().note_ranges({name: (low, low) for name, (low, _) in ranges.items()})


class Careless(ONNXCompiler):
    """Calibrates anew in each compilation, by what is left of the samples."""

    def ranges_once(self, find):
        if self._once is None:
            return find()
        self._once.append((find(), self.calibration))
        if len(self._once) > 1:
            self.calibration = type(self.calibration)()
        return self._once[0][0]


@pytest.mark.parametrize("cls", [Deaf, Forgetful, Guessing, Careless])
def test_a_bad_one_is_rejected(cls, dataset, tmp_path):
    suite = type("Suite", (SelectiveConformance,), {"cls": cls})()
    failed = []
    for name, check in inspect.getmembers(suite, inspect.ismethod):
        if name.startswith("test_"):
            folder = tmp_path / name
            folder.mkdir()
            try:
                check(onnx_model(), dataset, folder)
            # A check fails as an assertion, or by what it was refused.
            except (AssertionError, pytest.fail.Exception, LookupError, StopIteration):
                failed.append(name)
    assert failed
    assert issubclass(cls, SelectiveCompiler)
