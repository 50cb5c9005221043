"""What data sets of image files have in common: decoding and resizing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_tester.core.backends import backend
from edge_tester.core.dataset import Dataset, Samples
from edge_tester.core.errors import DatasetError
from edge_tester.core.options import option, state
from edge_tester.core.tensors import Array, TensorSpec
from edge_tester.datasets._picture_tree import damage

# Number of channels -> Pillow's name of the color mode.
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
# So many are looked at before the work begins; a header takes about 0.1 ms.
MAXIMUM_CHECKED = 10_000


class ImageFilesDataset(Dataset):
    """A subclass must set ``files`` and ``targets`` when it prepares itself.

    Samples are float32, 0 to 255, in the model's layout and size; scaling is up
    to the model wrapper. Only the images of one batch are held in memory.
    """

    image_size: int = option(
        224, minimum=1, help="Height and width where the model leaves them open", unit="pixel"
    )
    resize: str = option(
        "stretch",
        choices=("stretch", "crop"),
        help="Stretch images to the model's size, or fit the shorter side and crop the center",
    )

    files: list[Path] | None = state()
    targets: Array | None = state()
    size: tuple[int, int] | None = state()
    channels: int = state(3)
    channels_first: bool = state(False)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.prepared(self.files))

    def labels(self) -> Array | None:
        """Return the class index of every image."""
        return self.prepared(self.targets)

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
        files, targets = self.prepared(self.files), self.targets
        images = np.stack([self._image(files[index]) for index in indices])
        truth = None if targets is None else targets[np.asarray(indices, np.intp)]
        return Samples((images,), truth)

    def check_pictures(self) -> None:
        """See whether the images can be opened, where they are not too many for that.

        Raises
        ------
        DatasetError
            Some cannot; the message names the first ones.
        """
        files = self.prepared(self.files)
        if len(files) > MAXIMUM_CHECKED:
            return
        broken = [(path, reason) for path in files if (reason := damage(path, self))]
        if broken:
            shown = "; ".join(f"{path}: {reason}" for path, reason in broken[:3])
            more = "; ..." if broken[3:] else ""
            raise DatasetError(
                f"{type(self).__name__}: {len(broken)} of {len(files)} images are broken and must "
                f"be replaced or removed: {shown}{more}."
            )

    def region(self, path: Path, width: int, height: int) -> tuple[int, int, int, int] | None:
        """Return left, top, right and bottom of what is used of an image, None for all of it."""
        return None

    def crop_scale(self, width: int, height: int) -> float:
        """Return the factor by which an image is resized before its center is cropped."""
        wanted_height, wanted_width = self.wanted_size()
        return max(wanted_height / height, wanted_width / width)

    def opened(self, path: Path, mode: str) -> Any:
        """Return a decoded image in one of Pillow's color modes.

        Raises
        ------
        DatasetError
            The file is missing or corrupt.
        """
        pillow = backend("PIL.Image", self)
        try:
            with pillow.open(path) as file:
                # Colors first: shades between those of a palette do not exist.
                return file.convert(mode)
        except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError) as error:
            raise DatasetError(
                f"{type(self).__name__} cannot read image {path}: {error}"
            ) from error

    def wanted_size(self) -> tuple[int, int]:
        """Return height and width of the samples."""
        return self.size or (self.image_size, self.image_size)

    def _image(self, path: Path) -> Array:
        image = self.opened(path, MODES[self.channels])
        region = self.region(path, image.width, image.height)
        image = self._resized(image if region is None else image.crop(region))
        pixels = np.asarray(image, np.float32).reshape(image.height, image.width, self.channels)
        return np.moveaxis(pixels, -1, 0) if self.channels_first else pixels

    def _resized(self, image: Any) -> Any:
        bilinear = backend("PIL.Image", self).Resampling.BILINEAR
        height, width = self.wanted_size()
        if self.resize == "stretch":
            return image.resize((width, height), bilinear)
        factor = self.crop_scale(image.width, image.height)
        fitted_height = max(height, round(image.height * factor))
        fitted_width = max(width, round(image.width * factor))
        fitted = image.resize((fitted_width, fitted_height), bilinear)
        left, top = (fitted_width - width) // 2, (fitted_height - height) // 2
        return fitted.crop((left, top, left + width, top + height))
