"""A small convolutional network for the digits data set, in PyTorch."""

from __future__ import annotations

import math
from typing import Any

from edge_tester.core.backends import backend
from edge_tester.modelwrappers.frameworks.images import ImageModel
from edge_tester.modelwrappers.frameworks.pytorch import TorchModel

CLASSES = 10


class PyTorchDigitsClassifier(ImageModel, TorchModel):
    """Classifies handwritten digits with two convolutions, in PyTorch.

    Input (batch, 1, 8, 8) float32, 0 to 1; output (batch, 10) float32, logits.

    Notes
    -----
    The first layer starts by He's rule and twice as varied, because pixels are
    far from standardized; the last one starts near zero, so that no class is
    preferred at first; labels are smoothed. All three let a thousand images
    suffice. Sources: K. He et al., "Delving Deep into Rectifiers", ICCV 2015,
    section 2.2; C. Szegedy et al., "Rethinking the Inception Architecture for
    Computer Vision", CVPR 2016, section 7.
    """

    input_shapes = ((1, 8, 8),)
    label_smoothing = 0.1

    def build(self) -> Any:
        """Return the untrained network."""
        nn = backend("torch", self).nn

        def scaled(layer: Any, gain: float) -> Any:
            nn.init.kaiming_uniform_(layer.weight, a=0.0, nonlinearity="linear")
            layer.weight.data.mul_(math.sqrt(gain))
            nn.init.zeros_(layer.bias)
            return layer

        return nn.Sequential(
            scaled(nn.Conv2d(1, 16, 3, padding=1), 4.0),
            nn.MaxPool2d(2),
            nn.ReLU(),
            scaled(nn.Conv2d(16, 32, 3, padding=1), 1.0),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            scaled(nn.Linear(128, CLASSES), 0.01),
        )
