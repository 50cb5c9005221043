"""A small convolutional network for MNIST and Fashion-MNIST, in TensorFlow."""

from __future__ import annotations

from typing import Any

from edge_tester.core.backends import backend
from edge_tester.modelwrappers.frameworks.tensorflow import KerasModel

INPUT_SHAPE = (28, 28, 1)
CLASSES = 10


class TensorFlowMNISTClassifier(KerasModel):
    """Classifies gray images of 28 x 28 pixels with two convolutions, in TensorFlow.

    Input (batch, 28, 28, 1) float32, 0 to 1; output (batch, 10) float32, logits.
    It has 20,490 parameters.
    """

    sample_shapes = (INPUT_SHAPE, (CLASSES,))

    def build(self) -> Any:
        """Return the untrained network."""
        keras = backend("tensorflow", self).keras
        layers = keras.layers
        return keras.Sequential(
            [
                keras.Input(INPUT_SHAPE, name="image"),
                layers.Conv2D(16, 3, padding="same"),
                layers.MaxPooling2D(),
                layers.ReLU(),
                layers.Conv2D(32, 3, padding="same"),
                layers.MaxPooling2D(),
                layers.ReLU(),
                layers.Flatten(),
                layers.Dense(CLASSES, name="logits"),
            ]
        )
