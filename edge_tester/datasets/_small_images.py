"""What data sets of small images that fit into memory have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_tester.core.dataset import Samples
from edge_tester.core.options import state
from edge_tester.core.tensors import Array, TensorSpec
from edge_tester.datasets._published import PublishedDataset

MAXIMUM_PIXEL = 255


class SmallImagesDataset(PublishedDataset):
    """A subclass must also set ``images`` when it prepares itself.

    ``images`` is uint8 of shape (samples, height, width, channels). Samples are
    float32, 0 to 1, in the model's layout, by default with the channels last.
    """

    images: Array | None = state()
    channels_first: bool = state(False)

    def bind(self, inputs: Sequence[TensorSpec]) -> None:
        """Learn the layout of the model's one input."""
        self.channels_first = len(inputs) == 1 and inputs[0].channels_first

    def load(self, indices: Sequence[int] | Array) -> Samples:
        """Load the samples with these indices, in this order."""
        chosen = np.asarray(indices, np.intp)
        images = self.prepared(self.images)[chosen].astype(np.float32) / MAXIMUM_PIXEL
        if self.channels_first:
            images = np.ascontiguousarray(np.moveaxis(images, -1, 1))
        return Samples((images,), self.prepared(self.targets)[chosen])
