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


def per_sample(values: Array, size: int) -> Array:
    """Return values with the samples along axis 0; models without a batch axis have one sample."""
    if values.ndim and len(values) == size:
        return values
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
