"""Bring a picture to the size that a model takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edge_tester.core.backends import backend
from edge_tester.core.tensors import Array
from edge_tester.datasets._recipes import USUAL_FRACTION, Recipe


def fitted(image: Any, recipe: Recipe, size: tuple[int, int], owner: object) -> Array:
    """Return a Pillow image as float32 values of shape (height, width, channels).

    Parameters
    ----------
    image : PIL.Image.Image
        In mode L, RGB, RGBA or F.
    recipe : Recipe
    size : tuple of int
        Height and width.
    owner : object
        For messages.
    """
    height, width = size
    if recipe.resize == "crop":
        whole = fitted_size((image.height, image.width), size, recipe)
        # As torchvision rounds the place of the center.
        top, left = (round((w - s) / 2) for w, s in zip(whole, size, strict=True))
        values = _resized(image, whole, recipe, owner)
        return values[top : top + height, left : left + width]
    if recipe.resize == "cut":
        image = _cut(image, recipe.crop_fraction or USUAL_FRACTION)
    return _resized(image, size, recipe, owner)


def fitted_size(have: tuple[int, int], wanted: tuple[int, int], recipe: Recipe) -> tuple[int, int]:
    """Return height and width before the center is cropped.

    Notes
    -----
    Source: torchvision, transforms/functional.py, ``_compute_resized_output_size``;
    timm, data/transforms_factory.py, for ``crop_fraction``.
    """
    height, width = have
    if recipe.shorter_side is not None:
        minimum = (recipe.shorter_side, recipe.shorter_side)
    else:
        fraction = recipe.crop_fraction or 1.0
        minimum = (int(wanted[0] / fraction), int(wanted[1] / fraction))
    if minimum[0] * width >= minimum[1] * height:
        return minimum[0], max(minimum[1], minimum[0] * width // height)
    return max(minimum[0], minimum[1] * height // width), minimum[1]


def _cut(image: Any, fraction: float) -> Any:
    """Return the center of an image.

    Notes
    -----
    Source: tensorflow, python/ops/image_ops_impl.py, ``central_crop``.
    """
    left, top = (int((size - size * fraction) / 2) for size in (image.width, image.height))
    return image.crop((left, top, image.width - left, image.height - top))


def _resized(image: Any, size: tuple[int, int], recipe: Recipe, owner: object) -> Array:
    height, width = size
    if recipe.antialias or recipe.interpolation == "nearest":
        method = backend("PIL.Image", owner).Resampling[recipe.interpolation.upper()]
        values = np.asarray(image.resize((width, height), method), np.float32)
        return values.reshape(height, width, -1)
    values = np.asarray(image, np.float32).reshape(image.height, image.width, -1)
    kernel, radius = _KERNELS[recipe.interpolation]
    values = _resampled(values, height, kernel, radius)
    return np.swapaxes(_resampled(np.swapaxes(values, 0, 1), width, kernel, radius), 0, 1)


def _resampled(values: Array, count: int, kernel: Callable[[Array], Array], radius: int) -> Array:
    """Return values of ``count`` places along axis 0, each from the ones nearest to it.

    Pixels are places of their centers. Beyond the edge there is nothing: what is
    there counts for more.

    Notes
    -----
    Source: tensorflow, core/kernels/image/resize_bicubic_op.cc and
    scale_and_translate_op.cc, with ``half_pixel_centers`` and without ``antialias``.
    """
    have = len(values)
    centers = (np.arange(count) + 0.5) * (have / count) - 0.5
    first = np.floor(centers).astype(int) - radius + 1
    result = np.zeros((count, *values.shape[1:]), np.float32)
    total = np.zeros(count)
    for step in range(2 * radius):
        places = first + step
        weights = kernel(np.abs(centers - places)) * ((places >= 0) & (places < have))
        shape = (count, *[1] * (values.ndim - 1))
        result += weights.astype(np.float32).reshape(shape) * values[np.clip(places, 0, have - 1)]
        total += weights
    resampled: Array = result / total.astype(np.float32).reshape(shape)
    return resampled


def _triangle(distance: Array) -> Array:
    return np.asarray(np.clip(1 - distance, 0, None))


def _cubic(distance: Array) -> Array:
    """Weigh by distance.

    Notes
    -----
    Source: R. Keys, "Cubic convolution interpolation for digital image processing",
    IEEE ASSP 1981, equation 15; a is -1/2.
    """
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return np.where(distance < 1, near, np.where(distance < 2, far, 0))


def _lanczos(distance: Array) -> Array:
    return np.where(distance < 3, np.sinc(distance) * np.sinc(distance / 3), 0)


_KERNELS: dict[str, tuple[Callable[[Array], Array], int]] = {
    "bilinear": (_triangle, 1),
    "bicubic": (_cubic, 2),
    "lanczos": (_lanczos, 3),
}
