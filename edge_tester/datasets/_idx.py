"""Data sets in the four IDX files in which MNIST was published."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import ClassVar

import numpy as np

from edge_tester.core.errors import DatasetError
from edge_tester.core.system.download import PublishedFile
from edge_tester.core.tensors import Array
from edge_tester.datasets._small_images import SmallImagesDataset

# Third byte of the magic number: elements are unsigned bytes.
UNSIGNED_BYTE = 0x08


class IdxDataset(SmallImagesDataset):
    """A subclass must name its files and its classes."""

    files: ClassVar[tuple[PublishedFile, ...]]
    """Training images, training labels, test images, test labels."""
    names: ClassVar[tuple[str, ...]]
    """Names of the classes in the order of their indices."""

    def prepare(self) -> None:
        """Read the four files, compressed or not."""
        paths = [self._found(file) for file in self.files]
        images, labels = [], []
        for image_path, label_path in (paths[:2], paths[2:]):
            some = self._read(image_path, 3)
            theirs = self._read(label_path, 1)
            if len(some) != len(theirs):
                raise DatasetError(
                    f"{type(self).__name__}: {image_path} holds {len(some)} images, "
                    f"{label_path} {len(theirs)} labels."
                )
            if theirs.max() >= len(self.names):
                raise DatasetError(
                    f"{type(self).__name__}: labels in {label_path} must be below "
                    f"{len(self.names)}, got {theirs.max()}."
                )
            images.append(some)
            labels.append(theirs)
        if images[0].shape[1:] != images[1].shape[1:]:
            raise DatasetError(
                f"{type(self).__name__}: images for training and for testing must be of one size, "
                f"got {images[0].shape[1:]} and {images[1].shape[1:]} in {self.dataset_root}."
            )
        self.images = np.concatenate(images)[..., np.newaxis]
        self.targets = np.concatenate(labels).astype(np.int64)
        self.published_test = np.repeat([False, True], [len(part) for part in labels])

    def class_names(self) -> list[str]:
        """Return the names of the classes."""
        return list(self.names)

    def _found(self, file: PublishedFile) -> Path:
        plain = self.dataset_root / file.name.removesuffix(".gz")
        return plain if plain.is_file() else self.obtain(file)

    def _read(self, path: Path, dimensions: int) -> Array:
        """Read an IDX file.

        Notes
        -----
        Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten
        digits", section "File formats": two zero bytes, the element type, the number
        of dimensions, their sizes as big-endian 32-bit integers, then the elements.
        """
        try:
            content = path.read_bytes()
            if path.suffix == ".gz":
                content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise self._unreadable(path, f"it cannot be unpacked: {error}") from error
        magic = bytes([0, 0, UNSIGNED_BYTE, dimensions])
        if content[:4] != magic:
            raise self._unreadable(path, f"it must begin with {magic.hex()}, got {content[:4]!r}")
        start = 4 + 4 * dimensions
        header = content[4:start].ljust(start - 4, b"\0")
        sizes = [int(size) for size in np.frombuffer(header, ">u4")]
        wanted = start + math.prod(sizes)
        if len(content) != wanted:
            raise self._unreadable(path, f"it must have {wanted} bytes, got {len(content)}")
        if 0 in sizes:
            raise self._unreadable(path, "it is empty")
        return np.frombuffer(content, np.uint8, offset=start).reshape(sizes)

    def _unreadable(self, path: Path, reason: str) -> DatasetError:
        return DatasetError(f"{type(self).__name__}: {path} is no IDX file of its kind: {reason}.")
