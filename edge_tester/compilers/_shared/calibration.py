"""Calibration samples as a model takes them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import msgspec
import numpy as np

from edge_tester.core.model import ModelWrapper
from edge_tester.core.tensors import Array, TensorSpec

Calibration = Iterator[list[Array]]


def conformed(model: ModelWrapper, calibration: Calibration) -> Iterator[dict[str, Array]]:
    """Yield the samples in the dtypes of the inputs, by name, in the order of the inputs.

    As many at a time as the model takes, if it was made for a number of its own.

    Raises
    ------
    InputError
        A sample does not fit the model.
    """
    for samples in _batches(model, calibration):
        specs, _ = model.specs()
        yield {
            # The wrapper may be loaded for another batch size than that of the samples.
            spec.name: _of_any_batch(spec).conform(values)
            for spec, values in zip(specs, samples, strict=True)
        }


def _batches(model: ModelWrapper, calibration: Calibration) -> Iterator[list[Array]]:
    first = next(calibration, None)
    if first is None:
        return
    specs, _ = model.specs()
    # Of a model without a batch dimension the first size is another one.
    fixed = {
        spec.shape[0]
        for spec, values in zip(specs, first, strict=True)
        if spec.shape and spec.shape[0] is not None and _of_any_batch(spec).accepts(values.shape)
    } - {len(first[0])}
    samples = itertools.chain([first], calibration)
    if len(fixed) != 1:
        yield from samples
        return
    (size,) = fixed
    while group := list(itertools.islice(samples, size)):
        # The last ones are filled up with samples that were there already.
        group += itertools.islice(itertools.cycle(group), size - len(group))
        yield [np.concatenate(values) for values in zip(*group, strict=True)]


def _of_any_batch(spec: TensorSpec) -> TensorSpec:
    return msgspec.structs.replace(spec, shape=(None, *spec.shape[1:]))
