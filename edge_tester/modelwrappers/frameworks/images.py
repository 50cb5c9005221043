"""What models of images have in common: their preprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_tester.core.model import ModelWrapper
from edge_tester.core.tensors import Array, TensorSpec

_CHANNELS = 3


class ImageModel(ModelWrapper):
    """A subclass must say how pixels become what its network takes, if they are not that.

    Images come with the channels last, or where the compiled model has them, as
    data sets of images give them. They leave with the channels where the compiled
    model has them: some compilers move them back.
    """

    @property
    def normalization(self) -> str | None:
        """The wrapper's own :meth:`normalize`, None if it does nothing."""
        own = type(self).normalize is not ImageModel.normalize
        return "the preprocessing" if own else None

    def normalize(self, images: Array) -> Array:
        """Return float32 values for images of shape (batch, height, width, channels)."""
        return images

    def scaling(self) -> dict[str, Any] | None:
        """Return mean and deviation of each channel, read off what :meth:`normalize` does.

        Networks that want other channels than red, green and blue, or more than a factor and
        an offset, have none.
        """
        values = np.random.default_rng(0).integers(0, 256, (1, 8, 8, _CHANNELS)).astype(np.float32)
        zero, one = (self.normalize(np.full_like(values, level)) for level in (0, 255))
        offsets = zero[0, 0, 0].astype(np.float64)
        factors = (one[0, 0, 0] - offsets) / 255
        if np.any(factors <= 0):
            return None
        if not np.allclose(self.normalize(values), values * factors + offsets, atol=1e-4):
            return None
        if np.allclose(factors, 1) and np.allclose(offsets, 0):
            return {}
        numbers = {"input_mean": -offsets / factors, "input_std": 1 / factors}
        # The seven digits that float32 has.
        told = {name: [float(f"{n:.7g}") for n in found] for name, found in numbers.items()}
        # Equal for all channels, they are for any number of these.
        return {
            "input_scale": 1.0,
            **{n: v[:1] if len(set(v)) == 1 else v for n, v in told.items()},
        }

    def preprocess(self, inputs: Sequence[Array], specs: Sequence[TensorSpec]) -> list[Array]:
        """Normalize the images and put the channels where the model has them."""
        (images,), spec = inputs, specs[0]
        first = spec.channels_first
        if first and images.shape[1] == spec.shape[-3]:
            images = np.moveaxis(images, 1, -1)
        normalized = self.normalize(images)
        return [np.ascontiguousarray(np.moveaxis(normalized, -1, 1) if first else normalized)]
