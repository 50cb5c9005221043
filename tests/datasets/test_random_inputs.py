import numpy as np
import pytest

from edge_tester.core.errors import DatasetError
from edge_tester.core.tensors import TensorSpec
from edge_tester.datasets.random_inputs import RandomDataset
from edge_tester.testing import DatasetConformance


def bound(*specs, **options):
    dataset = RandomDataset(**options)
    dataset.prepare()
    dataset.bind(specs)
    return dataset


class TestRandom(DatasetConformance):
    cls = RandomDataset
    inputs = (
        TensorSpec("image", (1, 4, 4, 3), "float32"),
        TensorSpec("quantized", (1, 5), "int8", scale=0.1, zero_point=-3),
        TensorSpec("tokens", (1, None), "int64"),
        TensorSpec("mask", (None, 7), "bool"),
        TensorSpec("half", (1, 2), "float16"),
        TensorSpec("byte", (1, 2), "uint8"),
    )

    def test_a_sample_depends_on_seed_and_index_alone(self):
        first = bound(*self.inputs, seed=1)
        again = bound(*self.inputs, seed=1, num_samples=7)
        other = bound(*self.inputs, seed=2)
        assert np.array_equal(first.load([5]).inputs[0], again.load([5]).inputs[0])
        assert not np.array_equal(first.load([5]).inputs[0], other.load([5]).inputs[0])
        assert not np.array_equal(first.load([5]).inputs[0], first.load([6]).inputs[0])


def test_quantized_values_cover_all_that_the_tensor_can_hold():
    spec = TensorSpec("quantized", (1, 1000), "int8", scale=0.37, zero_point=5)
    real = bound(spec, num_samples=10).load(range(10)).inputs[0]
    assert np.float32 == real.dtype
    assert set(range(-128, 128)) == set(spec.quantize(real).ravel().tolist())


def test_integers_stay_below_the_limit_and_within_the_type():
    specs = TensorSpec("tokens", (1, 500), "int32"), TensorSpec("bytes", (1, 5000), "uint8")
    tokens, small = bound(*specs, integer_high=1000).load([0]).inputs
    assert 0 <= tokens.min() and 255 < tokens.max() < 1000
    assert (0, 255) == (small.min(), small.max())


def test_open_dimensions_take_the_given_size():
    dataset = bound(TensorSpec("x", (None, None, 3, None), "float32"), open_dimension=4)
    assert (2, 4, 3, 4) == dataset.load([0, 1]).inputs[0].shape


@pytest.mark.parametrize(
    ("shape", "batch", "expected"),
    [((8, 3), 8, (3,)), ((1, 3), 1, (3,)), ((8, 3), 1, (8, 3)), ((), 1, ())],
)
def test_a_first_dimension_of_another_size_is_no_batch(shape, batch, expected):
    dataset = bound(TensorSpec("x", shape, "float32"), inference_batch_size=batch)
    assert expected == dataset.load([0]).inputs[0].shape[1:]


def test_other_dtypes_are_refused():
    with pytest.raises(DatasetError, match="'words'"):
        bound(TensorSpec("words", (1, 3), "str"))


def test_nobody_calibrates_with_random_numbers_unasked():
    with pytest.raises(DatasetError, match="RandomDataset .*of no use.*--calibration-fraction 0.5"):
        bound(TensorSpec("x", (1, 2), "float32")).ensure_calibration(10)


def test_calibrating_with_random_numbers_is_said():
    spec = TensorSpec("x", (1, 2), "float32")
    dataset = bound(spec, calibration_fraction=0.5, test_fraction=0.5)
    assert [] == dataset.remarks()
    dataset.ensure_calibration(10)
    assert "calibrated with random numbers" in dataset.remarks()[0]
