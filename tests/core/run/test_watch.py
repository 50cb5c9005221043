import numpy as np
import pytest

from edge_tester.core.errors import InputError
from edge_tester.core.run.watch import InputWatch, OutputWatch
from edge_tester.core.tensors import TensorSpec

PIXELS = np.linspace(0, 255, 64, dtype=np.float32).reshape(1, 64)


def quantized(low, high, dtype="int8"):
    limits = np.iinfo(dtype)
    scale = (high - low) / 255
    return TensorSpec("x", (1, 64), dtype, scale=scale, zero_point=limits.min - round(low / scale))


@pytest.mark.parametrize(
    ("low", "high", "cure"),
    [
        (0, 1, "--input-scale 0.00392157."),
        (-1, 1, "--input-scale 0.00784314 --input-mean 1."),
        (0, 16, "--input-scale 0.0627451."),
        (-2.1, 2.6, "the preprocessing that the model was trained with"),
    ],
)
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_unscaled_pixels_are_named_with_their_cure(low, high, cure, dtype):
    watch = InputWatch([quantized(low, high, dtype)])
    watch.conform([PIXELS])
    (remark,) = watch.remarks()
    assert "were clipped" in remark
    assert cure in remark


def test_a_value_that_is_clipped_now_and_then_is_ordinary():
    watch = InputWatch([quantized(0, 1)])
    values = np.full((1, 64), 0.5)
    for index in range(10):
        values[0, 0] = 1.2 if index == 3 else 0.5
        watch.conform([values])
    assert [] == watch.remarks()
    assert (640, 1) == (watch.facts()["x"]["values"], watch.facts()["x"]["saturated"])


def test_scaled_pixels_where_pixels_are_wanted():
    watch = InputWatch([quantized(0, 255, "uint8")])
    watch.conform([PIXELS / 255])
    assert "--input-scale 255." in watch.remarks()[0]


def test_values_that_overflow():
    spec = TensorSpec("x", (1, 2), "float16")
    with pytest.raises(InputError, match="beyond its largest value"):
        InputWatch([spec]).conform([np.array([[1.0, 7e4]])])
    watch = InputWatch([spec])
    watch.conform([np.array([[1.0, 2.0]])])
    (tensor,) = watch.conform([np.array([[1.0, 7e4]])])
    assert np.isinf(tensor[0, 1])
    assert "1 values of input 'x' are beyond float16" in watch.remarks()[0]


@pytest.mark.parametrize("name", ["x", "0"])
def test_values_outside_of_what_was_calibrated(name):
    watch = InputWatch([TensorSpec("x", (1, 4), "float32")], {name: (0.0, 1.0)})
    watch.conform([np.array([[0.0, 1.0, 2.0, -3.0]])])
    assert 2 == watch.facts()["x"]["outside_calibration"]
    assert "50 % of the values of input 'x' are outside" in watch.remarks()[0]


def test_pixels_are_spoken_of_where_answers_are_guesses():
    watch = InputWatch([TensorSpec("x", (1, 8, 8, 1), "float32")])
    watch.conform([PIXELS.reshape(1, 8, 8, 1)])
    assert [] == watch.remarks()
    assert "--preprocessing NAME" in watch.remarks(at_chance=True)[0]
    scaled = InputWatch([TensorSpec("x", (1, 8, 8, 1), "float32")])
    scaled.conform([PIXELS.reshape(1, 8, 8, 1) / 255])
    assert [] == scaled.remarks(at_chance=True)


class TestOutputs:
    def watched(self, outputs, inputs=None):
        watch = OutputWatch([TensorSpec("y", (1, 2), "float32")])
        for index, output in enumerate(outputs):
            given = np.array([index]) if inputs is None else inputs[index]
            values = np.array([output], np.float32)
            watch.see([[given]], [values], values)
        return watch.remarks()

    def test_answers_that_are_no_numbers(self):
        nan, inf = float("nan"), float("inf")
        assert [
            "Output 'y' has NaN in 2 of 4 inferences.",
            "Output 'y' has infinite values in 1 of 4 inferences.",
        ] == self.watched([[1, 2], [nan, 2], [nan, inf], [3, 4]])

    def test_the_same_answer_to_everything(self):
        assert "same answer in all 3 inferences" in self.watched([[1, 2]] * 3)[0]
        # Equal inputs have equal answers.
        assert [] == self.watched([[1, 2]] * 3, [np.ones(1)] * 3)
        assert [] == self.watched([[1, 2], [1, 2], [1, 3]])
