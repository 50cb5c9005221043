import numpy as np
import pytest

from edge_tester.core.errors import InputError, ModelError, OptionError
from edge_tester.core.tensors import TensorSpec
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile

NHWC = TensorSpec("image", (1, 2, 2, 3), "float32")
NCHW = TensorSpec("image", (1, 3, 2, 2), "float32")
PIXELS = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)


def wrapper(**options):
    return TFLiteFile(model_path="model.tflite", **options)


def test_defaults_touch_nothing():
    (values,) = wrapper().preprocess([PIXELS], [NHWC])
    assert values is PIXELS


def test_the_formula():
    model = wrapper(input_scale=0.5, input_mean=(1, 2, 3), input_std=(4, 5, 6))
    (values,) = model.preprocess([PIXELS], [NHWC])
    expected = (PIXELS * 0.5 - np.array([1, 2, 3])) / np.array([4, 5, 6])
    assert np.float32 == values.dtype
    assert expected == pytest.approx(values)


def test_channels_first():
    model = wrapper(input_mean=(1, 2, 3))
    moved = np.moveaxis(PIXELS, -1, 1)
    (values,) = model.preprocess([moved], [NCHW])
    assert np.array_equal(np.moveaxis(PIXELS - np.float32([1, 2, 3]), -1, 1), values)


def test_one_number_serves_all_channels():
    (values,) = wrapper(input_mean=(1.0,), input_std=(2.0,)).preprocess([PIXELS], [NHWC])
    assert np.array_equal((PIXELS.astype(np.float32) - 1) / 2, values)


@pytest.mark.parametrize(
    ("spec", "scaled"),
    [
        (TensorSpec("x", (1, 3), "int32"), False),
        (TensorSpec("x", (1, 3), "bool"), False),
        (TensorSpec("x", (1, 3), "int8", scale=0.1, zero_point=0), True),
        (TensorSpec("x", (1, 3), "float16"), True),
    ],
)
def test_only_real_values_are_scaled(spec, scaled):
    values = np.array([[1, 2, 3]], np.int32)
    real = TensorSpec("other", (1, 3), "float32")
    result, _ = wrapper(input_scale=2.0).preprocess([values, values], [spec, real])
    assert np.array_equal(values * 2 if scaled else values, result)


@pytest.mark.parametrize("option", ["input_mean", "input_std"])
def test_scaling_integers_alone_is_refused(option):
    spec = TensorSpec("tokens", (1, 3), "int64")
    values = np.array([[1, 2, 3]])
    with pytest.raises(ModelError, match="takes integers: tokens"):
        wrapper(**{option: (2.0,)}).preprocess([values], [spec])
    assert wrapper().preprocess([values], [spec])[0] is values


@pytest.mark.parametrize("batch", [1, 2, 6])
@pytest.mark.parametrize(
    ("shape", "axis", "layout"),
    [
        ((64, 6), -1, None),
        ((64, 9), -1, None),
        ((1, 64, 9), -1, None),
        ((9, 1, 64), 1, None),
        ((6, 64), 1, None),
        ((6, 10, 12), 1, None),
        ((6, 10, 12), 1, "NCHW"),
        ((10, 12, 6), -1, "NHWC"),
        ((3, 8, 3), -1, None),
        ((3, 3, 3), 1, "NCHW"),
        ((3, 3, 3), -1, "NHWC"),
        ((3, 8, 8), 1, None),
        ((5,), -1, None),
        ((6, 6), -1, None),
    ],
)
def test_channels_of_every_rank_are_found(batch, shape, axis, layout):
    spec = TensorSpec("x", (None, *shape), "float32", layout=layout)
    values = np.random.default_rng(0).normal(size=(batch, *shape)).astype(np.float32)
    mean = np.arange(1, values.shape[axis] + 1, dtype=np.float32)
    (result,) = wrapper(input_mean=mean.tolist(), input_std=(2 * mean).tolist()).preprocess(
        [values], [spec]
    )
    expected = np.moveaxis((np.moveaxis(values, axis, -1) - mean) / (2 * mean), -1, axis)
    assert np.array_equal(expected, result)


def test_channels_of_models_without_a_batch_are_found():
    values = np.ones((1, 4, 6), np.float32)
    (result,) = wrapper(input_mean=range(6)).preprocess([values], [TensorSpec("x", (4, 6), "f4")])
    assert np.array_equal(values[0] - np.arange(6), result)


def test_numbers_for_other_axes_than_the_channels_are_refused():
    spec = TensorSpec("x", (1, 3, 8, 5), "float32", layout="NCHW")
    with pytest.raises(ModelError, match="one for each channel of input 'x'.*got 5"):
        wrapper(input_mean=range(5)).preprocess([np.zeros((1, 3, 8, 5))], [spec])


@pytest.mark.parametrize("name", ["input_mean", "input_std"])
def test_a_wrong_number_of_channels_is_refused(name):
    with pytest.raises(ModelError, match=f"{name} must have one number, or one .*got 2"):
        wrapper(**{name: (1.0, 2.0)}).preprocess([PIXELS], [NHWC])


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_impossible_deviations_are_refused(value):
    with pytest.raises(OptionError, match="input_std"):
        wrapper(input_std=(value,))


def test_models_without_a_batch_dimension():
    model = wrapper()
    spec = TensorSpec("x", (2, 2, 3), "float32")
    (values,) = model.preprocess([PIXELS], [spec])
    assert (2, 2, 3) == values.shape
    assert (1, 5) == model.postprocess([np.zeros(5)]).shape
    with pytest.raises(InputError, match="no batch dimension"):
        model.preprocess([np.zeros((2, 2, 2, 3))], [spec])


def test_a_wrong_number_of_inputs_is_refused():
    with pytest.raises(InputError, match="takes 2 inputs.*gives 1"):
        wrapper().preprocess([PIXELS], [NHWC, NHWC])


def test_the_output_is_chosen():
    outputs = [np.zeros((1, 2)), np.ones((1, 3))]
    assert np.array_equal(outputs[1], wrapper(output_index=1).postprocess(outputs))
    with pytest.raises(ModelError, match="output_index must be below 2"):
        wrapper(output_index=2).postprocess(outputs)


def test_a_failed_load_leaves_no_model_behind(resources, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes((resources / "digits.onnx").read_bytes())
    model = ONNXFile(model_path=path)
    model.load()
    path.write_bytes(b"no longer a model")
    with pytest.raises(ModelError):
        model.run([np.zeros((2, 8, 8, 1), np.float32)])
    with pytest.raises(ModelError, match="before load"):
        model.specs()


class TestQuantizedSamples:
    SPEC = TensorSpec("q", (1, 256), "int8", scale=0.37, zero_point=-11)

    def test_quantizing_gives_the_same_integers_again(self):
        samples = np.arange(-128, 128).astype(np.int8)[None]
        (real,) = wrapper(quantized_samples=True).preprocess([samples], [self.SPEC])
        assert np.array_equal(samples, self.SPEC.conform(real))

    @pytest.mark.parametrize(
        ("values", "spec"),
        [
            (np.zeros((1, 256), np.float32), SPEC),
            (np.full((1, 256), 128), SPEC),
            (np.zeros((1, 256), np.int8), TensorSpec("x", (1, 256), "float32")),
        ],
    )
    def test_others_are_refused(self, values, spec):
        with pytest.raises(InputError, match="quantized"):
            wrapper(quantized_samples=True).preprocess([values], [spec])

    def test_nothing_else_may_scale(self):
        with pytest.raises(OptionError, match="--input-scale does"):
            wrapper(quantized_samples=True, input_scale=0.5)
