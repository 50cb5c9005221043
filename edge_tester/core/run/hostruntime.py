"""A model wrapper as a runtime, so that host-only runs take the same way as all others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import state
from edge_tester.core.runtime import Runtime
from edge_tester.core.tensors import Array, TensorSpec


class HostRuntime(Runtime):
    """Runs a model on the host, in the framework that it was made with.

    Attributes
    ----------
    model : ModelWrapper
        To be set before use; its own file is loaded.
    """

    model: ModelWrapper = state()
    _inputs: list[Array] = state(default_factory=list)
    _outputs: list[Array] = state(default_factory=list)

    @classmethod
    def of(cls, model: ModelWrapper) -> HostRuntime:
        """Return a runtime for one model wrapper."""
        runtime = cls()
        runtime.model = model
        # Each host runtime runs exactly the format of its model.
        runtime.input_formats = (model.format,)  # type: ignore[misc]
        runtime.distributions = model.distributions  # type: ignore[misc]
        runtime.packages = model.packages  # type: ignore[misc]
        return runtime

    def prepare(self) -> None:
        """Need nothing: the model wrapper imports its framework when it loads."""

    def load(self, path: Path, batch_size: int) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """Load the wrapper's own file; the uploaded copy has the same bytes."""
        self.model.load()
        inputs, outputs = self.model.specs()
        return _with_batch(inputs, batch_size), outputs

    def set_inputs(self, inputs: Sequence[Array]) -> None:
        """Copy the views."""
        self._inputs = [values.copy() for values in inputs]

    def run(self) -> None:
        """Run the framework once."""
        self._outputs = self.model.run(self._inputs)

    def get_outputs(self) -> list[Array]:
        """Return the outputs."""
        return self._outputs

    def facts(self) -> dict[str, Any]:
        """Say that this is the host's own framework."""
        return {"framework": type(self.model).__name__}


def _with_batch(specs: Sequence[TensorSpec], batch_size: int) -> list[TensorSpec]:
    import msgspec

    return [
        msgspec.structs.replace(spec, shape=(batch_size, *spec.shape[1:]))
        if spec.shape and spec.shape[0] is None
        else spec
        for spec in specs
    ]
