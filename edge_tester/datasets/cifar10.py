"""CIFAR-10: 60,000 small color images of ten classes."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from edge_tester.core.errors import DatasetError
from edge_tester.core.options import state
from edge_tester.core.system.download import PublishedFile, unpack
from edge_tester.core.tensors import Array
from edge_tester.datasets._small_images import SmallImagesDataset

FOLDER = "cifar-10-batches-py"
# Checksum as torchvision lists it (torchvision/datasets/cifar.py).
ARCHIVE = PublishedFile(
    "cifar-10-python.tar.gz",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
    "md5:c58f30108f718f92721af3b95e74349a",
)
TRAINING_FILES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_FILE = "test_batch"
NAMES_FILE = "batches.meta"
CHANNELS, SIZE = 3, 32


class CIFAR10Dataset(SmallImagesDataset):
    """50,000 color images of 32 x 32 pixels for training, 10,000 for testing.

    Samples have one input of shape (samples, 32, 32, 3), or (samples, 3, 32, 32)
    for a model with the channels first; float32, 0 to 1. The files are pickles:
    they are read without running anything that they name.

    Notes
    -----
    Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny
    Images", 2009; the format from https://www.cs.toronto.edu/~kriz/cifar.html.
    """

    archive: ClassVar[PublishedFile] = ARCHIVE

    names: list[str] | None = state()

    def prepare(self) -> None:
        """Unpack the archive if need be, and read its six files of images."""
        folder = self.dataset_root / FOLDER
        if not folder.is_dir():
            unpack(self.obtain(self.archive), self.dataset_root, (FOLDER,), self)
        names = self._read(folder / NAMES_FILE).get(b"label_names")
        if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
            raise self._unreadable(folder / NAMES_FILE, "it must hold a list of label_names")
        self.names = [name.decode(errors="replace") for name in names]
        parts = [self._batch(folder / name, len(names)) for name in (*TRAINING_FILES, TEST_FILE)]
        images, targets = zip(*parts, strict=True)
        self.images = np.concatenate(images)
        self.targets = np.concatenate(targets)
        is_test = [False] * len(TRAINING_FILES) + [True]
        self.published_test = np.repeat(is_test, [len(part) for part in targets])

    def class_names(self) -> list[str]:
        """Return the names in ``batches.meta``."""
        return self.prepared(self.names)

    def _batch(self, path: Path, classes: int) -> tuple[Array, Array]:
        """Return images of shape (samples, 32, 32, 3) and the class of each."""
        content = self._read(path)
        data, labels = content.get(b"data"), content.get(b"labels")
        images = data.rows() if isinstance(data, _Recorded) else None
        if images is None or images.shape[1:] != (CHANNELS * SIZE * SIZE,):
            raise self._unreadable(path, f"data must be rows of {CHANNELS * SIZE * SIZE} bytes")
        if not isinstance(labels, list) or len(labels) != len(images) or not labels:
            raise self._unreadable(path, f"labels must be a list of {len(images)} classes")
        if not all(isinstance(label, int) and 0 <= label < classes for label in labels):
            raise self._unreadable(path, f"labels must be integers from 0 to below {classes}")
        planes = images.reshape(-1, CHANNELS, SIZE, SIZE)
        return np.moveaxis(planes, 1, -1), np.array(labels, np.int64)

    def _read(self, path: Path) -> dict[Any, Any]:
        try:
            with path.open("rb") as file:
                content = _DataUnpickler(file, encoding="bytes").load()
        except OSError as error:
            raise DatasetError(
                f"{type(self).__name__} cannot read {path}: {error.strerror}; {FOLDER} must hold "
                f"{', '.join(TRAINING_FILES)}, {TEST_FILE} and {NAMES_FILE}."
            ) from error
        except Exception as error:
            # Bytes that are no pickle make the reader raise nearly anything.
            raise self._unreadable(path, str(error) or type(error).__name__) from error
        if not isinstance(content, dict):
            raise self._unreadable(path, f"it must hold a dictionary, got {type(content).__name__}")
        return content

    def _unreadable(self, path: Path, reason: str) -> DatasetError:
        return DatasetError(f"{type(self).__name__}: {path} is no file of CIFAR-10: {reason}.")


class _Recorded:
    """Stands for an array or a dtype of a pickle; keeps what it is made of, makes nothing."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def rows(self) -> Array | None:
        """Return the recorded array if it is one of bytes with two dimensions.

        Notes
        -----
        Source: ``ndarray.__reduce__`` of numpy; its state is the version, the shape,
        the dtype, whether it is in Fortran's order, and the elements.
        """
        match self.state:
            case (_, (int(rows), int(columns)), _Recorded() as dtype, False | 0, bytes(elements)):
                is_bytes = dtype.arguments[:1] in ((b"u1",), ("u1",))
                if is_bytes and rows * columns == len(elements):
                    return np.frombuffer(elements, np.uint8).reshape(rows, columns)
        return None


class _DataUnpickler(pickle.Unpickler):
    """Reads a pickle of dictionaries, lists and arrays; whatever else is named is refused."""

    # All that the files of CIFAR-10 name, in the spellings of old and new versions of numpy.
    _STAND_INS = {
        ("numpy", "dtype"): _Recorded,
        ("numpy", "ndarray"): _Recorded,
        ("numpy.core.multiarray", "_reconstruct"): _Recorded,
        ("numpy._core.multiarray", "_reconstruct"): _Recorded,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return a stand-in that makes nothing."""
        found = self._STAND_INS.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no data")
        return found
