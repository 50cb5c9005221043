"""Any PyTorch network that was trained on ImageNet, from the function that builds it."""

from __future__ import annotations

import importlib
import json
from typing import Any

import numpy as np

from edge_tester.core.errors import ModelError, OptionError
from edge_tester.core.options import option
from edge_tester.core.tensors import Array
from edge_tester.modelwrappers.frameworks.images import ImageModel
from edge_tester.modelwrappers.frameworks.pytorch import TorchModel
from edge_tester.modelwrappers.frameworks.training import one_line

CHANNELS = 3


class PyTorchImageNet(ImageModel, TorchModel):
    """Classifies photographs with any PyTorch network, built by a function of Python.

    Takes images of 0 to 255; the network takes (batch, 3, input_size, input_size)
    float32, normalized, and gives logits. ``model_path`` is its state dict.
    """

    factory: str = option(
        help="Function or class that returns the network, as module:name, such as "
        "torchvision.models:mobilenet_v2"
    )
    factory_options: str = option("{}", help="Its keyword arguments as a JSON object")
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
        module, separator, name = self.factory.partition(":")
        if not (module and separator and name):
            raise OptionError(f"{owner}.factory must be module:name, got {self.factory!r}.")
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
        self._arguments()

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Three channels of the size that the options say."""
        return ((CHANNELS, self.input_size, self.input_size),)

    def build(self) -> Any:
        """Return what the factory makes.

        Raises
        ------
        OptionError
            There is no such module or function.
        ModelError
            The function does not take the arguments, or fails.
        """
        module_name, _, name = self.factory.partition(":")
        owner = type(self).__name__
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            # A module that lacks something itself shows its own error.
            if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                raise
            raise OptionError(f"{owner}.factory: there is no module {error.name}.") from error
        function = getattr(module, name, None)
        if not callable(function):
            raise OptionError(f"{owner}.factory: {module_name} has no function or class {name!r}.")
        try:
            return function(**self._arguments())
        except Exception as error:
            raise ModelError(
                f"{owner}: {self.factory} with {self.factory_options} failed: {one_line(error)}"
            ) from error

    def normalize(self, images: Array) -> Array:
        """Return ``(image / 255 - input_mean) / input_std``."""
        mean = np.array(self.input_mean, np.float32)
        deviation = np.array(self.input_std, np.float32)
        normalized: Array = (images / np.float32(255) - mean) / deviation
        return normalized.astype(np.float32, copy=False)

    def _arguments(self) -> dict[str, Any]:
        try:
            found = json.loads(self.factory_options)
        except ValueError as error:
            found = error
        if not isinstance(found, dict):
            raise OptionError(
                f"{type(self).__name__}.factory_options must be a JSON object, "
                f"got {self.factory_options!r}."
            )
        return found
