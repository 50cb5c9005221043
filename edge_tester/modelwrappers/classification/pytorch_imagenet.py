"""Any PyTorch network that was trained on ImageNet, from the function that builds it."""

from __future__ import annotations

import numpy as np

from edge_tester.core.errors import OptionError
from edge_tester.core.options import option
from edge_tester.core.tensors import Array
from edge_tester.modelwrappers.frameworks.images import ImageModel
from edge_tester.modelwrappers.frameworks.torch_factory import FactoryModel

CHANNELS = 3


class PyTorchImageNet(ImageModel, FactoryModel):
    """Classifies photographs with any PyTorch network, built by a function of Python.

    Takes images of 0 to 255; the network takes (batch, 3, input_size, input_size)
    float32, normalized, and gives logits. ``model_path`` is its state dict.
    """

    input_size: int = option(224, minimum=1, help="Height and width of the input", unit="pixel")
    input_mean: tuple[float, ...] = option(
        (0.485, 0.456, 0.406), help="Mean of red, green and blue, 0 to 1, that is subtracted"
    )
    input_std: tuple[float, ...] = option(
        (0.229, 0.224, 0.225), help="Deviation of red, green and blue, by which is divided"
    )

    def __post_init__(self) -> None:
        """Check the options, also in themselves."""
        super().__post_init__()
        owner = type(self).__name__
        for option_name in ("input_mean", "input_std"):
            values = getattr(self, option_name)
            if len(values) != CHANNELS:
                raise OptionError(
                    f"{owner}.{option_name} must have {CHANNELS} numbers, got {list(values)}."
                )
        if not all(value > 0 for value in self.input_std):
            raise OptionError(
                f"{owner}.input_std must be greater than 0, got {list(self.input_std)}."
            )

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Three channels of the size that the options say."""
        return ((CHANNELS, self.input_size, self.input_size),)

    def normalize(self, images: Array) -> Array:
        """Return ``(image / 255 - input_mean) / input_std``."""
        mean = np.array(self.input_mean, np.float32)
        deviation = np.array(self.input_std, np.float32)
        normalized: Array = (images / np.float32(255) - mean) / deviation
        return normalized.astype(np.float32, copy=False)
