"""Calibration samples as a model takes them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from edge_tester.core.model import ModelWrapper
from edge_tester.core.tensors import Array

Calibration = Iterator[list[Array]]


def conformed(model: ModelWrapper, calibration: Calibration) -> Iterator[dict[str, Array]]:
    """Yield the samples in the dtypes of the inputs, by name, in the order of the inputs.

    Raises
    ------
    InputError
        A sample does not fit the model.
    """
    for sample in calibration:
        specs, _ = model.specs()
        yield {
            # The wrapper may be loaded for another batch size than that of the samples.
            spec.name: msgspec.structs.replace(spec, shape=(None, *spec.shape[1:])).conform(values)
            for spec, values in zip(specs, sample, strict=True)
        }
