"""A folder with one subfolder of images per class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_tester.core.backends import backend
from edge_tester.core.dataset import Samples
from edge_tester.core.errors import DatasetError
from edge_tester.core.options import option, state
from edge_tester.core.tensors import Array, TensorSpec
from edge_tester.datasets._whole import WholeDataset

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
# Number of channels -> Pillow's name of the color mode.
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


class ImageFolderDataset(WholeDataset):
    """Images in one subfolder per class, resized to what the model takes.

    Classes are the names of the subfolders in alphabetic order. Samples are
    float32, 0 to 255, in the model's layout; scaling is up to the model wrapper.
    """

    dataset_root: Path = option(help="Folder with one subfolder of images per class")
    image_size: int = option(
        224, minimum=1, help="Height and width where the model leaves them open", unit="pixel"
    )
    resize: str = option(
        "stretch",
        choices=("stretch", "crop"),
        help="Stretch images to the model's size, or fit the shorter side and crop the center",
    )

    names: list[str] | None = state()
    files: list[Path] | None = state()
    targets: Array | None = state()
    size: tuple[int, int] | None = state()
    channels: int = state(3)
    channels_first: bool = state(False)

    def prepare(self) -> None:
        """List classes and images; none is opened yet."""
        if not self.dataset_root.is_dir():
            raise DatasetError(f"{type(self).__name__}: folder {self.dataset_root} does not exist.")
        folders = sorted(
            path
            for path in self.dataset_root.iterdir()
            if path.is_dir() and not path.name.startswith(".")
        )
        if not folders:
            raise DatasetError(
                f"{type(self).__name__}: {self.dataset_root} has no subfolders; "
                "it needs one per class."
            )
        files, targets = [], []
        for index, folder in enumerate(folders):
            found = sorted(
                path
                for path in folder.rglob("*")
                if path.suffix.lower() in SUFFIXES and path.is_file()
            )
            if not found:
                raise DatasetError(
                    f"{type(self).__name__}: class folder {folder} has no images "
                    f"({', '.join(SUFFIXES)})."
                )
            files += found
            targets += [index] * len(found)
        self.names = [folder.name for folder in folders]
        self.files, self.targets = files, np.array(targets, np.int64)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.prepared(self.files))

    def labels(self) -> Array | None:
        """Return the class index of every image."""
        return self.prepared(self.targets)

    def class_names(self) -> list[str]:
        """Return the names of the subfolders."""
        return self.prepared(self.names)

    def bind(self, inputs: Sequence[TensorSpec]) -> None:
        """Learn size, channels and layout from the model's one image input."""
        if len(inputs) != 1 or len(inputs[0].shape) not in (3, 4):
            shapes = ", ".join(spec.described() for spec in inputs)
            raise DatasetError(
                f"{type(self).__name__} serves models with one image input, shape (batch, height, "
                f"width, channels) or (batch, channels, height, width), got {shapes or 'none'}."
            )
        (spec,) = inputs
        self.channels_first = spec.channels_first
        image = spec.shape[-3:]
        channels, height, width = image if self.channels_first else (image[2], *image[:2])
        self.channels = 3 if channels is None else channels
        if self.channels not in MODES:
            raise DatasetError(
                f"{type(self).__name__} makes images of {', '.join(map(str, MODES))} channels, "
                f"input {spec.name!r} of the model takes {spec.described()}."
            )
        self.size = (height or self.image_size, width or self.image_size)

    def load(self, indices: Sequence[int] | Array) -> Samples:
        """Decode and resize the images with these indices, in this order."""
        files, targets = self.prepared(self.files), self.prepared(self.targets)
        images = np.stack([self._image(files[index]) for index in indices])
        return Samples((images,), targets[np.asarray(indices, np.intp)])

    def _image(self, path: Path) -> Array:
        pillow = backend("PIL.Image", self)
        try:
            with pillow.open(path) as opened:
                # Colors first: shades between those of a palette do not exist.
                image = self._resized(opened.convert(MODES[self.channels]), pillow)
        except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError) as error:
            raise DatasetError(
                f"{type(self).__name__} cannot read image {path}: {error}"
            ) from error
        pixels = np.asarray(image, np.float32).reshape(image.height, image.width, self.channels)
        return np.moveaxis(pixels, -1, 0) if self.channels_first else pixels

    def _resized(self, image: Any, pillow: Any) -> Any:
        height, width = self.size or (self.image_size, self.image_size)
        if self.resize == "stretch":
            return image.resize((width, height), pillow.Resampling.BILINEAR)
        factor = max(height / image.height, width / image.width)
        fitted_height = max(height, round(image.height * factor))
        fitted_width = max(width, round(image.width * factor))
        fitted = image.resize((fitted_width, fitted_height), pillow.Resampling.BILINEAR)
        left, top = (fitted_width - width) // 2, (fitted_height - height) // 2
        return fitted.crop((left, top, left + width, top + height))
