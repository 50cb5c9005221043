"""What a model's answers are worth, where a data set may number classes otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_tester.core.classification import ClassificationAccumulator
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import DatasetError, EdgeTesterError, OptionError
from edge_tester.core.figures import Quality, Task
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import hint
from edge_tester.core.quality import Accumulator, NoAccumulator, RegressionAccumulator
from edge_tester.core.run.feed import Feed
from edge_tester.core.tensors import Array, TensorSpec


class Evaluation:
    """Compares the answers of one model with the truth of one data set, which is prepared.

    Parameters
    ----------
    model : ModelWrapper
    dataset : Dataset

    Raises
    ------
    OptionError
        The classes of the two do not go together.
    """

    def __init__(self, model: ModelWrapper, dataset: Dataset) -> None:
        model.require_one_normalization(dataset)
        self._owner = type(dataset).__name__
        self._dataset = dataset
        self._model = model
        self.task: Task = dataset.task
        theirs, known = dataset.class_names(), model.known_classes()
        # Class of the data set -> class of the model; None if each is the same.
        self._places: Array | None = None
        self.class_names = known or theirs
        if self.task == "classification" and known and theirs:
            self._places = np.array([_place(name, known, model) for name in theirs], np.int64)
        elif self.task == "classification" and model.label_offset:
            self.class_names = _shifted(theirs, model.label_offset)
        self._accumulator = accumulator_for(self.task, self.class_names, model.threshold)
        self._remarks: list[str] = []

    def check(self, outputs: Sequence[TensorSpec], *, batched: bool = True) -> None:
        """See whether the labels go with the scores of the model, before any inference.

        Parameters
        ----------
        outputs : sequence of TensorSpec
        batched : bool, default=True
            Whether the first axis is the batch.

        Raises
        ------
        DatasetError
            A sample is of a class that neither the model nor the class names have.
        """
        scores, truth = self._possible(outputs, batched)
        named = len(self.class_names)
        if scores is not None and named and named != scores and not self._model.known_classes():
            missing = int((truth >= scores).sum())
            self._remarks.append(
                f"The data set has {named} classes, the model {scores} scores"
                + (f"; {missing} samples can only count as wrong" if missing else "")
                + ". --class-names FILE, with the names of the model's classes in their order, "
                "puts the data set's into their places; --label-offset shifts them."
            )

    def check_source(self) -> None:
        """See the same of a model that is to be compiled, as far as it tells its outputs.

        Raises
        ------
        DatasetError
            A sample is of a class that neither the model nor the class names have.
        """
        try:
            self._model.load()
            outputs = self._model.specs()[1]
        except EdgeTesterError:
            # Its compiler says what is wrong with it, if anything is.
            return
        spec = self._model.evaluated(outputs)
        # With one axis it may be that of the batch, or that of the scores.
        if spec is not None and len(spec.shape) > 1:
            self._possible(outputs, True)

    def _possible(self, outputs: Sequence[TensorSpec], batched: bool) -> tuple[int | None, Array]:
        """Return the number of scores, None if it does not tell, and the class of every sample."""
        spec, labels = self._model.evaluated(outputs), self._dataset.labels()
        if self.task != "classification" or labels is None or spec is None:
            return None, np.empty(0, np.int64)
        truth = self._translated(labels[self._dataset.test_indices()])
        scores = _score_count(spec, batched)
        if scores is None:
            return None, truth
        impossible = truth[(truth < 0) | (truth >= max(scores, len(self.class_names)))]
        if len(impossible):
            raise DatasetError(
                f"{self._owner} has samples of class {impossible[0]}, the model "
                f"{self._model.model_path} gives scores for {scores} classes, 0 to {scores - 1}. "
                f"{self._advice(int(truth.min()), int(truth.max()), scores)}"
            )
        return scores, truth

    def update(self, scores: Array, truth: Array | None) -> None:
        """Take the answers to some samples, shape (samples, ...), and their truth."""
        self._accumulator.update(scores, self.translated(truth))

    def translated(self, truth: Array | None) -> Array | None:
        """Return the truth with the model's numbers for classes."""
        if truth is None or self.task != "classification" or truth.dtype.kind not in "iu":
            return truth
        return self._translated(truth)

    def predicted(self, scores: Array) -> list[Any]:
        """Return a prediction per sample; :meth:`settled` makes them final."""
        return self._accumulator.predicted(scores)

    def class_scores(self, scores: Array) -> list[float | None] | None:
        """Return one number per sample that sorts two classes; None where there is none."""
        return self._accumulator.class_scores(scores)

    def settled(self, predictions: Sequence[Any]) -> list[Any]:
        """Return the predictions as a run record has them, when all samples were seen."""
        return self._accumulator.settled(predictions)

    def result(self) -> Quality:
        """Return the figures over everything seen so far."""
        return self._accumulator.result()

    def summary(self) -> Quality:
        """Return the same without the figures of single classes, which take time."""
        return self._accumulator.summary()

    def at_chance(self) -> bool:
        """Tell whether the accuracy is about that of guesses."""
        figures = self.summary()
        if figures.accuracy is None or not figures.classes:
            return False
        return figures.accuracy < min(0.5, 2 / figures.classes)

    def remarks(self) -> list[str]:
        """Return what makes the figures doubtful, in words."""
        return [*self._remarks, *self._accumulator.remarks()]

    def _translated(self, truth: Array) -> Array:
        if self._places is None:
            return truth.astype(np.int64) + self._model.label_offset
        unknown = truth[truth >= len(self._places)]
        if len(unknown):
            raise DatasetError(
                f"{self._owner} has samples of class {unknown[0]}, but names for "
                f"{len(self._places)} classes alone."
            )
        return self._places[truth]

    def _advice(self, lowest: int, highest: int, scores: int) -> str:
        if lowest > 0 and highest - lowest < scores:
            return f"--label-offset {self._model.label_offset - lowest} makes them begin at 0."
        return "Is it the right output (--output-index), and the right model?"


