"""PyTorch networks that a function of Python builds, named as ``module:name``."""

from __future__ import annotations

import importlib
import json
from typing import Any

from edge_tester.core.backends import backend
from edge_tester.core.errors import ModelError, OptionError
from edge_tester.core.options import option
from edge_tester.modelwrappers.frameworks.pytorch import TorchModel
from edge_tester.modelwrappers.frameworks.training import one_line


class FactoryModel(TorchModel):
    """A subclass must say the shapes that the network takes."""

    factory: str = option(
        help="Function or class that returns the network, as module:name, such as "
        "torchvision.models:mobilenet_v2"
    )
    factory_options: str = option("{}", help="Its keyword arguments as a JSON object")

    def __post_init__(self) -> None:
        """Check the options, also in themselves."""
        super().__post_init__()
        module, separator, name = self.factory.partition(":")
        if not (module and separator and name):
            raise OptionError(
                f"{type(self).__name__}.factory must be module:name, got {self.factory!r}."
            )
        self._arguments()

    def build(self) -> Any:
        """Return what the factory makes.

        Raises
        ------
        OptionError
            There is no such module or function.
        ModelError
            The function does not take the arguments, fails, or makes no network.
        """
        module_name, _, name = self.factory.partition(":")
        owner = type(self).__name__
        if module_name.partition(".")[0] == "torchvision":
            # It cannot always be imported as it is.
            backend("torchvision", self)
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
            network = function(**self._arguments())
        except Exception as error:
            raise ModelError(
                f"{owner}: {self.factory} with {self.factory_options} failed: {one_line(error)}"
            ) from error
        if not isinstance(network, backend("torch", self).nn.Module):
            raise ModelError(
                f"{owner}: {self.factory} must return a torch.nn.Module, "
                f"got {type(network).__name__}."
            )
        return network

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
