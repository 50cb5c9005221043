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

    def __post_init__(self) -> None:
        """Check the options, also against each other."""
        super().__post_init__()
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
            ``input_mean`` or ``input_std`` do not fit the number of channels.
        """
        if len(inputs) != len(specs):
            raise InputError(
                f"{self.model_path} takes {len(specs)} inputs "
                f"({', '.join(spec.name for spec in specs)}), the data set gives {len(inputs)}."
            )
        self.batchless = bool(specs) and all(
            len(spec.shape) == values.ndim - 1 for spec, values in zip(specs, inputs, strict=True)
        )
        return [
            self._preprocessed(values, spec) for values, spec in zip(inputs, specs, strict=True)
        ]

    def _preprocessed(self, values: Array, spec: TensorSpec) -> Array:
        if len(spec.shape) == values.ndim - 1:
            if len(values) != 1:
                raise InputError(
                    f"Input {spec.name!r} of {self.model_path} takes {spec.described()} and has "
                    f"no batch dimension: the batch size must be 1, got {len(values)}."
                )
            values = values[0]
        elif self.batch_axis == "1":
            values = np.moveaxis(values, 0, 1)
        real = spec.quantized or np.issubdtype(np.dtype(spec.dtype), np.floating)
        untouched = self.input_scale == 1 and not self.input_mean and not self.input_std
        if untouched or not real:
            return values
        scaled = values.astype(np.float32) * np.float32(self.input_scale)
        if self.input_mean:
            scaled -= self._per_channel(self.input_mean, "input_mean", scaled, spec)
        if self.input_std:
            scaled /= self._per_channel(self.input_std, "input_std", scaled, spec)
        return scaled

    def _per_channel(
        self, numbers: tuple[float, ...], name: str, values: Array, spec: TensorSpec
    ) -> Array:
        if len(numbers) == 1:
            return np.array(numbers[0], np.float32)
        axis = values.ndim - 3 if spec.channels_first else values.ndim - 1
        channels = values.shape[axis] if 0 <= axis < values.ndim else 1
        if len(numbers) != channels:
            raise ModelError(
                f"{type(self).__name__}.{name} must have one number, or {channels} for the "
                f"channels of input {spec.name!r}, got {len(numbers)}."
            )
        shape = [1] * values.ndim
        shape[axis] = channels
        return np.array(numbers, np.float32).reshape(shape)
