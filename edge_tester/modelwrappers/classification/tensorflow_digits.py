"""A small convolutional network for the digits data set, in TensorFlow."""

from __future__ import annotations

from typing import Any

from edge_tester.core.backends import backend
from edge_tester.core.errors import ModelError
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

    def load(self) -> None:
        """Load the network and check that it takes and gives what this one does."""
        super().load()
        inputs, outputs = self.specs()
        shapes = [spec.shape[1:] for spec in inputs + outputs]
        if shapes != [INPUT_SHAPE, (CLASSES,)]:
            self.network = self.restored = self.signature = None
            raise ModelError(
                f"{self.model_path} is no model of {type(self).__name__}: it must take "
                f"{INPUT_SHAPE} and give {(CLASSES,)} per sample, got {shapes}."
            )
