"""How alike the answers of two forms of one model are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edge_tester.core.artifact import Weights
from edge_tester.core.statistics.agreement import agreement
from edge_tester.core.tensors import Array, TensorSpec

PRECISIONS = ("float32", "float16", "integers")
# Largest difference that rounding explains, as part of the largest value: of float32 in the
# other order of a sum, of float16 through all layers of a deep network.
TOLERANCES = {"float32": 1e-3, "float16": 5e-2}
# Below this, noise is heard as loudly as what it hides: a fifth of the amplitude.
LOW_SIGNAL_TO_NOISE_DB = 15.0
_FLOAT16 = ("float16", "bfloat16")


class Likeness(NamedTuple):
    """How one output of the result compares with that of the source.

    Attributes
    ----------
    difference : float
        Largest absolute difference, as part of the source's largest absolute value; of
        classes and truth values, the part that differs.
    signal_to_noise_db : float or None
        None where there is no signal, or no noise.
    not_finite : int
        Values that are NaN or infinite where the source's are finite.
    constant : bool
        Whether the output is one value throughout, or the same for every input, where that of
        the source clearly varies.
    """

    difference: float
    signal_to_noise_db: float | None
    not_finite: int
    constant: bool


def coarsest(weights: Weights, specs: Sequence[TensorSpec], source: str) -> str:
    """Return the coarsest of :data:`PRECISIONS` that a result or its source computes in.

    Parameters
    ----------
    weights : Weights
        Of the result.
    specs : sequence of TensorSpec
        Of the result, its inputs and outputs.
    source : str
        That of the source.
    """
    found = [source]
    if weights.quantized_share > 0 or any(spec.quantized for spec in specs):
        found.append("integers")
    if {*weights.elements, *(spec.dtype for spec in specs)} & set(_FLOAT16):
        found.append("float16")
    return max(found, key=PRECISIONS.index)


def same_sizes(expected: Sequence[Sequence[Array]], actual: Sequence[Sequence[Array]]) -> bool:
    """Tell whether every output has as many values in both, run by run."""
    return all(
        len(one) == len(other)
        and all(np.size(a) == np.size(b) for a, b in zip(one, other, strict=True))
        for one, other in zip(expected, actual, strict=True)
    )


def compare(
    expected: Sequence[Sequence[Array]], actual: Sequence[Sequence[Array]]
) -> list[Likeness]:
    """Compare two lists of runs, each a list of outputs of the same sizes.

    Returns
    -------
    list of Likeness, one per output
    """
    runs = len(expected)
    return [
        _likeness(
            np.stack([np.asarray(expected[run][output]).ravel() for run in range(runs)]),
            np.stack([np.asarray(actual[run][output]).ravel() for run in range(runs)]),
        )
        for output in range(len(expected[0]))
    ]


def changes(expected: Sequence[Sequence[Array]], actual: Sequence[Sequence[Array]]) -> list[float]:
    """Return the difference of each output, infinite where sizes or finiteness change."""
    if not same_sizes(expected, actual):
        return [math.inf] * len(expected[0])
    return [math.inf if one.not_finite else one.difference for one in compare(expected, actual)]


def _likeness(source: Array, result: Array) -> Likeness:
    if source.size == 0:
        return Likeness(0.0, None, 0, False)
    if not np.issubdtype(source.dtype, np.floating):
        return Likeness(float(np.mean(source != result)), None, 0, False)
    found = agreement(source, result)
    return Likeness(found.max_relative, found.signal_to_noise_db, found.not_finite, found.constant)
