"""Weights of LiteRT (TensorFlow Lite) files that a quantizer would spoil."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from edge_tester.compilers._shared.flatbuffer import Flatbuffer
from edge_tester.core.tensors import Array

_LARGEST_FLOAT16 = 65504.0
# A bias is quantized to 32 bits by the scales of input and weights; one bit is left for sums.
_LARGEST_BIAS = 2.0**30
_LARGEST_INT8 = 127
_INPUT_STEPS = 255
# Operation -> positions of input, weights and bias, and the axis of the weights' channels.
_WITH_BIAS = {
    "CONV_2D": (0, 1, 2, 0),
    "DEPTHWISE_CONV_2D": (0, 1, 2, 3),
    "FULLY_CONNECTED": (0, 1, 2, 0),
    "TRANSPOSE_CONV": (2, 1, 3, 0),
}


def with_room_for_biases(source: Flatbuffer, ranges: Mapping[str, Mapping[str, Any]]) -> Flatbuffer:
    """Return a float32 model whose biases fit into 32 bits when it is quantized per channel.

    Where a channel's weights are almost nothing beside its bias, as pruning leaves them, their
    scale would be so small that the bias overflows without a word. The largest weight of such a
    channel is raised until it does not, which moves its answers by less than 1e-4 of the bias.

    Parameters
    ----------
    source : Flatbuffer
    ranges : mapping
        Name of a tensor -> its ``min`` and ``max`` over the calibration samples.
    """
    content = bytearray(source.content)
    model = Flatbuffer(source.schema, bytes(content), source.schema.Model.GetRootAs(content, 0))
    for graph, operation, name in model.operations():
        if name not in _WITH_BIAS or operation.InputsLength() <= _WITH_BIAS[name][2]:
            continue
        places, axis = _WITH_BIAS[name][:3], _WITH_BIAS[name][3]
        values, weights, bias = (_tensor(graph, operation, place) for place in places)
        if values is None or weights is None or bias is None:
            continue
        numbers, offsets = model.constant(weights), model.constant(bias)
        found = ranges.get(values.Name().decode())
        if found is None or numbers is None or offsets is None:
            continue
        low, high = float(np.min(found["min"])), float(np.max(found["max"]))
        scale = (max(high, 0.0) - min(low, 0.0)) / _INPUT_STEPS
        if scale > 0:
            _raise_weights(numbers, offsets, axis, scale)
    return Flatbuffer(
        source.schema, bytes(content), source.schema.Model.GetRootAs(bytes(content), 0)
    )


def _raise_weights(weights: Array, bias: Array, axis: int, input_scale: float) -> None:
    channels = np.moveaxis(weights, axis, 0)
    if len(channels) != bias.size:
        return
    least = np.abs(bias.ravel()) * (_LARGEST_INT8 / (_LARGEST_BIAS * input_scale))
    for channel, wanted in zip(channels, least, strict=True):
        largest = np.unravel_index(np.argmax(np.abs(channel)), channel.shape)
        if abs(channel[largest]) < wanted:
            # Views on the content of the file.
            channel[largest] = wanted


def beyond_float16(source: Flatbuffer) -> list[str]:
    """Return the names of the outputs of operations with weights that float16 cannot hold."""
    return [
        graph.Tensors(operation.Outputs(0)).Name().decode()
        for graph, operation, _ in source.operations()
        if any(
            values is not None and bool((np.abs(values) > _LARGEST_FLOAT16).any())
            for values in _float_constants(source, graph, operation)
        )
    ]


def was_cut_to_float16(source: Flatbuffer) -> bool:
    """Tell whether a constant of half precision is at the end of its range, or beyond it."""
    return any(
        values is not None
        and values.dtype == np.float16
        and bool((np.abs(values) >= _LARGEST_FLOAT16).any())
        for graph, operation, _ in source.operations()
        for values in _float_constants(source, graph, operation)
    )


def _float_constants(source: Flatbuffer, graph: Any, operation: Any) -> Iterator[Array | None]:
    for position in range(operation.InputsLength()):
        tensor = _tensor(graph, operation, position)
        if tensor is not None:
            yield source.constant(tensor)


def _tensor(graph: Any, operation: Any, position: int) -> Any:
    index = operation.Inputs(position)
    return graph.Tensors(index) if index >= 0 else None
