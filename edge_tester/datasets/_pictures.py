"""Decode picture files of every kind that Pillow opens, and keep what their pixels mean."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edge_tester.core.backends import backend
from edge_tester.core.errors import DatasetError, OptionError
from edge_tester.core.tensors import Array

GROUNDS = {"white": (255, 255, 255), "gray": (128, 128, 128), "black": (0, 0, 0)}
_ORIENTATION = 0x0112
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0
_GRAY_MODES = ("1", "L", "LA", "La")
# Several images in one file that are no frames: of a camera's extras, or layers.
_NOT_ANIMATED = ("MPO", "PSD")
_WHITE_16 = 65535
# Green counts most for the brightness that an eye sees (ITU-R BT.601, as Pillow has it).
_LUMA = (0.299, 0.587, 0.114)


class Picture(NamedTuple):
    """One decoded picture.

    ``notes`` has words on what was special; ``deepest`` is the largest value of a
    picture of 16 bits, as it is in the file.
    """

    image: Any
    notes: frozenset[str]
    deepest: int = 0


class PictureReader(NamedTuple):
    """Reads pictures by fixed rules.

    Parameters
    ----------
    owner : object
        The data set, for messages.
    ground : tuple of int
        Red, green and blue behind what is transparent.
    apply_orientation : bool
        Whether pictures are turned as their EXIF data say.
    pixel_range : tuple of float
        What is black and what is white in pictures of more than 8 bits; empty if
        their format says so.
    """

    owner: object
    ground: tuple[int, int, int]
    apply_orientation: bool
    pixel_range: tuple[float, ...]

    def read(self, path: Path, mode: str) -> Picture:
        """Return a picture in Pillow's mode L, RGB or RGBA, or in F if it has more bits.

        Raises
        ------
        DatasetError
            The file is missing or corrupt, or it is not known what its pixels mean.
        """
        pillow = backend("PIL.Image", self.owner)
        try:
            with pillow.open(path) as file:
                several = getattr(file, "is_animated", False) and file.format not in _NOT_ANIMATED
                notes = {"several_frames"} if several else set()
                file.load()
                image = file
                # Pillow has turned TIFF files by itself now, and removed the tag.
                if _orientation(file) in range(2, 9):
                    notes.add("exif_orientation")
                    if self.apply_orientation:
                        image = backend("PIL.ImageOps", self.owner).exif_transpose(file)
                if file.mode == "I" or file.mode == "F" or file.mode.startswith("I;"):
                    return self._deep(path, image, file, notes)
                return self._shallow(image, mode, notes)
        except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError) as error:
            raise DatasetError(
                f"{type(self.owner).__name__} cannot read image {path}: {error}"
            ) from error

    def _shallow(self, image: Any, mode: str, notes: set[str]) -> Picture:
        # Colors first: shades between those of a palette do not exist.
        if image.has_transparency_data and mode != "RGBA":
            source = {"La": "LA", "RGBa": "RGBA"}.get(image.mode)
            layer = (image.convert(source) if source else image).convert("RGBA")
            if layer.getchannel("A").getextrema()[0] < 255:
                notes.add("transparent")
            pillow = backend("PIL.Image", self.owner)
            ground = pillow.new("RGBA", layer.size, (*self.ground, 255))
            made = pillow.alpha_composite(ground, layer).convert("RGB")
        elif image.mode == "LAB":
            raise ValueError("it is in the LAB color space; save it as RGB")
        elif image.mode in _GRAY_MODES or mode == "RGBA":
            made = image.convert(mode)
        else:
            made = image.convert("RGB")
        if mode == "L" and made.mode == "RGB":
            if image.mode not in _GRAY_MODES and _is_colored(made):
                notes.add("made_gray")
            made = made.convert("L")
        # What is gray by itself was laid on a ground in color, perhaps.
        return Picture(made.convert(mode), frozenset(notes))

    def _deep(self, path: Path, image: Any, file: Any, notes: set[str]) -> Picture:
        """Return real values from 0 to 255 for integers of 16 or 32 bits and for floats."""
        raw = np.asarray(image)
        lowest, highest = raw.min(), raw.max()
        tags = getattr(file, "tag_v2", {})
        black, white = self._range(path, file, tags, raw)
        # Written so that NaN fails too.
        if not (black <= lowest and highest <= white):
            raise DatasetError(
                f"{type(self.owner).__name__}.pixel_range is {black:g} to {white:g}, but {path} "
                f"has values from {lowest:g} to {highest:g}."
            )
        values = (raw.astype(np.float64) - black) * (255 / (white - black))
        if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            values = 255 - values
        hidden = file.info.get("transparency")
        if isinstance(hidden, int) and (raw == hidden).any():
            values[raw == hidden] = np.dot(self.ground, _LUMA)
            notes.add("transparent")
        notes.add("more_than_8_bits")
        pillow = backend("PIL.Image", self.owner)
        return Picture(pillow.fromarray(values.astype(np.float32)), frozenset(notes), int(highest))

    def _range(self, path: Path, file: Any, tags: Any, raw: Array) -> tuple[float, float]:
        if self.pixel_range:
            return self.pixel_range[0], self.pixel_range[1]
        # Pillow keeps these in 32 bits, but scales them to the range of 16.
        if file.mode.startswith("I;16") or (file.mode == "I" and file.format in ("PPM", "PNG")):
            bits = tags.get(_BITS, (16,))[0]
            return 0, (1 << bits) - 1
        raise DatasetError(
            f"{type(self.owner).__name__}: {path} has {raw.dtype} pixels, from {raw.min():g} to "
            f"{raw.max():g}, and does not say which of them is black and which is white: "
            "--pixel-range BLACK WHITE does, such as --pixel-range 0 1."
        )


def ground_of(text: str, owner: str) -> tuple[int, int, int]:
    """Return red, green and blue of an option such as ``white`` or ``255,128,0``.

    Raises
    ------
    OptionError
        It is no color.
    """
    if text in GROUNDS:
        return GROUNDS[text]
    match = re.fullmatch(r"(\d{1,3}),(\d{1,3}),(\d{1,3})", text, re.ASCII)
    if match and all(int(part) <= 255 for part in match.groups()):
        red, green, blue = map(int, match.groups())
        return red, green, blue
    raise OptionError(
        f"{owner}.background must be {', '.join(GROUNDS)}, or red,green,blue from 0 to 255, "
        f"got {text!r}."
    )


def _orientation(file: Any) -> int:
    try:
        return int(file.getexif().get(_ORIENTATION, 1))
    except (OSError, ValueError, TypeError, SyntaxError, KeyError, struct.error):
        # Damaged EXIF data say nothing; the picture itself is whole.
        return 1


def _is_colored(image: Any) -> bool:
    pixels = np.asarray(image)
    return bool((pixels[..., :1] != pixels[..., 1:]).any())
