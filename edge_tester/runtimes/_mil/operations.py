"""The operations of Core ML's programs, computed in float32 with numpy, some with PyTorch.

Names, inputs and their meaning: coremltools, Model Intermediate Language operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edge_tester.runtimes._mil import layers as layers

Operation = Callable[..., Any]


def _wide(values: Any) -> Any:
    """Return floats as float32, in which everything is computed."""
    array = np.asarray(values)
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _unary(function: Callable[..., Any]) -> Operation:
    def apply(torch: Any, x: Any, **options: Any) -> Any:
        return function(_wide(x), **options)

    return apply


def _binary(function: Callable[[Any, Any], Any]) -> Operation:
    def apply(torch: Any, x: Any, y: Any) -> Any:
        return function(_wide(x), _wide(y))

    return apply


def _reduction(function: Callable[..., Any]) -> Operation:
    def apply(torch: Any, x: Any, axes: Any = None, keep_dims: bool = False) -> Any:
        axis = None if axes is None else tuple(int(one) for one in np.ravel(axes))
        return function(_wide(x), axis=axis, keepdims=bool(keep_dims))

    return apply


def _softmax(x: Any, axis: Any = -1) -> Any:
    shifted = np.exp(x - x.max(axis=int(axis), keepdims=True))
    return shifted / shifted.sum(axis=int(axis), keepdims=True)


def _gelu(torch: Any, x: Any, mode: str = "EXACT") -> Any:
    if str(mode) == "SIGMOID_APPROXIMATION":
        return _wide(x) * layers.sigmoid(np.float32(1.702) * _wide(x))
    approximate = "tanh" if str(mode) == "TANH_APPROXIMATION" else "none"
    values = torch.from_numpy(_wide(x).copy())
    return torch.nn.functional.gelu(values, approximate=approximate).numpy()


def _cast(torch: Any, x: Any, dtype: str) -> Any:
    names = {"fp16": "float16", "fp32": "float32", "int32": "int32", "bool": "bool"}
    names |= {"int8": "int8", "uint8": "uint8", "int16": "int16", "uint16": "uint16"}
    return np.asarray(x).astype(names[str(dtype)])


def _reshape(torch: Any, x: Any, shape: Any) -> Any:
    array = np.asarray(x)
    sizes = [array.shape[i] if size == 0 else int(size) for i, size in enumerate(np.ravel(shape))]
    return array.reshape(sizes)


def _concat(torch: Any, values: Sequence[Any], axis: Any, interleave: bool = False) -> Any:
    if interleave:
        stacked = np.stack([np.asarray(one) for one in values], int(axis) + 1)
        shape = list(np.shape(values[0]))
        shape[int(axis)] *= len(values)
        return stacked.reshape(shape)
    return np.concatenate([np.atleast_1d(one) for one in values], int(axis))


def _split(
    torch: Any, x: Any, axis: Any, num_splits: Any = None, split_sizes: Any = None
) -> list[Any]:
    if split_sizes is None:
        return np.split(np.asarray(x), int(num_splits), int(axis))
    return np.split(np.asarray(x), np.cumsum(np.ravel(split_sizes))[:-1], int(axis))


def _slice_by_index(
    torch: Any,
    x: Any,
    begin: Any,
    end: Any,
    stride: Any = None,
    begin_mask: Any = None,
    end_mask: Any = None,
    squeeze_mask: Any = None,
) -> Any:
    array = np.asarray(x)
    parts: list[Any] = []
    for axis in range(array.ndim):
        step = 1 if stride is None else int(stride[axis])
        if squeeze_mask is not None and squeeze_mask[axis]:
            parts.append(int(begin[axis]))
            continue
        open_begin = begin_mask is not None and begin_mask[axis]
        open_end = end_mask is not None and end_mask[axis]
        first = None if open_begin else int(begin[axis])
        last = None if open_end else int(end[axis])
        parts.append(slice(first, last, step))
    return array[tuple(parts)]


def _slice_by_size(torch: Any, x: Any, begin: Any, size: Any) -> Any:
    array = np.asarray(x)
    parts = [
        slice(int(first), None if count == -1 else int(first) + int(count))
        for first, count in zip(begin, size, strict=True)
    ]
    return array[tuple(parts)]


def _pad(torch: Any, x: Any, pad: Any, mode: str = "constant", constant_val: Any = 0.0) -> Any:
    array = np.asarray(x)
    pairs = np.ravel(pad).reshape(-1, 2).tolist()
    # They are for the last dimensions.
    pairs = [[0, 0]] * (array.ndim - len(pairs)) + pairs
    modes: dict[str, Any] = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}
    if str(mode) == "constant":
        return np.pad(array, pairs, "constant", constant_values=constant_val)
    return np.pad(array, pairs, modes[str(mode)])


def _crop(torch: Any, x: Any, crop_height: Any, crop_width: Any) -> Any:
    array = np.asarray(x)
    top, bottom, left, right = (int(size) for size in (*crop_height, *crop_width))
    return array[..., top : array.shape[-2] - bottom, left : array.shape[-1] - right]


def _gather(torch: Any, x: Any, indices: Any, axis: Any = 0, **unused: Any) -> Any:
    return np.take(np.asarray(x), np.asarray(indices).astype(np.int64), int(axis))


def _matmul(
    torch: Any, x: Any, y: Any, transpose_x: bool = False, transpose_y: bool = False
) -> Any:
    left, right = _wide(x), _wide(y)
    left = np.swapaxes(left, -1, -2) if transpose_x else left
    right = np.swapaxes(right, -1, -2) if transpose_y else right
    return left @ right


def _linear(torch: Any, x: Any, weight: Any, bias: Any = None) -> Any:
    product = _wide(x) @ _wide(weight).T
    return product if bias is None else product + _wide(bias)


def _affine_dequantize(
    torch: Any, quantized_data: Any, zero_point: Any, scale: Any, axis: Any
) -> Any:
    def along(values: Any) -> Any:
        if np.ndim(values) == 0:
            return values
        shape = [1] * np.ndim(quantized_data)
        shape[int(axis)] = -1
        return np.reshape(values, shape)

    shifted = np.asarray(quantized_data, np.float32) - np.asarray(along(zero_point), np.float32)
    return shifted * np.asarray(along(scale), np.float32)


def _spread(values: Any, shape: Sequence[int]) -> Any:
    """Repeat values so that each is there for the whole of its block."""
    for axis, size in enumerate(shape):
        values = np.repeat(values, size // values.shape[axis], axis)
    return values


def _blockwise_shift_scale(torch: Any, data: Any, scale: Any, offset: Any = None) -> Any:
    shifted = np.asarray(data, np.float32)
    if offset is not None:
        shifted = shifted - _spread(np.asarray(offset, np.float32), shifted.shape)
    return shifted * _spread(np.asarray(scale, np.float32), shifted.shape)


def _lut_to_dense(torch: Any, indices: Any, lut: Any, shape: Any = None, **unused: Any) -> Any:
    if shape is not None:
        # Up to iOS 17: the indices lie packed, the lowest bit first.
        bits, count = int(math.log2(np.size(lut))), math.prod(np.ravel(shape).tolist())
        unpacked = np.unpackbits(np.asarray(indices, np.uint8), bitorder="little")
        places = unpacked[: count * bits].reshape(count, bits) @ (1 << np.arange(bits))
        return np.ravel(lut)[places].reshape(np.ravel(shape))
    places = np.asarray(indices).astype(np.int64)
    palettes = _spread(np.asarray(lut)[..., 0], (*places.shape, np.shape(lut)[-2]))
    return np.take_along_axis(palettes, places[..., np.newaxis], -1)[..., 0]


def _torch_like(values: Any, axes: Any) -> tuple[int, ...]:
    return tuple(int(one) for one in np.ravel(axes))


OPERATIONS: dict[str, Operation] = {
    "abs": _unary(np.abs),
    "add": _binary(np.add),
    "avg_pool": layers.avg_pool,
    "batch_norm": layers.batch_norm,
    "cast": _cast,
    "ceil": _unary(np.ceil),
    "clip": lambda torch, x, alpha, beta: np.clip(_wide(x), alpha, beta),
    "concat": _concat,
    "constexpr_affine_dequantize": _affine_dequantize,
    "constexpr_blockwise_shift_scale": _blockwise_shift_scale,
    "constexpr_cast": lambda torch, source_val, output_dtype: _cast(
        torch, source_val, output_dtype
    ),
    "constexpr_lut_to_dense": _lut_to_dense,
    "conv": layers.conv,
    "conv_transpose": layers.conv_transpose,
    "cos": _unary(np.cos),
    "crop": _crop,
    "elu": _unary(lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))),
    "equal": _binary(np.equal),
    "erf": lambda torch, x: torch.erf(torch.from_numpy(_wide(x).copy())).numpy(),
    "exp": _unary(np.exp),
    "expand_dims": lambda torch, x, axes: np.expand_dims(np.asarray(x), _torch_like(x, axes)),
    "fill": lambda torch, shape, value=0.0: np.full(np.ravel(shape), value),
    "floor": _unary(np.floor),
    "floor_div": _binary(np.floor_divide),
    "gather": _gather,
    "gelu": _gelu,
    "greater": _binary(np.greater),
    "greater_equal": _binary(np.greater_equal),
    "identity": lambda torch, x: x,
    "inverse": _unary(lambda x, epsilon=1e-4: 1 / (x + epsilon)),
    "instance_norm": layers.instance_norm,
    "layer_norm": layers.layer_norm,
    "leaky_relu": _unary(lambda x, alpha=0.01: np.where(x >= 0, x, alpha * x)),
    "less": _binary(np.less),
    "less_equal": _binary(np.less_equal),
    "linear": _linear,
    "log": _unary(lambda x, epsilon=1e-45: np.log(x + epsilon)),
    "logical_and": _binary(np.logical_and),
    "logical_not": _unary(np.logical_not),
    "logical_or": _binary(np.logical_or),
    "lstm": layers.lstm,
    "matmul": _matmul,
    "max_pool": layers.max_pool,
    "maximum": _binary(np.maximum),
    "minimum": _binary(np.minimum),
    "mul": _binary(np.multiply),
    "not_equal": _binary(np.not_equal),
    "pad": _pad,
    "pixel_shuffle": layers.pixel_shuffle,
    "pow": _binary(np.power),
    "prelu": lambda torch, x, alpha: layers.prelu(_wide(x), _wide(alpha)),
    "real_div": _binary(np.divide),
    "reduce_max": _reduction(np.max),
    "reduce_mean": _reduction(np.mean),
    "reduce_min": _reduction(np.min),
    "reduce_sum": _reduction(np.sum),
    "relu": _unary(lambda x: np.maximum(x, 0)),
    "relu6": _unary(lambda x: np.clip(x, 0, 6)),
    "reshape": _reshape,
    "reverse": lambda torch, x, axes=None: np.flip(
        np.asarray(x), None if axes is None else _torch_like(x, axes)
    ),
    "round": _unary(np.round),
    "rsqrt": _unary(lambda x, epsilon=1e-12: 1 / np.sqrt(x + epsilon)),
    "select": lambda torch, cond, a, b: np.where(cond, a, b),
    "shape": lambda torch, x: np.array(np.shape(x), np.int32),
    "sigmoid": _unary(layers.sigmoid),
    "sigmoid_hard": _unary(lambda x, alpha=0.2, beta=0.5: np.clip(alpha * x + beta, 0, 1)),
    "sign": _unary(np.sign),
    "sin": _unary(np.sin),
    "silu": _unary(lambda x: x * layers.sigmoid(x)),
    "slice_by_index": _slice_by_index,
    "slice_by_size": _slice_by_size,
    "softmax": _unary(_softmax),
    "softplus": _unary(lambda x: np.logaddexp(x, 0)),
    "split": _split,
    "sqrt": _unary(np.sqrt),
    "square": _unary(np.square),
    "squeeze": lambda torch, x, axes=None: np.squeeze(
        np.asarray(x), None if axes is None else _torch_like(x, axes)
    ),
    "stack": lambda torch, values, axis: np.stack([np.asarray(v) for v in values], int(axis)),
    "sub": _binary(np.subtract),
    "tanh": _unary(np.tanh),
    "thresholded_relu": _unary(lambda x, alpha=1.0: np.where(x >= alpha, x, 0)),
    "tile": lambda torch, x, reps: np.tile(np.asarray(x), np.ravel(reps)),
    "transpose": lambda torch, x, perm: np.transpose(np.asarray(x), np.ravel(perm)),
    "upsample_bilinear": layers.upsample_bilinear,
    "upsample_nearest_neighbor": layers.upsample_nearest_neighbor,
}
