"""A runtime that refuses every model unread, so that only storing it takes time."""

from pathlib import Path

from edge_tester.core.errors import ModelError
from edge_tester.core.runtime import Runtime
from edge_tester.core.tensors import TensorSpec


class StoredRuntime(Runtime):
    """Refuses what it is given."""

    input_formats = ("echo",)

    def prepare(self) -> None:
        """Need nothing."""

    def load(self, path: Path, batch_size: int) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """Refuse."""
        raise ModelError("It was stored.")
