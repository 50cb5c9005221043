"""What tflite-micro takes besides tensors, and which operators it has.

Source: tflite-micro at 90b983c2 (August 2026): ``micro_mutable_op_resolver.h`` for the operators;
``kernels/transpose_conv.cc``, ``kernels/reduce_common.cc`` and ``kernels/svdf_common.cc`` for the
scratch memory of the reference kernels; the sizes of its structures and of what each operator
keeps as ``print_allocations()`` of the package tells them on a 64-bit machine.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from edge_tester.core.analysis.liveness import Buffer, Liveness
from edge_tester.core.graphs import Convolution, Free, Graph, Operator

OPERATORS = frozenset(
    "ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND "
    "BROADCAST_ARGS BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM "
    "DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP "
    "EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GREATER "
    "GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG "
    "LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM "
    "MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE READ_VARIABLE REDUCE_ALL "
    "REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 "
    "ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V "
    "SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE "
    "TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE ZEROS_LIKE".split()
)
_REDUCTIONS = ("MEAN", "SUM")
# Of a 64-bit machine; pointers and with them most of the rest are half as long on 32 bits.
_TENSOR, _NODE, _PORT, _KEPT, _CHANNEL, _FIXED = 24, 64, 64, 112, 8, 1200


class Range(NamedTuple):
    """An estimate: what it is at least and at most [bytes]."""

    low: int
    high: int

    def __add__(self, other: object) -> Range:
        """Return the range of the sum."""
        if not isinstance(other, Range):
            return NotImplemented
        return Range(self.low + other.low, self.high + other.high)


# Low: "The core runtime just fits in 16 KB on an Arm Cortex M3", TensorFlow Lite for
# Microcontrollers, overview. High: text and data of the keyword benchmark with its kernels and
# model on x86-64, data/continuous_builds/size_profiling of tflite-micro, 14 July 2022.
RUNTIME_CODE = Range(16 * 1024, 88_597 + 1_920)


def lacking(graph: Graph) -> list[str]:
    """Return the kinds of operators that tflite-micro does not have."""
    return sorted({one.kind for one in graph.operators} - OPERATORS)


def with_scratch(lives: Liveness, graph: Graph) -> Liveness:
    """Return what lives with the scratch memory of the reference kernels, while each runs."""
    added = []
    for place, operator in enumerate(graph.operators):
        if size := _scratch_bytes(operator, graph):
            added.append(Buffer(f"scratch of {operator.name}", size, place, place))
    return Liveness((*lives.buffers, *added), lives.operators, lives.unknown)


def _scratch_bytes(operator: Operator, graph: Graph) -> int:
    values = graph.tensors[operator.inputs[0]] if operator.inputs else None
    result = graph.tensors[operator.outputs[0]].elements if operator.outputs else None
    if values is None or result is None:
        return 0
    # Sums of products, before they are rounded to the output's type.
    width = {"int8": 4, "int16": 8}.get(values.dtype, 0)
    if operator.kind == "TRANSPOSE_CONV":
        return result * width
    return result * min(width, 4) if operator.kind in _REDUCTIONS else 0


def persistent_bytes(graph: Graph) -> Range:
    """Return what the interpreter keeps in the arena besides tensors, on 32 and on 64 bits."""
    ports = len(graph.inputs) + len(graph.outputs)
    # A multiplier and a shift for each, also where nothing is quantized.
    channels = 0
    for one in graph.operators:
        if isinstance(one.work, Convolution):
            channels += one.work.output_channels
        elif not isinstance(one.work, Free):
            channels += math.prod((graph.tensors[one.outputs[0]].shape or (1,))[-1:])
    high = (
        _FIXED
        + _TENSOR * len(graph.tensors)
        + (_NODE + _KEPT) * len(graph.operators)
        + _PORT * ports
        + _CHANNEL * channels
    )
    return Range(_CHANNEL * channels + (high - _CHANNEL * channels) // 4, high)


def fast_kernels_bytes(graph: Graph) -> Range:
    """Return the scratch memory of CMSIS-NN's kernels, none with those of reference.

    Two columns of 16-bit inputs of a convolution of integers; the kernel that asks for the most
    decides. Source: CMSIS-NN, arm_convolve_get_buffer_sizes_s8.c and
    arm_depthwise_conv_get_buffer_sizes_s8.c.
    """
    most = 0
    for one in graph.operators:
        work = one.work
        if not isinstance(work, Convolution) or work.transposed:
            continue
        if graph.tensors[one.inputs[0]].dtype not in ("int8", "int16"):
            continue
        taps = math.prod(work.kernel)
        depthwise = work.groups == work.input_channels > 1
        if taps > 1:
            most = max(most, (2 if depthwise else 4) * taps * work.input_channels)
    return Range(0, most)
