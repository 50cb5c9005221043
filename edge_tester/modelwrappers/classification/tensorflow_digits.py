"""A small convolutional network for the digits data set, in TensorFlow."""

from __future__ import annotations

from typing import Any

from edge_tester.core.backends import backend
from edge_tester.modelwrappers.frameworks.tensorflow import KerasModel

INPUT_SHAPE = (8, 8, 1)
CLASSES = 10


class TensorFlowDigitsClassifier(KerasModel):
    """Classifies handwritten digits with two convolutions, in TensorFlow.

    Input (batch, 8, 8, 1) float32, 0 to 1; output (batch, 10) float32, logits.

    Notes
    -----
    Weights start by He's rule, the first layer's twice as varied because pixels
    are far from standardized; labels are smoothed. Both let a thousand images
    suffice. Sources: K. He et al., "Delving Deep into Rectifiers", ICCV 2015,
    section 2.2; C. Szegedy et al., "Rethinking the Inception Architecture for
    Computer Vision", CVPR 2016, section 7.
    """

    label_smoothing = 0.1
    sample_shapes = (INPUT_SHAPE, (CLASSES,))

    def build(self) -> Any:
        """Return the untrained network."""
        keras = backend("tensorflow", self).keras
        layers = keras.layers

        def scaled(gain: float) -> Any:
            return keras.initializers.VarianceScaling(gain, distribution="uniform")

        return keras.Sequential(
            [
                keras.Input(INPUT_SHAPE, name="image"),
                layers.Conv2D(16, 3, padding="same", kernel_initializer=scaled(4.0)),
                layers.MaxPooling2D(),
                layers.ReLU(),
                layers.Conv2D(32, 3, padding="same", kernel_initializer=scaled(2.0)),
                layers.MaxPooling2D(),
                layers.ReLU(),
                layers.Flatten(),
                layers.Dense(CLASSES, kernel_initializer=scaled(1.0), name="logits"),
            ]
        )
