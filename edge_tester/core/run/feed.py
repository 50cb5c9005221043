"""The one way from a data set's values to tensors, and from outputs to scores."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edge_tester.core.dataset import Dataset, Samples
from edge_tester.core.errors import InputError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.run.batches import Batch, filled, per_sample, same_tensors
from edge_tester.core.run.readahead import read_ahead
from edge_tester.core.run.watch import InputWatch, OutputWatch
from edge_tester.core.tensors import Array, TensorSpec

# Small samples are loaded and scaled for so many inferences at once, as long as it is soon done.
_MOST_AT_ONCE, _AT_ONCE_BYTES, _SOON_S = 256, 1 << 20, 0.02


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
        self._at_once = self._most_at_once = 1
        # Whether the model treats each sample apart; None until it was seen.
        self._values_join: bool | None = None
        self._answers_join: bool | None = None
        dataset.bind(inputs)

    def values(self, samples: Samples, inferences: int = 1) -> list[Array]:
        """Return the real values of one inference, as the model takes them.

        Too few samples are filled up, so that every inference is the same work.

        Parameters
        ----------
        samples : Samples
        inferences : int, default=1
            How many they are for; their values lie along the first axis.

        Raises
        ------
        InputError
            The data set has another number of inputs than the model.
        """
        specs = self._inputs
        inputs = [filled(values, inferences * self.size) for values in samples.inputs]
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

    def loaded(self, indices: Array | None = None, inferences: int = 1) -> Iterator[Samples]:
        """Load the samples of one inference after the other; those of the feed by default.

        Those of several inferences come together if so many are wanted.
        """
        indices = self.indices if indices is None else indices
        # Those at the beginning were loaded to see what they are.
        beginning, self._beginning = self._beginning, None
        if beginning is not None and np.array_equal(
            indices[: self.size], self.indices[: self.size]
        ):
            yield beginning
            indices = indices[self.size :]
        yield from self._dataset.batches(indices, inferences * self.size)

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

    def answered(self, batches: Sequence[Batch], outputs: Sequence[Sequence[Array]]) -> list[Array]:
        """Return the scores of inferences on a target, and watch what they are.

        Parameters
        ----------
        batches : sequence of Batch
        outputs : sequence of sequences of ndarray
            Of each inference; they may change afterwards.

        Returns
        -------
        list of ndarray
            Of each inference, or of all as one, one after the other along the first axis.
        """
        whole = self._joined(batches, outputs)
        if whole and self._answers_join:
            scores = self._model.postprocess(whole)
            self._taken.see([batch.tensors for batch in batches], whole, scores)
            return [scores]
        found = []
        for batch, given in zip(batches, outputs, strict=True):
            real = self.real([np.array(output) for output in given])
            one = self.scores(real, len(batch.indices))
            self._taken.see([batch.tensors], real, one)
            found.append(one)
        if whole:
            postprocess = self._model.postprocess
            self._answers_join = _joins(lambda: [postprocess(whole)], [[one] for one in found])
        return found

    def input_facts(self) -> dict[str, dict[str, Any]]:
        """Return what went into the model, by input."""
        return self._given.facts()

    def remarks(self, *, at_chance: bool = False) -> list[str]:
        """Return what was lost on either side, in words."""
        return [*self._given.remarks(at_chance=at_chance), *self._taken.remarks()]

    def _batches(self, indices: Array | None, again: bool) -> Generator[Batch, None, None]:
        indices = self.indices if indices is None else indices
        begin, size = 0, self.size
        while begin < len(indices):
            since_s = time.monotonic()
            part = indices[begin : begin + self._at_once * size]
            made = [
                (samples, place, tensors)
                for samples in self.loaded(part, self._at_once)
                for place, tensors in enumerate(self._prepared(samples, counted=not again))
            ]
            quick = time.monotonic() - since_s < _SOON_S
            self._at_once = min(2 * self._at_once, self._most_at_once) if quick else 1
            for samples, place, tensors in made:
                own = slice(place * size, (place + 1) * size)
                truth = None if samples.truth is None else samples.truth[own]
                yield Batch(indices[begin : begin + size], truth, tensors)
                begin += size

    def _prepared(self, samples: Samples, *, counted: bool) -> list[list[Array]]:
        """Return the tensors of each inference that these samples are for."""
        count = -(-len(samples) // self.size)
        if count > 1 and self._values_join is None:
            each = [self.values(one) for one in self._parts(samples, count)]
            self._values_join = _joins(lambda: self.values(samples, count), each)
        if count > 1 and not self._values_join:
            self._most_at_once = 1
            parts = self._parts(samples, count)
            return [self._given.conform(self.values(one), counted=counted) for one in parts]
        values = self.values(samples, count)
        tensors = self._given.conform(values, counted=counted, inferences=count)
        if count > 1:
            return [list(one) for one in zip(*(np.split(t, count) for t in tensors), strict=True)]
        if self._values_join is None and self._batch_axis == 0 and not self._model.batchless:
            nbytes = sum(one.nbytes for one in [*samples.inputs, *tensors])
            self._most_at_once = max(1, min(_MOST_AT_ONCE, _AT_ONCE_BYTES // max(1, nbytes)))
        return [tensors]

    def _parts(self, samples: Samples, count: int) -> Iterator[Samples]:
        for number in range(count):
            own = slice(number * self.size, (number + 1) * self.size)
            truth = None if samples.truth is None else samples.truth[own]
            yield Samples(tuple(one[own] for one in samples.inputs), truth)

    def _joined(
        self, batches: Sequence[Batch], outputs: Sequence[Sequence[Array]]
    ) -> list[Array] | None:
        """Return the real outputs of several inferences one after the other, if that can be."""
        if len(batches) < 2 or self._answers_join is False or self._batch_axis != 0:
            return None
        if self._model.batchless or any(len(one.indices) != self.size for one in batches):
            return None
        columns = list(zip(*outputs, strict=True))
        if any({one.shape[:1] for one in column} != {(self.size,)} for column in columns):
            return None
        together = [joined(column) for column in columns]
        if any(len(one) > 1 for one in together):
            return None
        return self.real([one[0] for one in together])


def _joins(together: Callable[[], Sequence[Array]], each: Sequence[Sequence[Array]]) -> bool:
    """Tell whether what is made of several inferences together is what is made of each."""
    try:
        whole = together()
    # It is code of any model, which may take one inference alone; then it does.
    except Exception:
        return False
    columns = [joined(column) if column[0].ndim else [] for column in zip(*each, strict=True)]
    return len(whole) == len(columns) and all(
        len(column) == 1 and column[0].dtype == one.dtype and same_tensors(one, column[0])
        for one, column in zip(whole, columns, strict=True)
    )


def joined(scores: Sequence[Array]) -> list[Array]:
    """Return the scores of several inferences as one array, or as they are if they do not fit."""
    if len(scores) == 1:
        return [scores[0]]
    if len({one.shape[1:] for one in scores}) == 1 and len({one.dtype for one in scores}) == 1:
        return [np.concatenate(scores)]
    return list(scores)
