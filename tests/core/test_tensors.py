import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_tester.core.errors import InputError
from edge_tester.core.tensors import TensorCodec, TensorSpec, specs_of

FLOAT = TensorSpec("x", (1, 3), "float32")
INT8 = TensorSpec("q", (None, 2), "int8", scale=0.5, zero_point=10)


def sent(tensors, specs):
    shapes, pieces = TensorCodec(specs).pack(tensors)
    payload = b"".join(bytes(piece) for piece in pieces)
    return TensorCodec(specs).unpack(memoryview(payload), shapes)


def test_facts():
    assert (True, False) == (FLOAT.static, INT8.static)
    assert (False, True) == (FLOAT.quantized, INT8.quantized)
    assert 12 == FLOAT.nbytes
    with pytest.raises(InputError, match="no fixed size"):
        _ = INT8.nbytes
    assert "(any, 2) int8" == INT8.described()
    assert "(3,) bool" == TensorSpec("x", (3,), "bool").described()


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        ((1, 3, 8, 8), None, True),
        ((1, 8, 8, 3), None, False),
        ((3, 8, 8), None, True),
        ((1, 1, 8, 8), None, True),
        ((1, 3, 8, 3), None, False),
        ((1, 8, 8, 3), "NCHW", True),
        ((1, 3, 8, 8), "NHWC", False),
        ((1, 3, None, None), None, True),
        ((1, 3), None, False),
    ],
)
def test_place_of_the_channels(shape, layout, expected):
    assert expected == TensorSpec("x", shape, "float32", layout=layout).channels_first


@pytest.mark.parametrize(
    ("shape", "expected"), [((5, 2), True), ((0, 2), True), ((5, 3), False), ((2,), False)]
)
def test_accepts(shape, expected):
    assert expected == INT8.accepts(shape)


def test_quantizing_rounds_half_to_even_and_saturates():
    real = np.array([0.0, 0.25, 0.75, -0.25, 1e9, -1e9, np.inf, -np.inf])
    assert [10, 10, 12, 10, 127, -128, 127, -128] == INT8.quantize(real).tolist()
    assert np.int8 == INT8.quantize(real).dtype


def test_nan_cannot_be_quantized():
    with pytest.raises(InputError, match="'q' has NaN"):
        INT8.quantize(np.array([np.nan]))


@given(
    st.floats(1e-6, 1e6),
    st.sampled_from(["int8", "uint8", "int16"]),
    st.data(),
)
def test_all_integers_survive_dequantizing(scale, dtype, data):
    limits = np.iinfo(dtype)
    zero_point = data.draw(st.integers(limits.min, limits.max))
    spec = TensorSpec("q", (None,), dtype, scale=scale, zero_point=zero_point)
    values = np.arange(limits.min, limits.max + 1).astype(dtype)
    assert np.array_equal(values, spec.quantize(spec.dequantize(values)))


def test_real_values_of_what_is_not_quantized_are_themselves():
    values = np.zeros((1, 3), np.float32)
    assert FLOAT.dequantize(values) is values
    with pytest.raises(InputError, match="not quantized"):
        FLOAT.quantize(values)


@pytest.mark.parametrize(
    ("spec", "values", "expected"),
    [
        (FLOAT, np.ones((1, 3), np.float64), [[1, 1, 1]]),
        (FLOAT, np.full((1, 3), 7, np.uint8), [[7, 7, 7]]),
        (FLOAT, np.ones((3, 1), np.float32).T, [[1, 1, 1]]),
        (INT8, np.zeros((1, 2), np.float32), [[10, 10]]),
        # A dtype does not say that a value is quantized already.
        (INT8, np.full((1, 2), 3, np.int8), [[16, 16]]),
        (TensorSpec("x", (2,), "bool"), np.array([0, 1], np.uint8), [False, True]),
        (TensorSpec("x", (2,), "bool"), np.array([0.0, 1.0]), [False, True]),
        (TensorSpec("x", (2,), "int32"), np.array([1.0, -7.0], np.float32), [1, -7]),
        (TensorSpec("x", (2,), "float16"), np.array([1.0, 65504.0]), [1, 65504]),
        (TensorSpec("x", (2,), "float16"), np.array([1.0, np.inf]), [1, np.inf]),
    ],
)
def test_conforming(spec, values, expected):
    actual = spec.conform(values)
    assert np.array_equal(expected, actual)
    assert spec.dtype == actual.dtype
    assert actual.flags.c_contiguous


