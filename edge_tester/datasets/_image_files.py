"""What data sets of image files have in common: decoding, resizing and normalizing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np

from edge_tester.core.dataset import Dataset, Samples
from edge_tester.core.errors import DatasetError, OptionError
from edge_tester.core.options import option, state
from edge_tester.core.tensors import Array, TensorSpec
from edge_tester.datasets._fitting import fitted, fitted_size
from edge_tester.datasets._picture_notes import PictureNotes
from edge_tester.datasets._picture_tree import damage, printable
from edge_tester.datasets._pictures import PictureReader, ground_of
from edge_tester.datasets._recipes import INTERPOLATIONS, RECIPES, RESIZES, Recipe

# Number of channels -> Pillow's name of the color mode.
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
# So many are looked at before the work begins; a header takes about 0.1 ms.
MAXIMUM_CHECKED = 10_000


class ImageFilesDataset(Dataset):
    """A subclass must set ``files`` and ``targets`` when it prepares itself.

    Samples are pixels from 0 to 255 in the model's layout and size, scaled by the
    model wrapper, unless ``preprocessing`` or the options beside it scale them
    here. Only the images of one batch are held in memory.
    """

    packages = ("PIL",)

    image_size: int = option(
        224, minimum=1, help="Height and width where the model leaves them open", unit="pixel"
    )
    preprocessing: str = option(
        "none",
        choices=("none", *RECIPES),
        help="Resize, crop and normalize as published models want it; the options for images "
        "that are given beside it win",
    )
    resize: str | None = option(
        None,
        choices=RESIZES,
        help="Stretch images to the model's size, fit the shorter side and crop the center, or cut "
        "the center out and stretch it",
    )
    interpolation: str | None = option(
        None, choices=INTERPOLATIONS, help="How pixels are made of others (else bilinear)"
    )
    antialias: bool | None = option(
        None,
        help="Whether smaller images are the mean of all pixels, as Pillow makes them, or of the "
        "nearest alone, as tf.image and OpenCV do (else yes)",
    )
    shorter_side: int | None = option(
        None, minimum=1, help="Shorter side before the center is cropped", unit="pixel"
    )
    crop_fraction: float | None = option(
        None, minimum=0.01, maximum=1, help="Part of the shorter side that the crop keeps: 0.875"
    )
    channel_order: str | None = option(
        None, choices=("rgb", "bgr"), help="Order of the colors in the samples (else rgb)"
    )
    pixel_scale: float | None = option(
        None, help="Factor on pixels of 0 to 255 before pixel_mean is subtracted"
    )
    pixel_mean: tuple[float, ...] = option(
        (), help="Subtracted from scaled pixels: one number, or one per channel in channel_order"
    )
    pixel_std: tuple[float, ...] = option(
        (), help="Divisor after subtracting: one number, or one per channel in channel_order"
    )
    pixel_range: tuple[float, ...] = option(
        (), help="What is black and what is white in images of more than 8 bits, such as 0 4095"
    )
    background: str = option(
        "white", help="What transparent images are laid on: white, gray, black, or red,green,blue"
    )
    apply_exif_orientation: bool = option(
        False, help="Turn images as their EXIF data say; training frameworks do not"
    )

    usual: ClassVar[Recipe] = Recipe()
    """What is done where no option says otherwise."""

    files: list[Path] | None = state()
    targets: Array | None = state()
    size: tuple[int, int] | None = state()
    channels: int = state(3)
    channels_first: bool = state(False)
    without_channels: bool = state(False)
    spec: TensorSpec | None = state()
    notes: PictureNotes = state(default_factory=PictureNotes)

    def __post_init__(self) -> None:
        """Check the options, also against each other."""
        super().__post_init__()
        owner = type(self).__name__
        ground_of(self.background, owner)
        if self.pixel_range and (
            len(self.pixel_range) != 2 or not self.pixel_range[0] < self.pixel_range[1]
        ):
            raise OptionError(
                f"{owner}.pixel_range must be two numbers, black and the larger white, "
                f"got {list(self.pixel_range)}."
            )
        if not all(value > 0 for value in self.pixel_std):
            raise OptionError(
                f"{owner}.pixel_std must be greater than 0, got {list(self.pixel_std)}."
            )
        numbers = self.pixel_scale is not None or self.pixel_mean or self.pixel_std
        if numbers and self.recipe.quantized_pixels:
            raise OptionError(
                f"{owner}.preprocessing {self.preprocessing} gives the model its pixels as they "
                "are; pixel_scale, pixel_mean and pixel_std have no meaning with it."
            )
        if self.shorter_side is not None and self.crop_fraction is not None:
            raise OptionError(f"{owner}: of shorter_side and crop_fraction only one can be given.")
        crops = {"crop": ("shorter_side", "crop_fraction"), "cut": ("crop_fraction",)}
        for name in ("shorter_side", "crop_fraction"):
            if self.resize and getattr(self, name) and name not in crops.get(self.resize, ()):
                raise OptionError(f"{owner}.{name} has no meaning with --resize {self.resize}.")

    @property
    def recipe(self) -> Recipe:
        """Everything that is done to an image: the preset, changed by the options beside it."""
        made = RECIPES.get(self.preprocessing, self.usual)
        given: dict[str, Any] = {
            "resize": self.resize,
            "interpolation": self.interpolation,
            "antialias": self.antialias,
            "channel_order": self.channel_order,
            "scale": self.pixel_scale,
            "mean": self.pixel_mean or None,
            "std": self.pixel_std or None,
        }
        if self.shorter_side is not None or self.crop_fraction is not None:
            given |= {"resize": self.resize or ("crop" if made.resize == "stretch" else None)}
            made = msgspec.structs.replace(
                made, shorter_side=self.shorter_side, crop_fraction=self.crop_fraction
            )
        changes = {name: value for name, value in given.items() if value is not None}
        return msgspec.structs.replace(made, **changes)

    @property
    def normalization(self) -> str | None:
        """What scales the samples here, None if they are pixels from 0 to 255."""
        if not self.recipe.normalizes:
            return None
        preset = RECIPES.get(self.preprocessing)
        if preset is not None and preset.normalizes:
            return f"--preprocessing {self.preprocessing}"
        return "--pixel-scale, --pixel-mean and --pixel-std"

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.prepared(self.files))

    def labels(self) -> Array | None:
        """Return the class index of every image."""
        return self.prepared(self.targets)

    def bind(self, inputs: Sequence[TensorSpec]) -> None:
        """Learn size, channels, layout and kind of numbers from the model's one image input."""
        owner = type(self).__name__
        if len(inputs) != 1 or len(inputs[0].shape) not in (3, 4):
            shapes = ", ".join(spec.described() for spec in inputs)
            raise DatasetError(
                f"{owner} serves models with one image input, shape (batch, height, "
                f"width, channels), (batch, channels, height, width) or (batch, height, width), "
                f"got {shapes or 'none'}."
            )
        (spec,) = inputs
        batched = spec.shape[0] in (None, 1, self.inference_batch_size)
        self.without_channels = (
            len(spec.shape) == 3 and batched and spec.shape[2] not in (None, *MODES)
        )
        self.channels_first = spec.channels_first and not self.without_channels
        image = (1, *spec.shape[1:]) if self.without_channels else spec.shape[-3:]
        first = self.channels_first or self.without_channels
        channels, height, width = image if first else (image[2], *image[:2])
        self.channels = 3 if channels is None else channels
        if self.channels not in MODES:
            raise DatasetError(
                f"{owner} makes images of {', '.join(map(str, MODES))} channels, "
                f"input {spec.name!r} of the model takes {spec.described()}."
            )
        self._require_fitting(self.recipe, spec)
        self.size = (height or self.image_size, width or self.image_size)
        self.spec = spec

    def load(self, indices: Sequence[int] | Array) -> Samples:
        """Decode and resize the images with these indices, in this order."""
        files, targets = self.prepared(self.files), self.targets
        images = np.stack([self._image(files[index], int(index)) for index in indices])
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
            shown = "; ".join(f"{printable(path)}: {reason}" for path, reason in broken[:3])
            more = "; ..." if broken[3:] else ""
            raise DatasetError(
                f"{type(self).__name__}: {len(broken)} of {len(files)} images are broken and must "
                f"be replaced or removed: {shown}{more}."
            )

    def region(self, path: Path, width: int, height: int) -> tuple[int, int, int, int] | None:
        """Return left, top, right and bottom of what is used of an image, None for all of it."""
        return None

    def remarks(self) -> list[str]:
        """Return what was special about the images loaded so far, and what else is to be known."""
        told = self.notes.remarks(self.background, self.apply_exif_orientation, self.pixel_range)
        return [*super().remarks(), *told]

    def facts(self) -> dict[str, Any]:
        """Return what was done to all images, and to how many of them what else."""
        height, width = self.wanted_size()
        return {
            **super().facts(),
            **self.notes.facts(),
            "height": height,
            "width": width,
            "channels": self.channels,
            "preprocessing": {
                "preset": self.preprocessing,
                **msgspec.json.decode(msgspec.json.encode(self.recipe)),
            },
        }

    def wanted_size(self) -> tuple[int, int]:
        """Return height and width of the samples."""
        return self.size or (self.image_size, self.image_size)

    def reader(self) -> PictureReader:
        """Return what decodes images as the options say."""
        ground = ground_of(self.background, type(self).__name__)
        return PictureReader(self, ground, self.apply_exif_orientation, self.pixel_range)

    def _image(self, path: Path, index: int) -> Array:
        recipe, size = self.recipe, self.wanted_size()
        self._require_room(recipe, size)
        image, notes, deepest = self.reader().read(path, MODES[self.channels])
        self.notes.add(index, notes, deepest)
        region = self.region(path, image.width, image.height)
        image = image if region is None else image.crop(region)
        self._note_fit(index, recipe, (image.height, image.width), size)
        pixels = fitted(image, recipe, size, self)
        if pixels.shape[-1] != self.channels:
            # Of more than 8 bits, which is gray.
            pixels = np.repeat(pixels, 3, -1)
            if self.channels == 4:
                pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], -1)
        if recipe.channel_order == "bgr" and self.channels > 1:
            pixels = pixels[..., [2, 1, 0, 3][: self.channels]]
        pixels = self._scaled(pixels, recipe)
        if self.without_channels:
            return pixels[..., 0]
        return np.moveaxis(pixels, -1, 0) if self.channels_first else pixels

    def _scaled(self, pixels: Array, recipe: Recipe) -> Array:
        spec = self.spec
        if spec is not None and not spec.quantized and np.dtype(spec.dtype).kind in "iu":
            return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
        if recipe.quantized_pixels and spec is not None and spec.scale is not None:
            # Real values that quantizing turns into just these integers.
            integers = np.clip(np.rint(pixels), 0, 255) + np.iinfo(spec.dtype).min
            return np.asarray((integers - (spec.zero_point or 0)) * spec.scale, np.float32)
        if recipe.scale != 1:
            pixels = pixels * np.float32(recipe.scale)
        if recipe.mean:
            pixels = pixels - np.array(recipe.mean, np.float32)
        if recipe.std:
            pixels = pixels / np.array(recipe.std, np.float32)
        return np.asarray(pixels, np.float32)

    def _note_fit(
        self, index: int, recipe: Recipe, have: tuple[int, int], wanted: tuple[int, int]
    ) -> None:
        target = fitted_size(have, wanted, recipe) if recipe.resize == "crop" else wanted
        by_height, by_width = (w / h for w, h in zip(target, have, strict=True))
        stretched = 1.0 if recipe.resize == "crop" else by_height / by_width
        self.notes.add_fit(index, stretched, max(by_height, by_width))

    def _require_room(self, recipe: Recipe, size: tuple[int, int]) -> None:
        cropped = recipe.resize == "crop" and recipe.shorter_side is not None
        if cropped and max(size) > (recipe.shorter_side or 0):
            raise DatasetError(
                f"{type(self).__name__}.shorter_side must be at least {max(size)}, "
                f"the size of the model's images, got {recipe.shorter_side}."
            )

    def _require_fitting(self, recipe: Recipe, spec: TensorSpec) -> None:
        owner = type(self).__name__
        for name, numbers in (("mean", recipe.mean), ("std", recipe.std)):
            if len(numbers) not in (0, 1, self.channels):
                raise DatasetError(
                    f"{owner}: {self.normalization} has {len(numbers)} numbers for {name}, but "
                    f"input {spec.name!r} of the model takes {spec.described()}; "
                    f"--pixel-{name} gives others."
                )
        integer = np.dtype(spec.dtype).kind in "iu"
        if recipe.quantized_pixels and not (integer and np.dtype(spec.dtype).itemsize == 1):
            raise DatasetError(
                f"{owner}.preprocessing {self.preprocessing} is for models that take pixels as "
                f"8-bit integers, input {spec.name!r} of the model takes {spec.described()}; "
                "keras-tf is for their floating-point relatives."
            )
        if recipe.normalizes and not recipe.quantized_pixels and integer and not spec.quantized:
            raise DatasetError(
                f"{owner}: {self.normalization} makes real numbers, but input {spec.name!r} of the "
                f"model takes {spec.described()}, pixels as they are: leave it out."
            )
