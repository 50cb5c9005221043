"""The capability of a model wrapper to tell the graph of its model: operators, tensors, sizes.

Readers translate the words of a format into what an operator works, so that what is computed
from a graph does not depend on the format.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

Shape = tuple[int, ...]
Role = Literal["activation", "parameter", "constant"]
Form = Literal["view", "activation", "elementwise", "other"]

# Bits of an element; what is missing has no fixed size.
_BITS = {
    **{"bool": 8, "int2": 2, "int4": 4, "uint4": 4, "int8": 8, "uint8": 8},
    **{"float8_e4m3fn": 8, "float8_e5m2": 8, "float16": 16, "bfloat16": 16},
    **{"int16": 16, "uint16": 16, "float32": 32, "int32": 32, "uint32": 32},
    **{"float64": 64, "int64": 64, "uint64": 64, "complex64": 64, "complex128": 128},
}


class GraphTensor(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor of a graph.

    Attributes
    ----------
    name : str
        No other tensor of the graph has it.
    shape : tuple of int or None
        Batch included; None where nothing tells.
    dtype : str
        numpy's name; also ``bfloat16``, ``int4`` and such.
    role : str
        ``activation``: computed from the inputs, or an input. ``parameter``: a learned constant
        of real numbers, quantized ones included. ``constant``: any other, such as axes and scales.
    source : str
        Of a constant that is computed from another one: that one; otherwise empty.
    """

    name: str
    shape: Shape | None
    dtype: str
    role: Role = "activation"
    source: str = ""

    @property
    def elements(self) -> int | None:
        """Number of elements, None where the shape is not known."""
        return None if self.shape is None else math.prod(self.shape)

    @property
    def size_bytes(self) -> int | None:
        """Bytes without any padding, None where shape or type do not tell."""
        bits = _BITS.get(self.dtype)
        elements = self.elements
        return None if bits is None or elements is None else (elements * bits + 7) // 8


class Convolution(msgspec.Struct, frozen=True, kw_only=True):
    """A convolution of any number of dimensions; dilation changes none of its work.

    Attributes
    ----------
    kernel : tuple of int
    input_channels, output_channels, groups : int
    transposed : bool
    """

    kernel: Shape
    input_channels: int
    output_channels: int
    groups: int = 1
    transposed: bool = False


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """A product of matrices, in batches or not: each output element is a sum of ``contracted``."""

    contracted: int


class Attention(msgspec.Struct, frozen=True, kw_only=True):
    """Scaled dot-product attention over ``keys`` positions: scores, and their sum of values."""

    keys: int


class Recurrent(msgspec.Struct, frozen=True, kw_only=True):
    """Recurrent cells: each of ``cells`` multiplies a vector by ``weights`` matrix elements.

    Attributes
    ----------
    cells : int
        Steps times sequences.
    weights : int
        Elements of all matrices, of both directions and all layers; no biases.
    """

    cells: int
    weights: int


class Free(msgspec.Struct, frozen=True, kw_only=True):
    """No multiply-accumulate by definition: elementwise, pooling, normalizing, moving data."""


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing tells what an operator computes, and why not."""

    reason: str


Work = Convolution | Product | Attention | Recurrent | Free | Unknown


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """One operator, in the order in which the graph is run.

    Attributes
    ----------
    name : str
        No other operator of the graph has it.
    kind : str
        In the words of the format: ``Conv``, ``CONV_2D``, ``conv2d``.
    inputs, outputs : tuple of str
        Names of tensors, constants included.
    work : Work
    layer : str
        The module or layer that it is a part of, empty where nothing tells.
    form : str
        ``view``: the output has the memory of the first input. ``activation``: elementwise of one
        tensor. ``elementwise``: of several. ``other``: anything else.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    work: Work
    layer: str = ""
    form: Form = "other"


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """One model as a graph.

    Attributes
    ----------
    name, format : str
    batch_size : int
        Samples that the shapes are of.
    tensors : dict of str to GraphTensor
    operators : tuple of Operator
    inputs, outputs : tuple of str
        Of the model.
    file_bytes : int
        Of the model's file, weights beside it included.
    notes : tuple of str
        What is missing in it, or was assumed, in sentences.
    incomplete : bool
        Whether operators run graphs within, whose weights, work and memory are not in it.
    """

    name: str
    format: str
    batch_size: int
    tensors: dict[str, GraphTensor]
    operators: tuple[Operator, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    file_bytes: int
    notes: tuple[str, ...] = ()
    incomplete: bool = False


class Graphs:
    """A subclass must be a model wrapper as well, and tell the graph of its model.

    It comes before that role among the bases.

    * All operators of the main graph are told in the order in which they run; what is computed
      from constants alone is a constant, with the ``source`` that its data come from.
    * An operator whose computation is not known for certain is :class:`Unknown`, never free.
    * Shapes are whole numbers, for one batch size; a size that is open and not given is refused.

    Conformance suite: :class:`edge_tester.testing.GraphsConformance`.
    """

    def graph(self, batch_size: int | None = None, shapes: Sequence[Shape] = ()) -> Graph:
        """Return the graph of the model's file.

        Parameters
        ----------
        batch_size : int, optional
            Samples in an inference; that of the file, or 1 where it is open, if not given.
        shapes : sequence of tuple of int
            Of one sample of each input, without the batch; empty for those of the file.

        Raises
        ------
        ModelError
            The file is missing, corrupt, or has no graph that can be told.
        OptionError
            Sizes are open and not given, or the model does not take these.
        """
        raise NotImplementedError
