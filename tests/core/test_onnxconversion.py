"""A real conversion: a made-up framework of linear layers, through ONNX and back."""

import numpy as np
import pytest

from edge_tester.core.backends import backend
from edge_tester.core.errors import BackendMissingError, OptionError
from edge_tester.core.onnxconversion import ModelEntry, ONNXConversion, relative_difference
from tests import small_models

NAN = float("nan")


class Linear:
    """The framework: weights, biases, and a factor that its exporter forgets."""

    def __init__(self, weights, biases, factor=1.0):
        self.weights, self.biases, self.factor = weights, biases, factor


class LinearConversion(ONNXConversion):
    """Converts linear layers."""

    framework = "Linear"

    def models(self):
        weights, biases = small_models.WEIGHTS, small_models.BIASES
        return [
            ModelEntry("linear", lambda: Linear(weights, biases)),
            ModelEntry("scaled", lambda: Linear(weights, biases, 2.0)),
            ModelEntry("broken", lambda: Linear(weights, None)),
        ]

    def inputs_of(self, model):
        return [small_models.sample((64,))]

    def run(self, model, inputs):
        return [(inputs[0] @ model.weights + model.biases) * np.float32(model.factor)]

    def export_model(self, model, path):
        small_models.write_onnx(path)

    def import_model(self, path):
        onnx = backend("onnx", self)
        weights, biases = map(onnx.numpy_helper.to_array, onnx.load(path).graph.initializer)
        return Linear(weights, biases)


class ExportOnly(ONNXConversion):
    """Cannot import."""

    framework = "ExportOnly"


class BadImporter(LinearConversion):
    """Loses the biases."""

    framework = "Bad"

    def import_model(self, path):
        model = super().import_model(path)
        model.biases = np.zeros(10, np.float32)
        return model


class FailingImporter(LinearConversion):
    """Fails after many words."""

    framework = "Failing"

    def import_model(self, path):
        raise ValueError("Traceback of the importer:\n  a frame\nOperator Foo is not supported")


class BadExporter(LinearConversion):
    """Writes what is no ONNX model."""

    framework = "Bad"

    def export_model(self, model, path):
        path.write_bytes(b"no model")


class LeakyExporter(LinearConversion):
    """Makes an input of a constant."""

    framework = "Leaky"

    def export_model(self, model, path):
        small_models.write_onnx(path)
        onnx = backend("onnx", self)
        model = onnx.load(path)
        del model.graph.initializer[0]
        weights = onnx.helper.make_tensor_value_info("weights", 1, [64, 10])
        weights.name = model.graph.node[0].input[1]
        model.graph.input.append(weights)
        onnx.save(model, path)


class WithoutPackage(LinearConversion):
    """Lacks what it needs."""

    def import_model(self, path):
        backend("no_such_package", self)


@pytest.fixture
def folder(tmp_path):
    for name in ("linear", "scaled"):
        assert "supported" == LinearConversion().exported(name, tmp_path).verdict
    return tmp_path


def test_an_export_is_checked_and_what_it_came_from_is_kept(tmp_path):
    cell = LinearConversion().exported("linear", tmp_path)
    assert ("Linear", "linear", "", "supported") == (
        *(cell.exporter, cell.model, cell.importer),
        cell.verdict,
    )
    kept = np.load(tmp_path / "linear.npz")
    np.testing.assert_array_equal(small_models.sample((64,)), kept["input_0"])
    assert ["input_0", "output_0"] == sorted(kept)


def test_a_failed_export_says_why(tmp_path):
    broken = LinearConversion().exported("broken", tmp_path)
    assert "export error" == broken.verdict
    assert broken.detail.startswith("TypeError: ")
    assert "export error" == BadExporter().exported("linear", tmp_path).verdict
    assert not list(tmp_path.glob("*.npz"))


def test_an_export_that_lost_a_constant_is_none(tmp_path):
    cell = LeakyExporter().exported("linear", tmp_path)
    assert "export error" == cell.verdict
    assert cell.detail.startswith("The file takes 2 inputs (")


def test_an_unknown_model_is_named(tmp_path):
    with pytest.raises(OptionError, match="LinearConversion has no model 'quadratic'"):
        LinearConversion().exported("quadratic", tmp_path)


def test_outputs_decide(folder):
    good = LinearConversion().imported("Linear", "linear", folder)
    assert ("Linear", "supported") == (good.importer, good.verdict)
    assert good.difference < 1e-6
    scaled = LinearConversion().imported("Linear", "scaled", folder)
    assert "different" == scaled.verdict
    assert 0.5 == pytest.approx(scaled.difference)
    assert "different" == BadImporter().imported("Linear", "linear", folder).verdict


def test_the_tolerance_decides(folder):
    assert "supported" == LinearConversion(tolerance=0.6).imported("L", "scaled", folder).verdict


def test_the_line_that_names_the_operator_is_the_reason(folder):
    failed = FailingImporter().imported("Linear", "linear", folder)
    expected = ("import error", "ValueError: Operator Foo is not supported")
    assert expected == (failed.verdict, failed.detail)


def test_what_cannot_be_imported_is_unverified(folder):
    assert not ExportOnly().imports
    assert LinearConversion().imports
    cell = ExportOnly().imported("Linear", "linear", folder)
    assert ("unverified", "ExportOnly has no importer of ONNX files") == (cell.verdict, cell.detail)


def test_a_missing_package_is_no_verdict(folder):
    with pytest.raises(BackendMissingError, match="WithoutPackage needs no_such_package"):
        WithoutPackage().imported("Linear", "linear", folder)


@pytest.mark.parametrize(
    ("expected", "found", "difference"),
    [
        ([[1.0, 2.0]], [[1.0, 2.0]], 0.0),
        ([[1.0, -4.0]], [[1.0, -3.0]], 0.25),
        ([[0.0, 0.0]], [[0.0, 0.5]], 0.5),
        ([[1.0]], [[NAN]], float("inf")),
        ([[NAN]], [[1.0]], float("inf")),
        ([[1.0, 2.0]], [[1.0]], float("inf")),
        ([[1.0]], [[1.0], [2.0]], float("inf")),
        ([[]], [[]], 0.0),
        ([], [], 0.0),
    ],
)
def test_relative_difference(expected, found, difference):
    arrays = [[np.float32(values) for values in side] for side in (expected, found)]
    assert difference == relative_difference(*arrays)


def test_relative_difference_of_integers_does_not_wrap():
    mine, theirs = [np.uint8([0, 200])], [np.uint8([255, 200])]
    assert 255 / 200 == relative_difference(mine, theirs)
    assert 128 / 128 == relative_difference([np.int8([-128])], [np.int8([0])])


def test_a_converter_without_an_importer_says_so():
    for cls in (ONNXConversion, type("Mute", (ONNXConversion,), {"framework": "Mute"})):
        with pytest.raises(NotImplementedError, match="(ONNXConversion|Mute) has no importer"):
            cls().import_model(None)