@pytest.mark.parametrize(
    ("spec", "values", "got"),
    [
        (FLOAT, np.ones((2, 3)), r"got \(2, 3\) float64"),
        (FLOAT, np.ones(3), r"got \(3,\) float64"),
        (FLOAT, np.full((1, 3), 2**24 + 1), "without loss"),
        (FLOAT, np.ones((1, 3), complex), "without loss"),
        (TensorSpec("x", (1,), "int32"), np.full(1, 0.5), "without loss: 0.5 is no value"),
        (TensorSpec("x", (1,), "int32"), np.full(1, 2.0**31), "without loss"),
        (TensorSpec("x", (1,), "int64"), np.full(1, 2.0**63), "without loss"),
        (TensorSpec("x", (1,), "int32"), np.full(1, np.nan), "without loss"),
        (TensorSpec("x", (1,), "uint64"), np.full(1, -1), "without loss"),
        (TensorSpec("x", (1,), "bool"), np.full(1, 2), "without loss"),
        (TensorSpec("x", (1,), "float16"), np.full(1, 70000.0), "beyond its largest value"),
        (TensorSpec("x", (1,), "float32"), np.full(1, 1e39), "beyond its largest value"),
        (TensorSpec("x", (1,), "int8"), np.array([300]), "without loss"),
    ],
)
def test_what_does_not_fit_is_refused_naming_both_sides(spec, values, got):
    with pytest.raises(InputError, match=f"Input 'x' takes .*{got}"):
        spec.conform(values)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=3))
def test_tensors_survive_packing(shapes):
    dtypes = ["float32", "int64", "bool"]
    specs = [TensorSpec(f"t{i}", (None, None), dtypes[i]) for i in range(len(shapes))]
    tensors = [
        np.random.default_rng(i).integers(0, 2, shape).astype(dtypes[i])
        for i, shape in enumerate(shapes)
    ]
    for expected, actual in zip(tensors, sent(tensors, specs), strict=True):
        assert expected.dtype == actual.dtype
        assert np.array_equal(expected, actual)


def test_packing_copies_nothing_contiguous():
    values = np.ones((1, 3), np.float32)
    shapes, pieces = TensorCodec([FLOAT]).pack([values])
    assert b"" == shapes
    assert np.shares_memory(values, pieces[0])


@pytest.mark.parametrize("size", [0, 11, 13])
def test_payloads_of_other_sizes_are_refused(size):
    with pytest.raises(InputError, match=f"1 tensors here, \\(1, 3\\) float32; got {size} bytes"):
        TensorCodec([FLOAT]).unpack(memoryview(bytes(size)))


def test_shapes_are_numbers_of_four_bytes():
    """Of each tensor the dimensions and their sizes, big-endian; written down by hand."""
    expected = bytes.fromhex("000000020000000100000002000000020000000300000002")
    values = [np.zeros((1, 2), np.int8), np.zeros((3, 2), np.int8)]
    assert expected == TensorCodec([INT8, INT8]).pack(values)[0]


NUMBERS = st.lists(st.integers(0, 3) | st.integers(0, 2**32 - 1), max_size=8)


@given(NUMBERS.map(lambda n: struct.pack(f">{len(n)}I", *n)) | st.binary(max_size=20), st.binary())
def test_no_payload_with_shapes_does_more_than_fit_or_fail(shapes, payload):
    codec = TensorCodec([INT8])
    try:
        (values,) = codec.unpack(memoryview(payload), shapes)
    except InputError:
        return
    assert INT8.accepts(values.shape)
    assert values.nbytes <= len(payload)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shape": [1, -3]}, "cannot be"),
        ({"shape": [1 << 30, 1 << 30]}, "cannot be"),
        ({"shape": "square"}, "described wrongly"),
        ({"dtype": "float33"}, "unknown dtype 'float33'"),
        ({"dtype": "object"}, "cannot be"),
        ({"dtype": "U10"}, "cannot be"),
        ({"scale": 0.0}, "scale 0.0"),
        ({"scale": float("nan")}, "scale nan"),
    ],
)
def test_descriptions_that_cannot_be_are_refused(change, said):
    good = {"name": "x", "shape": [1, None], "dtype": "uint8", "scale": 0.5, "zero_point": 3}
    assert [TensorSpec("x", (1, None), "uint8", 0.5, 3)] == specs_of([good])
    with pytest.raises(InputError, match=said):
        specs_of([{**good, **change}])
