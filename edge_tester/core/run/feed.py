"""The one way from a data set's values to tensors, and from outputs to scores."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edge_tester.core.dataset import Dataset, Samples
from edge_tester.core.errors import InputError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.run.batches import Batch, filled, per_sample
from edge_tester.core.run.readahead import read_ahead
from edge_tester.core.run.watch import InputWatch, OutputWatch
from edge_tester.core.tensors import Array, TensorSpec


class Feed:
    """Feeds a model with samples, and counts what gets lost.

    Measuring, evaluating, calibrating and checking all use it. The data set is bound to the
    model's inputs.

    Parameters
    ----------
    model : ModelWrapper
        What scales the samples and reads the outputs.
    dataset : Dataset
        Prepared.
    inputs, outputs : sequences of TensorSpec
        Of whatever is to be fed: the model itself, or what was made from it.
    indices : ndarray of int, optional
        Samples to feed.
    size : int, default=1
        Samples of an inference.
    batch_axis : int or None, default=0
        Where inputs and outputs have the batch; None where they have none.
    calibrated : mapping of str to (float, float), optional
        Smallest and largest value of each input that a quantization was calibrated with.
    beginning : Samples, optional
        Those of the first inference, if they were loaded before.
    """

    def __init__(
        self,
        model: ModelWrapper,
        dataset: Dataset,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec] = (),
        indices: Array | None = None,
        *,
        size: int = 1,
        batch_axis: int | None = 0,
        calibrated: Mapping[str, Sequence[float]] | None = None,
        beginning: Samples | None = None,
    ) -> None:
        self._model = model
        self._dataset = dataset
        self._inputs = inputs
        self._outputs = outputs
        self._beginning = beginning
        self.size = size
        self.indices: Array = np.empty(0, int) if indices is None else indices
        self._batch_axis = batch_axis
        self._given = InputWatch(inputs, calibrated)
        self._taken = OutputWatch(outputs)
        dataset.bind(inputs)

    def values(self, samples: Samples) -> list[Array]:
        """Return the real values of one inference, as the model takes them.

        Too few samples are filled up, so that every inference is the same work.

        Raises
        ------
        InputError
            The data set has another number of inputs than the model.
        """
        specs = self._inputs
        inputs = [filled(values, self.size) for values in samples.inputs]
        values = self._model.preprocess(inputs, specs)
        if len(values) != len(specs):
            raise InputError(
                f"The model has {len(specs)} inputs ({', '.join(s.name for s in specs)}), "
                f"{type(self._dataset).__name__} gives {len(values)}."
            )
        return values

    def inferences(self, indices: Array) -> int:
        """Return how many inferences some samples take."""
        return -(-len(indices) // self.size)

    def loaded(self, indices: Array | None = None) -> Iterator[Samples]:
        """Load the samples of one inference after the other; those of the feed by default."""
        indices = self.indices if indices is None else indices
        # Those at the beginning were loaded to see what they are.
        beginning, self._beginning = self._beginning, None
        if beginning is not None and np.array_equal(
            indices[: self.size], self.indices[: self.size]
        ):
            yield beginning
            indices = indices[self.size :]
        yield from self._dataset.batches(indices, self.size)

    def batches(
        self, indices: Array | None = None, *, ahead: bool = False, again: bool = False
    ) -> Generator[Batch, None, None]:
        """Return the tensors of one inference after the other.

        Parameters
        ----------
        indices : ndarray of int, optional
            Of the samples; those of the feed by default.
        ahead : bool, default=False
            Whether to load the next ones in a second thread meanwhile.
        again : bool, default=False
            Whether they were fed before: then nothing of them is counted.
        """
        made = self._batches(indices, again)
        return read_ahead(made) if ahead else made

    def repeated(self, *, ahead: bool = False) -> Generator[Batch, None, None]:
        """Return the batches of all samples, which were fed before, again and again."""
        made = (batch for _ in itertools.count() for batch in self._batches(None, True))
        return read_ahead(made) if ahead else made

    def real(self, outputs: Sequence[Array]) -> list[Array]:
        """Return the outputs of an inference as real values."""
        return [spec.dequantize(one) for spec, one in zip(self._outputs, outputs, strict=True)]

    def divided(self, values: Array, count: int) -> Array:
        """Return an output with the samples that count along its first axis."""
        axis = None if self._model.batchless else self._batch_axis
        return per_sample(values, self.size, axis)[:count]

    def scores(self, real: Sequence[Array], count: int) -> Array:
        """Return what is evaluated of the real outputs of an inference, of the first samples."""
        answers = self._model.postprocess(real)
        return answers if self._model.batchless else self.divided(answers, count)

    def answered(self, batch: Batch, outputs: Sequence[Array]) -> Array:
        """Return the scores of an inference on a target, and watch what they are."""
        real = self.real(outputs)
        scores = self.scores(real, len(batch.indices))
        self._taken.see(batch.tensors, real, scores)
        return scores

    def input_facts(self) -> dict[str, dict[str, Any]]:
        """Return what went into the model, by input."""
        return self._given.facts()

    def remarks(self, *, at_chance: bool = False) -> list[str]:
        """Return what was lost on either side, in words."""
        return [*self._given.remarks(at_chance=at_chance), *self._taken.remarks()]

    def _batches(self, indices: Array | None, again: bool) -> Generator[Batch, None, None]:
        indices = self.indices if indices is None else indices
        starts = range(0, len(indices), self.size)
        for start, samples in zip(starts, self.loaded(indices), strict=True):
            tensors = self._given.conform(self.values(samples), counted=not again)
            yield Batch(indices[start : start + self.size], samples.truth, tensors)


def joined(scores: Sequence[Array]) -> list[Array]:
    """Return the scores of several inferences as one array, or as they are if they do not fit."""
    if len({one.shape[1:] for one in scores}) == 1 and len({one.dtype for one in scores}) == 1:
        return [np.concatenate(scores)]
    return list(scores)
