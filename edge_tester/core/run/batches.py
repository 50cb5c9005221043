"""Samples as one inference takes and gives them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edge_tester.core.errors import InputError
from edge_tester.core.tensors import Array


class Batch(NamedTuple):
    """One batch, ready to be sent.

    ``indices`` and ``truth`` are of the samples that count; ``tensors`` may hold more.
    """

    indices: Array
    truth: Array | None
    tensors: list[Array]


def per_sample(values: Array, size: int, batch_axis: int | None = 0) -> Array:
    """Return values with the samples along axis 0.

    Parameters
    ----------
    values : ndarray
        One output of an inference.
    size : int
        Samples of the inference.
    batch_axis : int or None, default=0
        Where the model's inputs have the batch; None for a model without one.

    Raises
    ------
    InputError
        The output cannot be divided among the samples.
    """
    if batch_axis is not None:
        # Models with the time first give their last state with the batch first.
        for axis in dict.fromkeys((0, batch_axis)):
            if values.ndim > axis and values.shape[axis] == size:
                return np.moveaxis(values, axis, 0)
    if size == 1:
        return values[np.newaxis]
    raise InputError(
        f"An output of shape {values.shape} cannot be divided among {size} samples: "
        "measure this model with --inference-batch-size 1."
    )


def same_tensors(mine: Array, theirs: Array) -> bool:
    """Tell whether two tensors are equal bit by bit; NaN equals NaN."""
    numbers = not np.issubdtype(mine.dtype, np.bool_)
    return mine.shape == theirs.shape and np.array_equal(mine, theirs, equal_nan=numbers)


def filled(values: Array, size: int) -> Array:
    """Return values with the last one repeated until there are ``size`` samples."""
    missing = size - len(values)
    return np.concatenate([values, np.repeat(values[-1:], missing, 0)]) if missing else values
