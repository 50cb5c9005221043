"""Any PyTorch network of a user's own code, or of a library of networks."""

from __future__ import annotations

import re
from pathlib import Path

from edge_tester.core.artifact import Artifact
from edge_tester.core.backends import backend
from edge_tester.core.errors import OptionError
from edge_tester.core.options import option
from edge_tester.core.tensors import TensorSpec
from edge_tester.modelwrappers.frameworks.generic import GenericModel
from edge_tester.modelwrappers.frameworks.torch_factory import FactoryModel

_SHAPE = re.compile(r"(\d+(?:,\d+)*)(?::(float(?:16|32|64)|u?int8|int(?:16|32|64)|bool))?")
# Libraries of networks: what a name before the colon stands for, and the input that is usual.
_LIBRARIES = {
    "torchvision": ("torchvision.models", "3,224,224"),
    "torchvision.models": ("torchvision.models", "3,224,224"),
    "timm": ("timm.models", "3,224,224"),
}


class TorchFactory(GenericModel, FactoryModel):
    """Any PyTorch network that a function builds, with the weights of a state dict.

    Without ``weights`` the network is as the function returns it, with the seed 0; the state
    dict is then written to ``model_path``.
    """

    model_path: Path = option(  # type: ignore[assignment]
        Path(), help="Where the state dict is kept of a network without weights file"
    )
    weights: Path | None = option(None, help="State dict of the network")
    input_shapes: tuple[str, ...] = option(  # type: ignore[assignment]
        (),
        help="Shape of one sample of each input, without the batch, such as 1,8,8 or 16:int64",
    )

    def __post_init__(self) -> None:
        """Check the options, the spelling of the shapes included."""
        library = _LIBRARIES.get(self.factory.partition(":")[0])
        if library is not None:
            self.factory = f"{library[0]}:{self.factory.partition(':')[2]}"
            self.input_shapes = self.input_shapes or (library[1],)
        super().__post_init__()
        for shape in self.input_shapes:
            if not _SHAPE.fullmatch(shape):
                raise OptionError(
                    "TorchFactory.input_shapes must be sizes separated by commas, perhaps a colon "
                    f"and a dtype, such as 1,8,8 or 16:int64, got {shape!r}."
                )
        if self.weights is not None:
            self.model_path = self.weights
        elif self.model_path == Path():
            self.model_path = Path("build/models") / f"{self.factory.replace(':', '.')}.pth"

    @property
    def input_specs(self) -> list[TensorSpec]:
        """Specs of the inputs as the option spells them.

        Raises
        ------
        OptionError
            It is empty.
        """
        if not self.input_shapes:
            raise OptionError(
                f"{self.factory} does not say what it takes: give the shape of one sample of each "
                "input as --input-shapes, such as 3,224,224 or 16:int64."
            )
        specs = []
        for index, given in enumerate(self.input_shapes):
            sizes, _, dtype = given.partition(":")
            shape = (None, *map(int, sizes.split(",")))
            specs.append(TensorSpec(f"input_{index}", shape, dtype or "float32"))
        return specs

    def artifact(self) -> Artifact:
        """Return the state dict, which is written first if no file has it."""
        if self.weights is None:
            self.load()
        return super().artifact()

    def load(self) -> None:
        """Build the network, and load its weights if there are any."""
        if self.network is not None or self.weights is not None:
            super().load()
            return
        torch = backend("torch", self)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.network = self.build().eval()
        self.save(self.model_path)

    def remarks(self) -> list[str]:
        """Say where the weights are from, if from no file."""
        if self.weights is not None:
            return []
        return [
            f"No --weights were given: those of the network are as {self.factory} returns them, "
            "which may be random numbers."
        ]
