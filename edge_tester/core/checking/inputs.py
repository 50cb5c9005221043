"""Whether a conversion that differs was only fed otherwise than its source."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from edge_tester.core.making.isolation import isolated
from edge_tester.core.making.runtimes import runtimes_for
from edge_tester.core.making.trial import run_file
from edge_tester.core.options import path_of
from edge_tester.core.statistics.agreement import agreement
from edge_tester.core.tensors import Array

# A way to feed explains a difference if it takes this much of it away: 20 dB are a tenth.
_EXPLAINS_DB = 20.0
_CHANNELS = (3, 4)


def explained_by_inputs(
    path: Path, format: str, samples: Sequence[Sequence[Array]], wanted: Sequence[Array]
) -> str:
    """Feed a conversion in other ways that people take, and say if one of them agrees.

    Parameters
    ----------
    path : Path
        The conversion.
    format : str
        One of the values of :data:`edge_tester.core.formats.FORMATS`.
    samples : sequence of sequences of ndarray of shape (1, ...)
        As the source takes them.
    wanted : sequence of ndarray
        The first output of the source for each of them.

    Returns
    -------
    str
        What it takes for it to agree, in words; empty if nothing here does, or it runs nowhere.

    Raises
    ------
    EdgeTesterError
        It cannot be run.
    """
    runtimes = [one for one in runtimes_for(format) if not one.unusable()]
    if not runtimes:
        return ""
    runtime = path_of(runtimes[0])
    expected = np.stack([np.ravel(one) for one in wanted])

    def ratio_db(change: Callable[[Array], Array]) -> float:
        fed = [[change(values) for values in inputs] for inputs in samples]
        found = isolated(run_file, runtime, path, fed).runs
        answers = np.stack([np.ravel(outputs[0]) for outputs in found])
        if answers.shape != expected.shape:
            return -np.inf
        ratio = agreement(expected, answers).signal_to_noise_db
        return np.inf if ratio is None else ratio

    before = ratio_db(lambda values: values)
    tried = [(ratio_db(change), words) for words, change in _changes(samples[0])]
    best, words = max(tried, default=(before, ""))
    return words if best - before >= _EXPLAINS_DB else ""


def _changes(inputs: Sequence[Array]) -> Iterator[tuple[str, Callable[[Array], Array]]]:
    """Yield what people do to pictures, in words and as a function of float inputs."""
    if not all(np.issubdtype(one.dtype, np.floating) for one in inputs):
        return
    for axis in (1, -1):
        if all(one.ndim == 4 and one.shape[axis] in _CHANNELS for one in inputs):
            words = "it agrees if the channels come in reverse order (RGB for BGR)"
            yield words, functools.partial(np.flip, axis=axis)
    for words, factor, offset in (
        ("it agrees if values are 255 times as large", 255.0, 0.0),
        ("it agrees if values are divided by 255", 1 / 255, 0.0),
        ("it agrees if values from 0..1 become -1..1", 2.0, -1.0),
        ("it agrees if values from -1..1 become 0..1", 0.5, 0.5),
    ):
        yield words, functools.partial(_scaled, factor=factor, offset=offset)


def _scaled(values: Array, factor: float, offset: float) -> Array:
    found: Array = (factor * values + offset).astype(values.dtype)
    return found
