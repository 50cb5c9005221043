"""MobileNetV2 for the pet data set, in TensorFlow."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from edge_tester.core.backends import backend
from edge_tester.core.errors import ModelError
from edge_tester.core.options import option, state
from edge_tester.core.system.quiet import quiet
from edge_tester.core.tensors import Array
from edge_tester.modelwrappers.frameworks.tensorflow import KerasModel
from edge_tester.modelwrappers.frameworks.training import one_line, require_existing
from edge_tester.modelwrappers.frameworks.transfer import TransferModel

_logger = logging.getLogger(__name__)


class TensorFlowPetDatasetMobileNetV2(TransferModel, KerasModel):
    """Tells breeds of cats and dogs apart with MobileNetV2, in TensorFlow.

    Takes images of 0 to 255. The network takes (batch, input_size, input_size, 3)
    float32, -1 to 1, and gives (batch, num_classes) float32, logits.

    Notes
    -----
    Source: M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear
    Bottlenecks", CVPR 2018; the network is that of ``keras.applications``.
    """

    pretrained_weights: str = option(
        "imagenet",
        help="What a training starts from: imagenet (from Keras' cache or the network), none "
        "(random weights), or a file with the weights of MobileNetV2 without its top",
    )

    backbone: Any = state()

    def build(self) -> Any:
        """Return a network with a new head; its backbone has the weights that were asked for."""
        keras = backend("tensorflow", self).keras
        layers = keras.layers
        self.backbone = self._backbone(keras)
        image = keras.Input((self.input_size, self.input_size, 3), name="image")
        # Statistics of a few images must not replace those of a million.
        features = self.backbone(image, training=False if self.pretrained else None)
        pooled = layers.GlobalAveragePooling2D()(features)
        logits = layers.Dense(self.num_classes, name="logits")(layers.Dropout(self.dropout)(pooled))
        return keras.Model(image, logits)

    def freeze(self, frozen: bool) -> None:
        """Let the backbone learn, or not."""
        self.backbone.trainable = not frozen

    def normalize(self, images: Array) -> Array:
        """Return -1 to 1, as ``keras.applications.mobilenet_v2.preprocess_input`` does."""
        normalized: Array = images / np.float32(127.5) - np.float32(1)
        return normalized.astype(np.float32, copy=False)

    def _backbone(self, keras: Any) -> Any:
        def made(weights: str | None) -> Any:
            shape = (self.input_size, self.input_size, 3)
            return keras.applications.MobileNetV2(
                input_shape=shape, alpha=self.width, include_top=False, weights=weights
            )

        self.pretrained = self.pretrained_weights != "none"
        if self.pretrained_weights == "none":
            return made(None)
        if self.pretrained_weights == "imagenet":
            try:
                # Keras tells of sizes that the weights were not trained on, and of its download.
                with quiet():
                    return made("imagenet")
            except Exception as error:
                _logger.warning(
                    "%s trains from random weights, which needs far more images and epochs: "
                    "Keras gave no ImageNet weights (%s). --pretrained-weights FILE names a "
                    "file of them.",
                    type(self).__name__,
                    one_line(error),
                )
                self.pretrained = False
                return made(None)
        path = Path(self.pretrained_weights)
        require_existing(path)
        backbone = made(None)
        try:
            with quiet():
                backbone.load_weights(path)
        except Exception as error:
            raise ModelError(
                f"{path} holds no weights of MobileNetV2 of width {self.width:g} without its top: "
                f"{one_line(error)}"
            ) from error
        return backbone
