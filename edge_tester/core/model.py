"""The model wrapper role."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from edge_tester.core.artifact import Artifact
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import ModelError, OptionError
from edge_tester.core.options import Configurable, option
from edge_tester.core.tensors import Array, TensorSpec

Loaded = TypeVar("Loaded")

if TYPE_CHECKING:
    from edge_tester.core.runtime import Runtime


class TrainingPlan(Configurable):
    """How to train a model."""

    logdir: Path | None = option(None, help="Folder for TensorBoard logs")
    batch_size: int = option(32, minimum=1, help="Samples of one training step")
    learning_rate: float = option(0.001, minimum=0, help="Learning rate of the optimizer")
    num_epochs: int = option(20, minimum=1, help="Passes over the training split")
    seed: int = option(
        0, minimum=0, gives_way=True, help="Seed of the weights and of the order of samples"
    )


class ModelWrapper(Configurable):
    """A subclass must load, run, save, train and export one model.

    * Nothing is imported or read before ``load``, which may be called again and then does nothing.
    * ``run`` leaves its inputs as they are, answers equal inputs alike, and gives arrays that the
      caller owns; ``specs`` names inputs and outputs in the order of ``run``.
    * ``preprocess`` and ``postprocess`` look at nothing but what they are given, and the options.
    * Equal options and an equal file are an equal model, in this process and in another one.

    Conformance suite: :class:`edge_tester.testing.ModelWrapperConformance`.
    """

    distributions: ClassVar[tuple[str, ...]] = ()
    """Names of the packages whose versions belong into a run record."""

    label_offset: ClassVar[int] = 0
    """Added to a class of the data set, it is the model's class."""
    threshold: ClassVar[float | None] = None
    """A single score above it means class 1 of two; None decides by the scores."""
    batch_axis: ClassVar[str] = "auto"
    """Axis of the batch in the model's inputs: 0, 1, none, or auto to tell it from the data."""
    batchless: ClassVar[bool] = False
    """Whether the model was last fed without a batch axis."""

    model_path: Path = option(help="Model file")

    @property
    def format(self) -> str:
        """Format of the model file, as compilers and runtimes name it."""
        raise NotImplementedError

    def artifact(self) -> Artifact:
        """Describe the model file."""
        return Artifact.from_file(self.model_path, self.format)

    def load(self) -> None:
        """Load the model from ``model_path``; does nothing if it is loaded.

        Raises
        ------
        ModelError
            The file is missing, corrupt or of another format.
        """
        raise NotImplementedError

    def loaded(self, value: Loaded | None) -> Loaded:
        """Return working state that :meth:`load` sets.

        Raises
        ------
        ModelError
            It is None: the model was not loaded.
        """
        if value is None:
            raise ModelError(f"{type(self).__name__} is used before load() was called.")
        return value

    def specs(self) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """Return the input and output specs of the loaded model."""
        raise NotImplementedError

    def precision(self) -> str:
        """Return the coarsest type that the loaded model computes in.

        Returns
        -------
        str
            ``float32``, ``float16`` or ``integers``.
        """
        return "float32"

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Run the model once on the host, in its own framework.

        Parameters
        ----------
        inputs : sequence of ndarray, one per input, preprocessed, of shape (batch, ...)

        Returns
        -------
        list of ndarray, one per output, of shape (batch, ...)
        """
        raise NotImplementedError

    def state_names(self) -> list[str]:
        """Return where the loaded model keeps what it remembers from run to run, if it tells."""
        return []

    def require_no_state(self, what: str) -> None:
        """See whether nothing is lost where a state is.

        Parameters
        ----------
        what : str
            What would lose it.

        Raises
        ------
        ModelError
            The model keeps one; the message says where, and what to do.
        """
        if names := self.state_names():
            raise ModelError(
                f"{type(self).__name__}: {self.model_path} keeps a state between inferences in "
                f"{', '.join(names)}, which {what} would lose. Let the model take the state as an "
                "input and give the new one as an output, or compile it for ExecuTorch, "
                "TorchScript or torch.export, which keep it."
            )

    def save(self, path: Path) -> None:
        """Save the loaded model in the framework's own format."""
        raise ModelError(f"{type(self).__name__} cannot save: it only reads a given file.")

    def train(self, dataset: Dataset, plan: TrainingPlan) -> dict[str, float]:
        """Train from scratch and save to ``model_path``; return the final metrics."""
        raise ModelError(f"{type(self).__name__} cannot train: it only reads a given file.")

    def save_to_onnx(self, path: Path) -> None:
        """Export the loaded model to ONNX, in one self-contained file."""
        raise ModelError(f"{type(self).__name__} cannot export to ONNX.")

    def export(self) -> Any:
        """Return the loaded model as ``torch.export.ExportedProgram``, for PyTorch's compilers."""
        raise ModelError(f"{type(self).__name__} is no PyTorch model: it has no exported program.")

    def preprocess(self, inputs: Sequence[Array], specs: Sequence[TensorSpec]) -> list[Array]:
        """Turn the data set's values into the real values that the model takes.

        Parameters
        ----------
        inputs : sequence of ndarray of shape (batch, ...)
        specs : sequence of TensorSpec
            Inputs of the model as it was compiled; quantizing is not done here.
        """
        return list(inputs)

    def scaling(self) -> dict[str, Any] | None:
        """Return what :meth:`preprocess` does, as options of the wrappers for any file.

        Returns
        -------
        dict or None
            ``input_scale``, ``input_mean`` and ``input_std``; empty if values stay as they are,
            None if these cannot say it.
        """
        return {}

    @property
    def normalization(self) -> str | None:
        """What scales samples in :meth:`preprocess`, in words; None if nothing does."""
        return None

    def require_one_normalization(self, dataset: Dataset) -> None:
        """See that not both the data set and the wrapper scale the samples.

        Raises
        ------
        OptionError
            Both do; the message names them.
        """
        if dataset.normalization and self.normalization:
            raise OptionError(
                f"{dataset.normalization} of {type(dataset).__name__} scales the samples, and so "
                f"does {self.normalization} of {type(self).__name__}: they would be scaled twice, "
                "so leave one out."
            )

    def host_runtime(self) -> Runtime | None:
        """Return the runtime that runs the model's own file, None if a framework does."""
        return None

    def known_classes(self) -> list[str]:
        """Return the names of the model's classes in the order of its scores, none if unknown."""
        return []

    def evaluated(self, outputs: Sequence[TensorSpec]) -> TensorSpec | None:
        """Return the spec of the output that :meth:`postprocess` takes, None if there is no one."""
        return outputs[0] if outputs else None

    def remarks(self) -> list[str]:
        """Return what a reader of the figures must know of how this wrapper read its file."""
        return []

    def postprocess(self, outputs: Sequence[Array]) -> Array:
        """Turn real-valued outputs into scores or values of shape (batch, ...)."""
        return np.asarray(outputs[0])
