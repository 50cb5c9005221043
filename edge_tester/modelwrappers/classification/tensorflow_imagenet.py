"""Any of Keras' applications: networks that were trained on ImageNet."""

from __future__ import annotations

import pkgutil
from pathlib import Path
from typing import Any

import numpy as np

from edge_tester.core.artifact import Artifact
from edge_tester.core.backends import backend
from edge_tester.core.errors import ModelError, OptionError
from edge_tester.core.options import hint, option
from edge_tester.core.system.quiet import quiet
from edge_tester.core.tensors import Array
from edge_tester.modelwrappers.frameworks.images import ImageModel
from edge_tester.modelwrappers.frameworks.tensorflow import KerasModel
from edge_tester.modelwrappers.frameworks.training import one_line, require_existing


class TensorFlowImageNet(ImageModel, KerasModel):
    """Classifies photographs with any network of ``keras.applications``.

    Takes images of 0 to 255 and preprocesses them as the application wants it;
    gives logits. ``--create`` makes the model file from published weights.
    """

    application: str = option("MobileNetV2", help="Name of a network of keras.applications")
    create: bool = option(False, help="Make model_path from the application if it does not exist")
    pretrained_weights: str = option(
        "imagenet",
        help="Weights of a model that is made or trained: imagenet (from Keras' cache or the "
        "network), none (random), or a file of weights",
    )
    input_size: int | None = option(
        None, minimum=1, help="Height and width of a new model's input", unit="pixel"
    )
    num_classes: int = option(1000, minimum=2, help="Number of classes of a new model")

    def artifact(self) -> Artifact:
        """Return the model file, which is made if it is missing and that was asked for."""
        self._make_if_asked()
        return super().artifact()

    def load(self) -> None:
        """Load the model file, which is made if it is missing and that was asked for."""
        self._make_if_asked()
        super().load()

    def build(self) -> Any:
        """Return a new network with the weights that were asked for.

        Raises
        ------
        OptionError
            Keras has no such application, or it does not take the options.
        ModelError
            There are no such weights.
        """
        owner = type(self).__name__
        module = self._module()
        size = self.input_size
        given = {
            # Logits, as all models here give them; the order of classes is the same.
            "classifier_activation": None,
            "classes": self.num_classes,
            "input_shape": None if size is None else (size, size, 3),
        }
        published = self.pretrained_weights == "imagenet"
        path = (
            None
            if published or self.pretrained_weights == "none"
            else Path(self.pretrained_weights)
        )
        if path is not None:
            require_existing(path)
        try:
            # Keras tells of its download and of sizes that it was not trained on.
            with quiet():
                network = getattr(module, self.application)(
                    weights="imagenet" if published else None, **given
                )
        except (ValueError, TypeError) as error:
            raise OptionError(
                f"{owner}: {self.application} does not take the options: {one_line(error)}"
            ) from error
        except Exception as error:
            raise ModelError(
                f"{owner} got no ImageNet weights of {self.application} ({one_line(error)}); "
                "--pretrained-weights FILE names a file of them, --pretrained-weights none makes "
                "random ones."
            ) from error
        if path is not None:
            try:
                with quiet():
                    network.load_weights(path)
            except Exception as error:
                raise ModelError(
                    f"{path} holds no weights of {self.application}: {one_line(error)}"
                ) from error
        return network

    def normalize(self, images: Array) -> Array:
        """Return what the application's own ``preprocess_input`` does of a copy."""
        scaled = self._module().preprocess_input(np.array(images, np.float32))
        return np.asarray(scaled, np.float32)

    def _make_if_asked(self) -> None:
        if self.create and not self.model_path.exists():
            self.network = self.build()
            self.save(self.model_path)

    def _module(self) -> Any:
        """Return the module of the application, which has its preprocessing too."""
        package = backend("tensorflow", self).keras.applications
        names = [info.name for info in pkgutil.iter_modules(package.__path__)]
        modules = [getattr(package, name) for name in names if hasattr(package, name)]
        found = {
            name: module
            for module in modules
            if hasattr(module, "preprocess_input")
            for name in vars(module)
            if name[0].isupper()
        }
        if self.application not in found:
            raise OptionError(
                f"{type(self).__name__}.application: Keras has no {self.application!r}"
                f"{hint(self.application, found)}"
            )
        return found[self.application]
