"""What a compiled model is worth on samples that are not measured, against its source."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from edge_tester.core.artifact import Artifact
from edge_tester.core.dataset import Dataset, chosen_evenly
from edge_tester.core.errors import DatasetError
from edge_tester.core.making.chain import wrapper_of
from edge_tester.core.model import ModelWrapper
from edge_tester.core.run.evaluation import Evaluation
from edge_tester.core.run.feed import Feed
from edge_tester.core.system.quiet import quiet
from edge_tester.core.tensors import Array


class Worth(msgspec.Struct, frozen=True, kw_only=True):
    """How good answers are; None is what does not apply.

    Attributes
    ----------
    samples : int
    accuracy : float or None
        Share of the samples whose class is right, 0 to 1; None without truth.
    agreement : float or None
        Share of the samples that have the same class as in the source, 0 to 1; None where the
        answers are no scores of classes.
    signal_to_noise_db : float or None
        Power of the source's scores to that of the difference [dB]; None where there is no
        difference, or no signal.
    """

    samples: int
    accuracy: float | None = None
    agreement: float | None = None
    signal_to_noise_db: float | None = None


def unmeasured(dataset: Dataset, count: int) -> Array:
    """Return samples to judge a quantization by, each class with its share.

    They are of the validation and training splits; where those are empty, of what is set apart
    for calibration, which flatters. None is ever measured.

    Raises
    ------
    DatasetError
        There is no such sample.
    """
    split = dataset.split()
    others = np.union1d(split.validation, split.train)
    indices = others if len(others) else split.calibration
    if len(indices) == 0:
        raise DatasetError(
            f"{type(dataset).__name__} has no sample but those to be measured, by which nothing "
            "may be chosen: leave some out with --validation-fraction and --test-fraction."
        )
    return chosen_evenly(indices, dataset.labels(), count, dataset.split_seed)


class Judge:
    """Runs compiled models on the host, and compares their scores with those of the source.

    Parameters
    ----------
    model : ModelWrapper
        The source.
    dataset : Dataset
        Prepared.
    indices : ndarray of int
        Of the samples.
    """

    def __init__(self, model: ModelWrapper, dataset: Dataset, indices: Array) -> None:
        self._model, self._dataset, self._indices = model, dataset, indices
        model.load()
        self._expected, self._truth = self._scores(model, len(indices))
        self.source = self._worth(self._expected)

    def worth(self, artifact: Artifact) -> Worth:
        """Return what a compiled model is worth on all samples."""
        return self._worth(
            self._scores(wrapper_of(artifact.path, artifact.format), len(self._indices))[0]
        )

    def noise(self, artifact: Artifact, samples: int) -> float:
        """Return the power of the error of the scores as part of their own, on the first samples.

        Scores are taken without their means over the samples, which tell nothing of an input.
        It is infinite where a score is no number.
        """
        found = _joined(self._scores(wrapper_of(artifact.path, artifact.format), samples)[0])
        expected = _joined(self._expected[:samples])
        signal = float(np.square(expected - expected.mean(axis=0)).sum())
        power = float(np.square(found - expected).sum())
        return power / signal if signal and math.isfinite(power) else math.inf

    def _scores(self, runner: ModelWrapper, samples: int) -> tuple[list[Array], list[Array | None]]:
        with quiet():
            runner.load()
        inputs, outputs = runner.specs()
        feed = Feed(self._model, self._dataset, inputs, outputs, self._indices[:samples])
        scores, truth = [], []
        for given in feed.loaded():
            answers = runner.run(feed.values(given))
            scores.append(np.array(feed.scores(answers, len(given))))
            truth.append(given.truth)
        return scores, truth

    def _worth(self, scores: Sequence[Array]) -> Worth:
        evaluation = Evaluation(self._model, self._dataset)
        for one, truth in zip(scores, self._truth, strict=True):
            evaluation.update(one, truth)
        figures = evaluation.summary()
        classes = evaluation.task == "classification" or evaluation.task == "none"
        same = _agreement(self._expected, scores) if classes else None
        return Worth(
            samples=len(scores),
            accuracy=figures.accuracy,
            agreement=same,
            signal_to_noise_db=_decibels(self._expected, scores),
        )


def _agreement(expected: Sequence[Array], scores: Sequence[Array]) -> float | None:
    if any(one.ndim != 2 or one.shape[1] < 2 for one in expected):
        return None
    pairs = zip(expected, scores, strict=True)
    return float(np.mean([one.argmax() == other.argmax() for one, other in pairs]))


def _decibels(expected: Sequence[Array], scores: Sequence[Array]) -> float | None:
    wanted, found = _joined(expected), _joined(scores)
    signal = float(np.square(wanted).sum())
    power = float(np.square(wanted - found).sum())
    if not signal or not power or not math.isfinite(power):
        return None
    return 10 * math.log10(signal / power)


def _joined(scores: Sequence[Array]) -> Array:
    return np.stack([one.ravel().astype(np.float64) for one in scores])
