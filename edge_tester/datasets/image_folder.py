"""A folder with one subfolder of images per class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_tester.core.options import option, state
from edge_tester.datasets._class_folders import class_folders
from edge_tester.datasets._image_files import ImageFilesDataset
from edge_tester.datasets._whole import WholeDataset


class ImageFolderDataset(WholeDataset, ImageFilesDataset):
    """Images in one subfolder per class, resized to what the model takes.

    Classes are the names of the subfolders in alphabetic order. Samples are
    float32, 0 to 255, in the model's layout; scaling is up to the model wrapper.
    """

    dataset_root: Path = option(help="Folder with one subfolder of images per class")

    names: list[str] | None = state()

    def prepare(self) -> None:
        """List classes and images; none is opened yet."""
        found = class_folders(self.dataset_root, type(self).__name__)
        self.names = list(found)
        self.files = [path for paths in found.values() for path in paths]
        self.targets = np.repeat(np.arange(len(found)), [len(paths) for paths in found.values()])

    def class_names(self) -> list[str]:
        """Return the names of the subfolders."""
        return self.prepared(self.names)
