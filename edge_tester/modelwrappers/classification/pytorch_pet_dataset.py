"""MobileNetV2 for the pet data set, in PyTorch."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edge_tester.core.backends import backend
from edge_tester.core.errors import ModelError
from edge_tester.core.model import TrainingPlan
from edge_tester.core.options import option
from edge_tester.core.tensors import Array
from edge_tester.modelwrappers.frameworks.mobilenet_v2 import mobilenet_v2
from edge_tester.modelwrappers.frameworks.pytorch import TorchModel
from edge_tester.modelwrappers.frameworks.training import Stage, one_line
from edge_tester.modelwrappers.frameworks.transfer import TransferModel

# Of ImageNet's training images, red, green and blue, 0 to 1; torchvision's weights expect them.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
WEIGHTS_URL = "https://download.pytorch.org/models/mobilenet_v2-b0353104.pth"

_logger = logging.getLogger(__name__)


class PyTorchPetDatasetMobileNetV2(TransferModel, TorchModel):
    """Tells breeds of cats and dogs apart with MobileNetV2, in PyTorch.

    Takes images of 0 to 255. The network takes (batch, 3, input_size, input_size)
    float32, normalized, and gives (batch, num_classes) float32, logits.

    Notes
    -----
    Source: M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear
    Bottlenecks", CVPR 2018.
    """

    pretrained_weights: Path | None = option(
        None, help="State dict of torchvision's mobilenet_v2 that a training starts from"
    )

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Three channels of the size that the options say."""
        return ((3, self.input_size, self.input_size),)

    def build(self) -> Any:
        """Return the untrained network."""
        nn = backend("torch", self).nn
        return mobilenet_v2(nn, self.num_classes, self.width, self.dropout)

    def stages(self, plan: TrainingPlan) -> Iterator[Stage]:
        """Load the backbone's weights, then yield the stages."""
        self.pretrained = self.pretrained_weights is not None
        if self.pretrained_weights is None:
            _logger.warning(
                "%s trains from random weights, which needs far more images and epochs; "
                "--pretrained-weights FILE starts from ImageNet's (%s).",
                type(self).__name__,
                WEIGHTS_URL,
            )
        else:
            self._load_backbone(self.pretrained_weights)
        yield from super().stages(plan)

    def freeze(self, frozen: bool) -> None:
        """Let the convolutions learn, or not."""
        self.network.features.requires_grad_(not frozen)

    def normalize(self, images: Array) -> Array:
        """Return images of mean 0 and deviation 1, as over ImageNet's training images."""
        normalized: Array = (images / np.float32(255) - MEAN) / DEVIATION
        return normalized.astype(np.float32, copy=False)

    def _load_backbone(self, path: Path) -> None:
        prefix = "features."
        weights = {
            name.removeprefix(prefix): values
            for name, values in self.read_weights(path).items()
            if name.startswith(prefix)
        }
        try:
            self.network.features.load_state_dict(weights)
        except Exception as error:
            raise ModelError(
                f"{path} is no state dict of MobileNetV2 of width {self.width:g}: {one_line(error)}"
            ) from error
        self.network.keeps_statistics = True
