"""A small convolutional network for MNIST and Fashion-MNIST, in PyTorch."""

from __future__ import annotations

from typing import Any

from edge_tester.core.backends import backend
from edge_tester.modelwrappers.frameworks.images import ImageModel
from edge_tester.modelwrappers.frameworks.pytorch import TorchModel

CLASSES = 10


class PyTorchMNISTClassifier(ImageModel, TorchModel):
    """Classifies gray images of 28 x 28 pixels with two convolutions, in PyTorch.

    Input (batch, 1, 28, 28) float32, 0 to 1; output (batch, 10) float32, logits.
    It has 20,490 parameters.
    """

    input_shapes = ((1, 28, 28),)

    def build(self) -> Any:
        """Return the untrained network."""
        nn = backend("torch", self).nn
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 7 * 7, CLASSES),
        )