def evaluate(model: ModelWrapper, dataset: Dataset, indices: Array) -> Quality:
    """Measure the quality of a loaded model on the host, in its own framework."""
    evaluation = Evaluation(model, dataset)
    feed = Feed(model, dataset, *model.specs(), indices, size=dataset.inference_batch_size)
    for samples in feed.loaded():
        # The model itself takes and gives real values.
        outputs = model.run(feed.values(samples))
        evaluation.update(feed.scores(outputs, len(samples)), samples.truth)
    return evaluation.result()


def accumulator_for(
    task: Task, class_names: Sequence[str] = (), threshold: float | None = None
) -> Accumulator:
    """Return the accumulator of a task."""
    if task == "classification":
        return ClassificationAccumulator(class_names, threshold)
    if task == "regression":
        return RegressionAccumulator()
    return NoAccumulator()


def _place(name: str, known: Sequence[str], model: ModelWrapper) -> int:
    """Return the class of the model that has a name, by its letters alone if none has it exactly.

    Lists of ImageNet's classes name two kinds of crane alike, and some give several names.
    """
    owner = f"the {len(known)} class names of {type(model).__name__}"
    places = [index for index, one in enumerate(known) if one == name]
    if not places:
        wanted = _plain(name)
        places = [
            index
            for index, one in enumerate(known)
            if wanted in (_plain(one), *map(_plain, one.split(",")))
        ]
    if not places:
        raise OptionError(f"The data set's class {name!r} is not among {owner}{hint(name, known)}")
    if len(places) > 1:
        raise OptionError(
            f"The data set's class {name!r} is {len(places)} of {owner}: numbers "
            f"{', '.join(map(str, places))}. Give them different names."
        )
    return places[0] + model.label_offset


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _shifted(names: Sequence[str], offset: int) -> list[str]:
    """Return names for the model's classes where the data set's begin at another number."""
    if not names:
        return []
    return [*(str(i) for i in range(max(offset, 0))), *names[max(-offset, 0) :]]


def _score_count(spec: TensorSpec, batched: bool) -> int | None:
    """Return the number of classes that an output has scores for, None if it does not tell."""
    labels = not spec.quantized and spec.dtype.startswith(("int", "uint"))
    sizes = [size for size in (spec.shape[1:] if batched else spec.shape) if size != 1]
    if labels or None in sizes or len(sizes) > 1:
        return None
    return sizes[0] if sizes else 2
