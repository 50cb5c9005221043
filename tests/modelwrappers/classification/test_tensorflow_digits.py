import re
import subprocess
import sys

import numpy as np
import pytest

from edge_tester.core.errors import ModelError
from edge_tester.core.model import TrainingPlan
from edge_tester.modelwrappers.classification.tensorflow_digits import TensorFlowDigitsClassifier
from edge_tester.testing import ModelWrapperConformance
from tests import small_models


class TestTensorFlowDigits(ModelWrapperConformance):
    cls = TensorFlowDigitsClassifier
    options = {"model_path": "model.keras"}
    saves = True
    exports_onnx = True
    trains = True

    @pytest.fixture
    def model_file(self, trained_keras):
        return trained_keras.model_path

    @pytest.fixture
    def dataset(self, digits):
        return digits


def test_learns_the_digits(digits, tmp_path):
    model = TensorFlowDigitsClassifier(model_path=tmp_path / "digits.keras")
    metrics = model.train(digits, TrainingPlan())
    assert metrics["test_accuracy"] >= 0.97
    assert metrics["validation_accuracy"] >= 0.97


@pytest.mark.parametrize("name", ["digits.h5", "digits"])
def test_every_format_answers_alike(trained_keras, digits, tmp_path, name):
    path = tmp_path / name
    trained_keras.save(path)
    again = TensorFlowDigitsClassifier(model_path=path)
    again.load()
    inputs = digits.load([0, 1]).inputs
    assert np.array_equal(trained_keras.run(inputs)[0], again.run(inputs)[0])


def test_other_networks_are_refused(tmp_path):
    path = tmp_path / "other.keras"
    keras = small_models.keras_model()
    keras.pop()
    keras.save(path)
    model = TensorFlowDigitsClassifier(model_path=path)
    with pytest.raises(ModelError, match=f"{re.escape(str(path))}.*must take"):
        model.load()
    with pytest.raises(ModelError, match="load"):
        model.specs()


def test_other_suffixes_are_refused(trained_keras, tmp_path):
    with pytest.raises(ModelError, match="takes .keras, .h5 and SavedModel folders"):
        trained_keras.save(tmp_path / "model.onnx")


def test_nothing_is_printed(trained_keras, tmp_path):
    script = (
        "import sys; from pathlib import Path\n"
        "from edge_tester.modelwrappers.classification.tensorflow_digits import *\n"
        "model = TensorFlowDigitsClassifier(model_path=Path(sys.argv[1])); model.load()\n"
        "for name in ('a.h5', 'a.keras', 'a', 'a.onnx'):\n"
        "    path = Path(sys.argv[2]) / name\n"
        "    (model.save_to_onnx if path.suffix == '.onnx' else model.save)(path)\n"
    )
    command = [sys.executable, "-c", script, trained_keras.model_path, tmp_path]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (0, "", "") == (finished.returncode, finished.stdout, finished.stderr)
