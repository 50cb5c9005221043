"""What public data sets have in common: their files, and a test part that is given."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np

from edge_tester.core.dataset import Dataset, Split
from edge_tester.core.errors import DatasetError
from edge_tester.core.options import option, state
from edge_tester.core.system.download import PublishedFile, download
from edge_tester.core.tensors import Array


class PublishedDataset(Dataset):
    """A subclass must set ``targets`` and ``published_test`` when it prepares itself.

    The test samples are those that its publishers chose; training, validation
    and calibration samples come out of the others, so that figures compare with
    those of others.
    """

    dataset_root: Path = option(help="Folder with the files of the data set")
    download: bool = option(False, help="Download files that are missing")
    test_fraction: float | None = option(  # type: ignore[assignment]
        None,
        minimum=0,
        maximum=1,
        help="Part of all samples held out for measuring instead of the published test samples",
    )

    targets: Array | None = state()
    published_test: Array | None = state()

    def __len__(self) -> int:
        """Return the number of samples, those for testing included."""
        return len(self.prepared(self.targets))

    def labels(self) -> Array | None:
        """Return the class index of every sample."""
        return self.prepared(self.targets)

    def own_split(self) -> Split:
        """Split the samples that are not for testing by the fractions.

        With ``test_fraction`` all samples are split by the fractions.
        """
        if self.test_fraction is not None:
            return super().own_split()
        is_test = self.prepared(self.published_test)
        test, others = np.flatnonzero(is_test), np.flatnonzero(~is_test)
        rules = copy.copy(self)
        rules.test_fraction = 0.0
        parts = rules.split_of(len(others), self.prepared(self.targets)[others])
        return Split(others[parts.train], others[parts.validation], others[parts.calibration], test)

    def obtain(self, file: PublishedFile) -> Path:
        """Return a published file in ``dataset_root``, downloaded if that was asked for.

        Raises
        ------
        DatasetError
            It is missing, or is not the published one.
        """
        path = self.dataset_root / file.name
        if self.download:
            return download(file, self.dataset_root, self)
        if not path.is_file():
            raise DatasetError(
                f"{type(self).__name__}: {path} does not exist; --download gets it from "
                f"{file.urls[0]}, or put it there by hand."
            )
        return path
