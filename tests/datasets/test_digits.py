import numpy as np
import pytest
from sklearn.datasets import load_digits

from edge_tester.core.tensors import TensorSpec
from edge_tester.datasets import digits
from edge_tester.datasets.digits import DigitsDataset
from edge_tester.testing import DatasetConformance


class TestDigits(DatasetConformance):
    cls = DigitsDataset
    inputs = (TensorSpec("image", (1, 8, 8, 1), "float32"),)

    @pytest.mark.parametrize("file", ["where it is", "elsewhere"])
    def test_is_what_scikit_learn_ships(self, dataset, file, monkeypatch):
        if file == "elsewhere":
            monkeypatch.setattr(digits, "_file", lambda: None)
            dataset.prepare()
        else:
            assert digits._file() is not None
        samples, expected = dataset.load(np.arange(len(dataset))), load_digits()
        assert np.array_equal(expected.images / 16, samples.inputs[0][..., 0])
        assert np.array_equal(expected.target, samples.truth)
        assert (1797, 8, 8, 1) == samples.inputs[0].shape
        assert np.float32 == samples.inputs[0].dtype
        assert (0.0, 1.0) == (samples.inputs[0].min(), samples.inputs[0].max())
        assert [str(digit) for digit in range(10)] == dataset.class_names()

    def test_calibrates_with_at_least_200(self, dataset):
        assert len(dataset.split().calibration) >= 200
