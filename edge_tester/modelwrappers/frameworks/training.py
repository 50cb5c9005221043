"""What the trainings of all frameworks have in common."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edge_tester.core.dataset import Dataset, Samples, Split
from edge_tester.core.errors import DatasetError, ModelError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.run.evaluation import evaluate
from edge_tester.core.tensors import Array

MAXIMUM_REASON_LENGTH = 300


class Stage(NamedTuple):
    """Some epochs of a training in which the same weights learn at the same rate."""

    num_epochs: int
    learning_rate: float


def require_training_split(model: ModelWrapper, dataset: Dataset) -> Split:
    """Return the split of a data set that a model can be trained on.

    Raises
    ------
    DatasetError
        The data set has nothing to learn, or no sample left to learn it from.
    OptionError
        Both would normalize the samples.
    """
    model.require_one_normalization(dataset)
    owner = type(model).__name__
    if dataset.task == "none":
        raise DatasetError(f"{owner} cannot learn from {type(dataset).__name__}: it has no truth.")
    split = dataset.split()
    if len(split.train) == 0:
        raise DatasetError(
            f"{owner} cannot learn from {type(dataset).__name__}: test_fraction, "
            "validation_fraction and calibration_fraction leave no sample for training."
        )
    return split


def shuffled_batches(
    dataset: Dataset, indices: Array, size: int, generator: np.random.Generator
) -> Iterator[Samples]:
    """Load all these samples once, in random order."""
    return dataset.batches(generator.permutation(indices), size)


def final_metrics(
    model: ModelWrapper, dataset: Dataset, split: Split, loss: float
) -> dict[str, float]:
    """Return the last loss and the quality on the validation and the test split."""
    metrics = {"loss": loss}
    for name, indices in (("validation", split.validation), ("test", split.test)):
        quality = evaluate(model, dataset, indices)
        for figure in ("accuracy", "mse"):
            value = getattr(quality, figure)
            if value is not None:
                metrics[f"{name}_{figure}"] = value
    return metrics


def require_existing(path: Path) -> None:
    """Raise ModelError if there is neither a file nor a folder."""
    if not path.exists():
        raise ModelError(f"Model file {path} does not exist.")


def one_line(error: Exception) -> str:
    """Return what a framework said as one line of bearable length, with its type."""
    said = " ".join(str(error).split()) or "no reason given"
    return f"{type(error).__name__}: {said[:MAXIMUM_REASON_LENGTH]}"
