"""A real conversion: a made-up framework of linear layers, through ONNX and back."""

import numpy as np
import pytest

from edge_tester.core.backends import backend
from edge_tester.core.errors import BackendMissingError
from edge_tester.core.onnxconversion import ModelEntry, ONNXConversion, relative_difference
from tests import small_models

NAN = float("nan")


def run_onnx(path, inputs):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    return session.run(None, dict(zip(names, inputs, strict=True)))


class Linear:
    """The framework: weights, biases, and a factor that its exporter may forget."""

    def __init__(self, weights, biases, factor=1.0):
        self.weights, self.biases, self.factor = weights, biases, factor


class LinearConversion(ONNXConversion):
    """Converts linear layers."""

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


class ExportOnly(LinearConversion):
    """Cannot import."""

    def import_model(self, path):
        raise NotImplementedError


class BadImporter(LinearConversion):
    """Loses the biases."""

    def import_model(self, path):
        model = super().import_model(path)
        model.biases = np.zeros(10, np.float32)
        return model


class FailingImporter(LinearConversion):
    """Fails."""

    def import_model(self, path):
        raise ValueError("unknown operator")


def cells(conversion, folder):
    return {
        entry.name: conversion.convert(entry, folder, run_onnx) for entry in conversion.models()
    }


def test_every_model_gets_its_verdict(tmp_path):
    found = cells(LinearConversion(), tmp_path)
    assert "supported" == found["linear"].verdict
    assert found["linear"].difference < 1e-6
    assert "different" == found["scaled"].verdict
    assert 0.5 == pytest.approx(found["scaled"].difference)
    assert "export error" == found["broken"].verdict
    assert "TypeError" in found["broken"].detail


def test_what_cannot_be_imported_back_is_unverified(tmp_path):
    found = cells(ExportOnly(), tmp_path)
    assert ("unverified", "not imported back") == (found["linear"].verdict, found["linear"].detail)
    assert "different" == found["scaled"].verdict


def test_a_bad_importer_is_noticed(tmp_path):
    assert "different" == cells(BadImporter(), tmp_path)["linear"].verdict
    failed = cells(FailingImporter(), tmp_path)["linear"]
    assert ("import error", "ValueError: unknown operator") == (failed.verdict, failed.detail)


def test_the_tolerance_decides(tmp_path):
    entry = LinearConversion().models()[1]
    cell = LinearConversion(tolerance=0.6).convert(entry, tmp_path, run_onnx)
    assert "supported" == cell.verdict


def test_a_missing_package_is_no_verdict(tmp_path):
    def missing(path, inputs):
        backend("no_such_package", "A test")

    conversion = LinearConversion()
    with pytest.raises(BackendMissingError, match="A test needs no_such_package"):
        conversion.convert(conversion.models()[0], tmp_path, missing)


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
