"""Tensor specs: what a model takes and gives, and the way there and back.

Affine quantization: ``real = scale * (quantized - zero_point)``.
Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018, equation 1.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from edge_tester.core.errors import InputError

Array = np.ndarray[Any, np.dtype[Any]]
_SIZE_BYTES = 4
# Booleans, integers, floating-point and complex numbers.
_KINDS = "biufc"
_LARGEST_TENSOR = 1 << 40


class TensorSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """Name, shape, dtype and quantization of one input or output.

    Attributes
    ----------
    name : str
        Name in the model.
    shape : tuple of (int or None)
        Whole shape, the batch included; None where the model leaves it open.
    dtype : str
        numpy's name of the element type.
    scale, zero_point : float and int, or None
        Per-tensor affine quantization; None for tensors that are not quantized.
    layout : str or None
        ``"NHWC"`` or ``"NCHW"`` where known.
    position : int or None
        Place among all outputs of the model, where a runtime leaves some out; None if it
        follows from the order.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None
    layout: str | None = None
    position: int | None = None

    @property
    def quantized(self) -> bool:
        """Whether values are quantized integers."""
        return self.scale is not None

    @property
    def static(self) -> bool:
        """Whether the whole shape is known."""
        return None not in self.shape

    @property
    def channels_first(self) -> bool:
        """Whether an image tensor is (..., channels, height, width).

        Where ``layout`` does not say so, a size of 1, 3 or 4 in the channels'
        place and another one at the end does.
        """
        if self.layout is not None:
            return self.layout == "NCHW"
        usual = (1, 3, 4)
        return len(self.shape) >= 3 and self.shape[-3] in usual and self.shape[-1] not in usual

    @property
    def nbytes(self) -> int:
        """Size in bytes of a tensor of this spec; needs a static shape."""
        sizes = [size for size in self.shape if size is not None]
        if len(sizes) != len(self.shape):
            raise InputError(f"Tensor {self.name!r} has no fixed size: shape {self.shape}.")
        return math.prod(sizes) * np.dtype(self.dtype).itemsize

    def accepts(self, shape: Sequence[int | None]) -> bool:
        """Tell whether a tensor of this shape fits."""
        return len(shape) == len(self.shape) and all(
            mine is None or mine == theirs for mine, theirs in zip(self.shape, shape, strict=True)
        )

    def quantize(self, values: Array) -> Array:
        """Turn real values into this spec's integers: rounded half to even, then clipped.

        Parameters
        ----------
        values : ndarray
            Real values of any numeric dtype.

        Returns
        -------
        ndarray of ``self.dtype``, same shape
        """
        if self.scale is None:
            raise InputError(f"Tensor {self.name!r} is not quantized.")
        limits = np.iinfo(self.dtype)
        # float64: float32 would round large ratios before rint sees them.
        scaled = np.rint(np.asarray(values, np.float64) / self.scale) + (self.zero_point or 0)
        if np.isnan(scaled).any():
            raise InputError(f"Input {self.name!r} has NaN values, which {self.dtype} cannot hold.")
        clipped: Array = np.clip(scaled, limits.min, limits.max).astype(self.dtype)
        return clipped

    def dequantize(self, values: Array) -> Array:
        """Turn this spec's integers into real values.

        Returns
        -------
        ndarray of float32, same shape; ``values`` itself if not quantized
        """
        if self.scale is None:
            return values
        shifted = values.astype(np.int32) - np.int32(self.zero_point or 0)
        return shifted.astype(np.float32) * np.float32(self.scale)

    def conform(self, values: Array, *, overflowing: bool = False, inferences: int = 1) -> Array:
        """Return real values as the model takes them: dtype, quantization, contiguous.

        What a value means never follows from its dtype: quantized tensors are quantized from
        integers as from floats. Otherwise only conversions that keep the values are made
        (float64 to float32 counts as one); the shape must fit as it is.

        Parameters
        ----------
        values : ndarray of real values
        overflowing : bool, default=False
            Let finite values beyond the floating-point type become infinite, instead of an error.
        inferences : int, default=1
            How many the values are for, one after the other along the first axis.

        Raises
        ------
        InputError
            Shape or dtype do not fit, or values are lost; the message names both sides.
        """
        shape = values.shape
        if inferences > 1:
            shape = (len(values) // inferences, *shape[1:])
        if not self.accepts(shape):
            batch = self.shape[:1]
            fixed = len(shape) == len(self.shape) and shape[1:] == self.shape[1:]
            raise InputError(
                f"Input {self.name!r} takes {self.described()}, got {tuple(shape)} "
                f"{values.dtype}."
                + (f" Its batch is fixed: --inference-batch-size {batch[0]}." if fixed else "")
            )
        wanted = np.dtype(self.dtype)
        if self.quantized:
            values = self.quantize(values)
        elif values.dtype != wanted:
            values = self._converted(values, wanted, overflowing)
        # It would give a scalar a dimension.
        return values if values.flags.c_contiguous else np.ascontiguousarray(values)

    def described(self) -> str:
        """Return shape and dtype for messages, such as ``(1, 8, 8, 1) float32``."""
        sizes = ", ".join("any" if size is None else str(size) for size in self.shape)
        comma = "," if len(self.shape) == 1 else ""
        return f"({sizes}{comma}) {self.dtype}"

    def _converted(self, values: Array, wanted: np.dtype[Any], overflowing: bool) -> Array:
        refusal = (
            f"Input {self.name!r} takes {self.described()}, got dtype {values.dtype}, "
            "which does not convert without loss"
        )
        if values.dtype.kind not in "fiub":
            raise InputError(f"{refusal}.")
        # What is lost shows in the values, and is said below.
        with np.errstate(over="ignore", invalid="ignore"):
            converted = values.astype(wanted)
        if wanted.kind == "f" and values.dtype.kind == "f":
            lost = np.isinf(converted) & np.isfinite(values)
            if lost.any() and not overflowing:
                raise InputError(
                    f"{refusal}: {values[lost][0]:g} is beyond its largest value, "
                    f"{float(np.finfo(wanted).max):g}. Scale the samples (--input-scale), or use "
                    "a model with a wider input type."
                )
            return converted
        # Numbers that are whole and in range are the same numbers in any type.
        with np.errstate(over="ignore", invalid="ignore"):
            lost = converted.astype(values.dtype) != values
        if wanted.kind in "iu":
            # What is beyond the range may wrap around there and back.
            limits = np.iinfo(wanted)
            lost |= ~((values >= limits.min) & (values <= limits.max))
        if lost.any():
            raise InputError(f"{refusal}: {values[lost][0]} is no value of {wanted}.")
        return converted


def specs_of(described: Sequence[dict[str, Any]]) -> list[TensorSpec]:
    """Return the specs that somebody else described, having seen whether they can be.

    Raises
    ------
    InputError
        A field is missing or of another type, or a size, dtype or scale is impossible.
    """
    try:
        specs = msgspec.convert(described, list[TensorSpec])
    except msgspec.ValidationError as error:
        raise InputError(f"A tensor is described wrongly: {error}.") from error
    for spec in specs:
        try:
            kind = np.dtype(spec.dtype).kind
        except TypeError as error:
            raise InputError(
                f"Tensor {spec.name!r} has an unknown dtype {spec.dtype!r}."
            ) from error
        sizes = [size for size in spec.shape if size is not None]
        if kind not in _KINDS or min(sizes, default=0) < 0 or math.prod(sizes) > _LARGEST_TENSOR:
            raise InputError(f"Tensor {spec.name!r} cannot be {spec.described()}.")
        if spec.scale is not None and not (math.isfinite(spec.scale) and spec.scale > 0):
            raise InputError(f"Tensor {spec.name!r} cannot have the scale {spec.scale}.")
    return specs


def require_fitting(owner: object, specs: Sequence[TensorSpec], tensors: Sequence[Array]) -> None:
    """See whether a runtime was given what its model takes.

    Raises
    ------
    InputError
        Count, shapes or dtypes are others; the message names both sides.
    """
    name = type(owner).__name__
    if len(tensors) != len(specs):
        raise InputError(f"The model takes {len(specs)} inputs, {name} got {len(tensors)}.")
    for spec, values in zip(specs, tensors, strict=True):
        if values.dtype != spec.dtype or not spec.accepts(values.shape):
            raise InputError(
                f"Input {spec.name!r} takes {spec.described()}, {name} got {values.shape} "
                f"{values.dtype}."
            )


class TensorCodec:
    """Turns the tensors of one side of a model into a payload and back.

    Parameters
    ----------
    specs : sequence of TensorSpec
    """

    def __init__(self, specs: Sequence[TensorSpec]) -> None:
        self._specs = specs
        self._shapes = [spec.shape for spec in specs]
        # Offset, element count, dtype and shape of each tensor, once all are known.
        self._places: list[tuple[int, int, np.dtype[Any], Any]] = []
        self._nbytes = -1
        # The same for the shapes that came last, which mostly come again.
        self._told: tuple[bytes, list[tuple[int, int, np.dtype[Any], Any]], int] = (b"", [], -1)
        if all(spec.static for spec in specs):
            self._places, self._nbytes = self._placed(self._shapes)

    @property
    def nbytes(self) -> int | None:
        """Size of all tensors together [bytes]; None if a spec leaves it open."""
        return self._nbytes if self._nbytes >= 0 else None

    def pack(self, tensors: Sequence[Array]) -> tuple[bytes, list[Array]]:
        """Return tensors as the pieces of a payload, without copying contiguous ones.

        Returns
        -------
        shapes : bytes
            For :meth:`unpack`; empty if the specs tell.
        pieces : list of ndarray of uint8
            Of one dimension: ciphers take nothing but bytes.
        """
        pieces = [np.ascontiguousarray(one).reshape(-1).view(np.uint8) for one in tensors]
        if [tensor.shape for tensor in tensors] == self._shapes:
            return b"", pieces
        sizes = [number for one in tensors for number in (one.ndim, *one.shape)]
        return struct.pack(f">{len(sizes)}I", *sizes), pieces

    def unpack(self, payload: memoryview, shapes: memoryview | bytes = b"") -> list[Array]:
        """Return views on the tensors of a payload; the counterpart of :meth:`pack`.

        Parameters
        ----------
        payload : memoryview of bytes
        shapes : memoryview or bytes
            Of each tensor the number of its dimensions and their sizes, as big-endian unsigned
            integers of four bytes; empty if the specs tell.

        Raises
        ------
        InputError
            Count, shapes or sizes do not agree with the specs.
        """
        places, nbytes = self._places, self._nbytes
        if shapes:
            told = bytes(shapes)
            if told != self._told[0]:
                found = _shapes_of(told)
                if len(found) == len(self._specs):
                    self._told = told, *self._placed(found)
            if told == self._told[0]:
                _, places, nbytes = self._told
        if nbytes != len(payload):
            wanted = " + ".join(spec.described() for spec in self._specs)
            raise InputError(
                f"The model has {len(self._specs)} tensors here, {wanted}; "
                f"got {len(payload)} bytes that do not fit them."
            )
        return [
            # frombuffer refuses a buffer of no bytes, which a tensor may well have.
            np.frombuffer(payload, dtype, count, offset).reshape(shape)
            if count
            else np.empty(shape, dtype)
            for offset, count, dtype, shape in places
        ]

    def _placed(
        self, shapes: Sequence[tuple[int | None, ...]]
    ) -> tuple[list[tuple[int, int, np.dtype[Any], Any]], int]:
        places: list[tuple[int, int, np.dtype[Any], Any]] = []
        offset = 0
        for spec, shape in zip(self._specs, shapes, strict=True):
            if not spec.accepts(shape):
                raise InputError(f"Tensor {spec.name!r} is {spec.described()}, got shape {shape}.")
            dtype, count = np.dtype(spec.dtype), math.prod(size or 0 for size in shape)
            places.append((offset, count, dtype, shape))
            offset += count * dtype.itemsize
        return places, offset


def _shapes_of(content: memoryview | bytes) -> list[tuple[int, ...]]:
    if len(content) % _SIZE_BYTES:
        raise InputError(f"The shapes of the tensors cannot have {len(content)} bytes.")
    numbers = struct.unpack(f">{len(content) // _SIZE_BYTES}I", content)
    shapes, start = [], 0
    while start < len(numbers):
        end = start + 1 + numbers[start]
        if end > len(numbers):
            raise InputError("The shapes of the tensors end too early.")
        shapes.append(numbers[start + 1 : end])
        start = end
    return shapes
