"""Handwritten digits that come with scikit-learn: a data set without a download."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_tester.core.backends import backend
from edge_tester.core.dataset import Dataset, Samples
from edge_tester.core.options import state
from edge_tester.core.tensors import Array, TensorSpec

# Each pixel counts the set points of a 4 x 4 square of the scanned bitmap.
MAXIMUM_PIXEL = 16


class DigitsDataset(Dataset):
    """1,797 handwritten digits of 8 x 8 pixels, part of scikit-learn.

    Samples have one input of shape (samples, 8, 8, 1), float32, 0 to 1; (samples, 1, 8, 8) for
    models that have the channels first.

    Notes
    -----
    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits",
    UCI Machine Learning Repository, 1998; the test part of it.
    """

    packages = ("sklearn",)

    images: Array | None = state()
    targets: Array | None = state()
    channels_first: bool = state(False)

    def prepare(self) -> None:
        """Read the samples from the installed package."""
        path = _file()
        if path is not None:
            rows = np.loadtxt(path, delimiter=",")
            images, targets = rows[:, :-1].reshape(-1, 8, 8), rows[:, -1]
        else:
            bunch = backend("sklearn.datasets", self).load_digits()
            images, targets = bunch.images, bunch.target
        self.images = (images / MAXIMUM_PIXEL).astype(np.float32)[..., np.newaxis]
        self.targets = targets.astype(np.int64)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.prepared(self.images))

    def bind(self, inputs: Sequence[TensorSpec]) -> None:
        """Learn the layout of the model's one input."""
        self.channels_first = len(inputs) == 1 and inputs[0].channels_first

    def load(self, indices: Sequence[int] | Array) -> Samples:
        """Load the samples with these indices, in this order."""
        chosen = np.asarray(indices, np.intp)
        images = self.prepared(self.images)[chosen]
        if self.channels_first:
            images = np.ascontiguousarray(np.moveaxis(images, -1, 1))
        return Samples((images,), self.prepared(self.targets)[chosen])

    def labels(self) -> Array | None:
        """Return the digit of every sample."""
        return self.prepared(self.targets)

    def class_names(self) -> list[str]:
        """Return the digits as text."""
        return [str(digit) for digit in range(10)]


def _file() -> Path | None:
    """Return the file of the installed package, which takes more than a second to import."""
    found = importlib.util.find_spec("sklearn")
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
    return path if path.is_file() else None
