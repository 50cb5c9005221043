"""What models of images have in common: their preprocessing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_tester.core.model import ModelWrapper
from edge_tester.core.tensors import Array, TensorSpec


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

    def preprocess(self, inputs: Sequence[Array], specs: Sequence[TensorSpec]) -> list[Array]:
        """Normalize the images and put the channels where the model has them."""
        (images,), spec = inputs, specs[0]
        first = spec.channels_first
        if first and images.shape[1] == spec.shape[-3]:
            images = np.moveaxis(images, 1, -1)
        normalized = self.normalize(images)
        return [np.ascontiguousarray(np.moveaxis(normalized, -1, 1) if first else normalized)]
