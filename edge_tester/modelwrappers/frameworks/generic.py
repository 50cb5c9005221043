"""What the wrappers for any user's file have in common: simple preprocessing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_tester.core.errors import InputError, ModelError, OptionError
from edge_tester.core.options import option
from edge_tester.core.tensors import Array, TensorSpec
from edge_tester.modelwrappers.frameworks.answers import AnsweringModel


class GenericModel(AnsweringModel):
    """A subclass must run a file; scaling its inputs is here.

    Every floating-point or quantized input gets ``(x * input_scale - mean) / std``
    per channel; at the defaults nothing is touched, the dtype included.
    """

    input_scale: float = option(1.0, help="Factor on the data set's values, such as 0.00392157")
    input_mean: tuple[float, ...] = option(
        (), help="Subtracted after scaling: one number, or one per channel"
    )
    input_std: tuple[float, ...] = option(
        (), help="Divisor after subtracting: one number, or one per channel"
    )

    quantized_samples: bool = option(
        False,
        help="Samples are integers as a quantized model takes them; without it, integers are "
        "real values as any others",
    )

    def __post_init__(self) -> None:
        """Check the options, also against each other."""
        super().__post_init__()
        if self.quantized_samples and self.normalization:
            raise OptionError(
                f"{type(self).__name__}.quantized_samples says that nothing is to be scaled, "
                f"but {self.normalization} does."
            )
        if not all(value > 0 for value in self.input_std):
            raise OptionError(
                f"{type(self).__name__}.input_std must be greater than 0, "
                f"got {list(self.input_std)}."
            )

    def preprocess(self, inputs: Sequence[Array], specs: Sequence[TensorSpec]) -> list[Array]:
        """Scale the values; drop the batch dimension for models that have none.

        Raises
        ------
        InputError
            The data set gives another number of inputs than the model takes, or
            a batch to a model without a batch dimension.
        ModelError
            ``input_mean`` or ``input_std`` do not fit the number of channels, or
            nothing that the model takes can be scaled.
        """
        if len(inputs) != len(specs):
            raise InputError(
                f"{self.model_path} takes {len(specs)} inputs "
                f"({', '.join(spec.name for spec in specs)}), the data set gives {len(inputs)}."
            )
        if self.normalization and specs and not any(map(_is_real, specs)):
            raise ModelError(
                f"{type(self).__name__}.input_scale, input_mean and input_std scale real numbers, "
                f"but {self.model_path} takes integers: "
                f"{', '.join(f'{spec.name} {spec.described()}' for spec in specs)}."
            )
        self.batchless = bool(specs) and all(
            len(spec.shape) == values.ndim - 1 for spec, values in zip(specs, inputs, strict=True)
        )
        return [
            self._preprocessed(values, spec) for values, spec in zip(inputs, specs, strict=True)
        ]

    @property
    def normalization(self) -> str | None:
        """The options that scale samples, None if none of them does."""
        given = {
            "--input-scale": self.input_scale != 1,
            "--input-mean": bool(self.input_mean),
            "--input-std": bool(self.input_std),
        }
        return ", ".join(flag for flag, used in given.items() if used) or None

    def _preprocessed(self, values: Array, spec: TensorSpec) -> Array:
        first = 1
        if len(spec.shape) == values.ndim - 1:
            if len(values) != 1:
                raise InputError(
                    f"Input {spec.name!r} of {self.model_path} takes {spec.described()} and has "
                    f"no batch dimension: the batch size must be 1, got {len(values)}."
                )
            values, first = values[0], 0
        elif self.batch_axis == "1":
            values = np.moveaxis(values, 0, 1)
        if self.quantized_samples:
            return self._dequantized(values, spec)
        if not self.normalization or not _is_real(spec):
            return values
        scaled = values.astype(np.float32) * np.float32(self.input_scale)
        if self.input_mean:
            scaled -= self._per_channel(self.input_mean, "input_mean", scaled, spec, first)
        if self.input_std:
            scaled /= self._per_channel(self.input_std, "input_std", scaled, spec, first)
        return scaled

    def _dequantized(self, values: Array, spec: TensorSpec) -> Array:
        """Return what quantized samples stand for; quantizing gives the same integers again."""
        if not spec.quantized or values.dtype.kind not in "iu":
            raise InputError(
                f"{type(self).__name__}.quantized_samples is for integers into quantized inputs; "
                f"input {spec.name!r} takes {spec.described()}"
                f"{'' if spec.quantized else ', not quantized'}, the samples are {values.dtype}."
            )
        limits = np.iinfo(spec.dtype)
        if values.size and (values.min() < limits.min or values.max() > limits.max):
            raise InputError(
                f"Input {spec.name!r} takes quantized values from {limits.min} to {limits.max}, "
                f"the samples go from {values.min()} to {values.max()}."
            )
        return spec.dequantize(values)

    def _per_channel(
        self, numbers: tuple[float, ...], name: str, values: Array, spec: TensorSpec, first: int
    ) -> Array:
        """Return numbers that broadcast along the channels of ``values``.

        ``first`` is the first axis behind the batch, if there is one.
        """
        if len(numbers) == 1:
            return np.array(numbers[0], np.float32)
        axis = _channel_axis(values.shape, len(numbers), spec, first)
        if axis is None:
            raise ModelError(
                f"{type(self).__name__}.{name} must have one number, or one for each channel of "
                f"input {spec.name!r}, which takes {spec.described()}, got {len(numbers)}."
            )
        shape = [1] * values.ndim
        shape[axis] = len(numbers)
        return np.array(numbers, np.float32).reshape(shape)


def _is_real(spec: TensorSpec) -> bool:
    return spec.quantized or np.issubdtype(np.dtype(spec.dtype), np.floating)


def _channel_axis(shape: tuple[int, ...], count: int, spec: TensorSpec, first: int) -> int | None:
    """Return the axis of so many channels: the last one, or the first behind the batch.

    Channels may be colors, but as well the axes of a sensor, or features.
    """
    last = len(shape) - 1
    image = last - first >= 2
    known = spec.layout is not None or shape[last : last + 1] in ((1,), (3,), (4,))
    if image and known:
        # An image: its height and width are no channels, whatever their size.
        axis = first if spec.channels_first else last
        return axis if shape[axis] == count else None
    fitting = [axis for axis in (last, first) if axis >= first and shape[axis] == count]
    return fitting[0] if fitting else None
