"""How many multiply-accumulates an operator takes.

Counted are those of convolutions, products of matrices, attention and recurrent cells, with
their zeros: padding, and weights that happen to be 0. Biases, activations, pooling,
normalizing, softmax, resizing and whatever only moves data count 0. A multiply-accumulate is
two floating-point operations.

Source of the sums: V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep learning,
arXiv:1603.07285; of attention: A. Vaswani et al., Attention is all you need, arXiv:1706.03762,
equation 1; of recurrent cells: the matrices of ONNX' LSTM and GRU.
"""

from __future__ import annotations

import math

from edge_tester.core.graphs import (
    Attention,
    Convolution,
    Free,
    Graph,
    Operator,
    Product,
    Recurrent,
    Unknown,
)


def macs_of(operator: Operator, graph: Graph) -> int | None:
    """Return the multiply-accumulates of one operator for the whole batch.

    Returns
    -------
    int or None
        None where it is not known what the operator computes, or on how much.
    """
    work = operator.work
    if isinstance(work, Unknown):
        return None
    if isinstance(work, Free):
        return 0
    if isinstance(work, Recurrent):
        return work.cells * work.weights
    outputs = graph.tensors[operator.outputs[0]].elements
    inputs = graph.tensors[operator.inputs[0]].elements
    if outputs is None or inputs is None:
        return None
    if isinstance(work, Product):
        return outputs * work.contracted
    if isinstance(work, Attention):
        # Each query with each key, and each score with each value: both widths are in the sizes.
        return (inputs + outputs) * work.keys
    return _convolution(work, inputs, outputs)


def _convolution(work: Convolution, inputs: int, outputs: int) -> int:
    taps = math.prod(work.kernel)
    if work.transposed:
        # Each input element is spread over the kernel of each output channel of its group.
        return inputs * taps * (work.output_channels // work.groups)
    return outputs * taps * (work.input_channels // work.groups)


def why_unknown(operator: Operator) -> str:
    """Return why the multiply-accumulates of an operator are not known."""
    work = operator.work
    return work.reason if isinstance(work, Unknown) else "The sizes of its tensors are not known."
