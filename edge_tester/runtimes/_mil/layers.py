"""Layers of Core ML's programs, computed with PyTorch in float32, channels first.

Names, inputs and their meaning: coremltools, Model Intermediate Language operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def conv(
    torch: Any,
    x: Any,
    weight: Any,
    bias: Any = None,
    strides: Any = None,
    pad_type: str = "valid",
    pad: Any = None,
    dilations: Any = None,
    groups: Any = 1,
) -> Any:
    """Convolve over one, two or three dimensions."""
    values, kernel = _tensor(torch, x), _tensor(torch, weight)
    dimensions = values.ndim - 2
    steps, gaps = _sizes(strides, dimensions), _sizes(dilations, dimensions)
    sizes = kernel.shape[2:]
    values = _padded(torch, values, sizes, steps, gaps, str(pad_type), pad)
    function = getattr(torch.nn.functional, f"conv{dimensions}d")
    offsets = None if bias is None else _tensor(torch, bias)
    return function(values, kernel, offsets, steps, 0, gaps, int(groups)).numpy()


def conv_transpose(
    torch: Any,
    x: Any,
    weight: Any,
    bias: Any = None,
    pad: Any = None,
    output_shape: Any = None,
    pad_type: str = "valid",
    strides: Any = None,
    dilations: Any = None,
    groups: Any = 1,
) -> Any:
    """Convolve transposed; what is padded is cut off the full result."""
    values, kernel = _tensor(torch, x), _tensor(torch, weight)
    dimensions = values.ndim - 2
    steps, gaps = _sizes(strides, dimensions), _sizes(dilations, dimensions)
    function = getattr(torch.nn.functional, f"conv_transpose{dimensions}d")
    offsets = None if bias is None else _tensor(torch, bias)
    full = function(values, kernel, offsets, steps, 0, 0, int(groups), gaps).numpy()
    wanted = None if output_shape is None else [int(size) for size in output_shape][2:]
    parts: list[slice] = [slice(None), slice(None)]
    for axis in range(dimensions):
        size = full.shape[axis + 2]
        if str(pad_type) == "custom" and pad is not None:
            before, after = int(pad[2 * axis]), int(pad[2 * axis + 1])
        else:
            kept = wanted[axis] if wanted else size
            if str(pad_type).startswith("same") and not wanted:
                kept = values.shape[axis + 2] * steps[axis]
            before = (size - kept) // 2
            after = size - kept - before
        end = before + wanted[axis] if wanted else size - after
        if end > size:
            missing = [(0, 0)] * full.ndim
            missing[axis + 2] = (0, end - size)
            full = np.pad(full, missing)
        parts.append(slice(before, end))
    return full[tuple(parts)]


def max_pool(
    torch: Any,
    x: Any,
    kernel_sizes: Any,
    strides: Any = None,
    pad_type: str = "valid",
    pad: Any = None,
    ceil_mode: bool = False,
) -> Any:
    """Take the largest value of each window."""
    values = _tensor(torch, x)
    dimensions = values.ndim - 2
    sizes = [int(size) for size in kernel_sizes]
    steps = _sizes(strides, dimensions)
    lowest = float("-inf")
    values = _padded(torch, values, sizes, steps, [1] * dimensions, str(pad_type), pad, lowest)
    function = getattr(torch.nn.functional, f"max_pool{dimensions}d")
    return function(values, sizes, steps, ceil_mode=bool(ceil_mode)).numpy()


def avg_pool(
    torch: Any,
    x: Any,
    kernel_sizes: Any,
    strides: Any = None,
    pad_type: str = "valid",
    pad: Any = None,
    exclude_padding_from_average: bool = False,
    ceil_mode: bool = False,
) -> Any:
    """Take the mean of each window, with or without what was padded."""
    values = _tensor(torch, x)
    dimensions = values.ndim - 2
    sizes = [int(size) for size in kernel_sizes]
    steps = _sizes(strides, dimensions)
    shape = (sizes, steps, [1] * dimensions, str(pad_type), pad)
    function = getattr(torch.nn.functional, f"avg_pool{dimensions}d")

    def pooled(tensor: Any) -> Any:
        return function(_padded(torch, tensor, *shape), sizes, steps, ceil_mode=bool(ceil_mode))

    means = pooled(values)
    if exclude_padding_from_average:
        # The mean of ones is the part of each window that was not padded.
        means = means / pooled(torch.ones_like(values))
    return means.numpy()


def batch_norm(
    torch: Any,
    x: Any,
    mean: Any,
    variance: Any,
    gamma: Any = None,
    beta: Any = None,
    epsilon: Any = 1e-5,
) -> Any:
    """Normalize each channel by known statistics."""
    given = [None if one is None else _tensor(torch, one) for one in (mean, variance, gamma, beta)]
    function = torch.nn.functional.batch_norm
    return function(_tensor(torch, x), *given, eps=float(epsilon)).numpy()


def layer_norm(
    torch: Any, x: Any, axes: Any, gamma: Any = None, beta: Any = None, epsilon: Any = 1e-5
) -> Any:
    """Normalize over some dimensions by their own statistics."""
    values = np.asarray(x, np.float32)
    over = tuple(int(axis) % values.ndim for axis in np.ravel(axes))
    centred = values - values.mean(over, keepdims=True)
    found = centred / np.sqrt(np.square(centred).mean(over, keepdims=True) + float(epsilon))
    shape = [
        values.shape[a] if a - values.ndim in over or a in over else 1 for a in range(values.ndim)
    ]
    if gamma is not None:
        found = found * np.asarray(gamma, np.float32).reshape(shape)
    return found if beta is None else found + np.asarray(beta, np.float32).reshape(shape)


def instance_norm(
    torch: Any, x: Any, gamma: Any = None, beta: Any = None, epsilon: Any = 1e-5
) -> Any:
    """Normalize each channel of each sample by its own statistics."""
    given = [None if one is None else _tensor(torch, one) for one in (gamma, beta)]
    function = torch.nn.functional.instance_norm
    return function(_tensor(torch, x), None, None, *given, eps=float(epsilon)).numpy()


def pixel_shuffle(torch: Any, x: Any, upscale_factor: Any) -> Any:
    """Turn channels into rows and columns."""
    return torch.nn.functional.pixel_shuffle(_tensor(torch, x), int(upscale_factor)).numpy()


def lstm(
    torch: Any,
    x: Any,
    initial_h: Any,
    initial_c: Any,
    weight_ih: Any,
    weight_hh: Any,
    bias: Any = None,
    weight_ih_back: Any = None,
    weight_hh_back: Any = None,
    bias_back: Any = None,
    direction: str = "forward",
    output_sequence: bool = False,
    recurrent_activation: str = "sigmoid",
    cell_activation: str = "tanh",
    activation: str = "tanh",
) -> list[Any]:
    """Step through a sequence (steps, batch, values), forward, backward or both."""
    ways = [(weight_ih, weight_hh, bias, str(direction) == "reverse")]
    if str(direction) == "bidirectional":
        ways.append((weight_ih_back, weight_hh_back, bias_back, True))
    gate, candidate, squashed = (
        _ACTIVATIONS[str(one)] for one in (recurrent_activation, cell_activation, activation)
    )
    values = np.asarray(x, np.float32)
    hidden_of = np.split(np.asarray(initial_h, np.float32), len(ways), -1)
    cells_of = np.split(np.asarray(initial_c, np.float32), len(ways), -1)
    sequences: list[Any] = []
    for number, (taken, kept, offset, backward) in enumerate(ways):
        hidden, cells, outputs = hidden_of[number], cells_of[number], []
        for step in values[::-1] if backward else values:
            sums = step @ np.asarray(taken, np.float32).T + hidden @ np.asarray(kept, np.float32).T
            if offset is not None:
                sums = sums + np.asarray(offset, np.float32)
            entering, forgetting, leaving, found = np.split(sums, 4, -1)
            cells = gate(forgetting) * cells + gate(entering) * candidate(found)
            hidden = gate(leaving) * squashed(cells)
            outputs.append(hidden)
        sequences.append(np.stack(outputs[::-1] if backward else outputs))
        hidden_of[number], cells_of[number] = hidden, cells
    hidden, cells = np.concatenate(hidden_of, -1), np.concatenate(cells_of, -1)
    return [np.concatenate(sequences, -1) if output_sequence else hidden[np.newaxis], hidden, cells]


def prelu(values: Any, alpha: Any) -> Any:
    """Scale negative values by a factor per channel."""
    factors = alpha.reshape(1, -1, *[1] * (values.ndim - 2))
    return np.where(values >= 0, values, factors * values)


def sigmoid(x: Any) -> Any:
    """Return the logistic function."""
    # Both halves of the line, so that no exponential overflows.
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
}


def upsample_nearest_neighbor(
    torch: Any, x: Any, scale_factor_height: Any = 1, scale_factor_width: Any = 1
) -> Any:
    """Repeat rows and columns."""
    factors = (float(scale_factor_height), float(scale_factor_width))
    function = torch.nn.functional.interpolate
    return function(_tensor(torch, x), scale_factor=factors, mode="nearest").numpy()


def upsample_bilinear(
    torch: Any,
    x: Any,
    scale_factor_height: Any = 1,
    scale_factor_width: Any = 1,
    align_corners: bool = True,
    half_pixel_centers: Any = None,
) -> Any:
    """Interpolate between rows and columns."""
    values = _tensor(torch, x)
    height = int(values.shape[-2] * float(scale_factor_height))
    width = int(values.shape[-1] * float(scale_factor_width))
    corners = bool(align_corners)
    function = torch.nn.functional.interpolate
    return function(values, size=(height, width), mode="bilinear", align_corners=corners).numpy()


def _tensor(torch: Any, values: Any) -> Any:
    return torch.from_numpy(np.array(values, np.float32))


def _sizes(given: Any, dimensions: int) -> list[int]:
    return [1] * dimensions if given is None else [int(size) for size in given]


def _padded(
    torch: Any,
    values: Any,
    sizes: Sequence[int],
    steps: Sequence[int],
    gaps: Sequence[int],
    pad_type: str,
    pad: Any,
    filling: float = 0.0,
) -> Any:
    """Return values with the border that a window needs."""
    pairs: list[tuple[int, int]] = []
    for axis, (size, step, gap) in enumerate(zip(sizes, steps, gaps, strict=True)):
        if pad_type == "custom" and pad is not None:
            pairs.append((int(pad[2 * axis]), int(pad[2 * axis + 1])))
        elif pad_type in ("same", "same_lower"):
            have = values.shape[axis + 2]
            reach = (size - 1) * gap + 1
            missing = max((-(-have // step) - 1) * step + reach - have, 0)
            less = missing // 2
            pairs.append((less, missing - less) if pad_type == "same" else (missing - less, less))
        else:
            pairs.append((0, 0))
    flat = [amount for pair in reversed(pairs) for amount in pair]
    return torch.nn.functional.pad(values, flat, value=filling) if any(flat) else values
