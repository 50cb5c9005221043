"""Models that are a file which some runtime runs as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec
import numpy as np

from edge_tester.core.errors import InputError, ModelError
from edge_tester.core.formats import FORMATS
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import state
from edge_tester.core.registry import load
from edge_tester.core.runtime import Runtime
from edge_tester.core.system.quiet import quiet
from edge_tester.core.tensors import Array, TensorSpec


class FileModel(ModelWrapper):
    """A subclass must say which format it takes and which runtime runs it.

    The file itself is what is deployed, so deploying it needs no ``load()`` and
    no backend on the host; only running on the host and calibrating do.
    """

    file_format: ClassVar[str]
    """Format of the file."""
    runtime_name: ClassVar[str]
    """Short name of the runtime that runs it on the host."""

    runtime: Runtime | None = state()
    loaded_for: int = state(0)
    loaded_specs: tuple[list[TensorSpec], list[TensorSpec]] | None = state()

    @property
    def format(self) -> str:
        """Format of the file; a suffix that stands for another one is refused."""
        found = FORMATS.get(self.model_path.suffix.lower(), self.file_format)
        if found != self.file_format:
            raise ModelError(
                f"{type(self).__name__} takes {self.file_format} files, "
                f"got {self.model_path}, whose suffix stands for {found}."
            )
        return found

    def host_runtime(self) -> Runtime:
        """Return a runtime for this format."""
        runtime: Runtime = load("runtimes", self.runtime_name)()  # type: ignore[assignment]
        return runtime

    def load(self) -> None:
        """Load the file on the host, for one sample at a time, whatever it has run before."""
        if self.runtime is None or self.loaded_for != 1:
            self._load_for(1)

    def specs(self) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """Return the specs of the loaded file, at the batch size it is loaded for."""
        return self.loaded(self.loaded_specs)

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Run the file on the host; real values in, real values out.

        A batch size other than that of the last run loads the file anew.

        Raises
        ------
        InputError
            The inputs do not fit the model.
        """
        wanted = self.specs()[0]
        if len(inputs) != len(wanted):
            raise InputError(f"{self.model_path} takes {len(wanted)} inputs, got {len(inputs)}.")
        if inputs:
            first = np.shape(inputs[0])
            any_batch = msgspec.structs.replace(wanted[0], shape=(None, *wanted[0].shape[1:]))
            if any_batch.accepts(first) and not wanted[0].accepts(first):
                self._load_for(first[0])
        input_specs, output_specs = self.specs()
        runtime = self.loaded(self.runtime)
        runtime.set_inputs(
            [spec.conform(values) for spec, values in zip(input_specs, inputs, strict=True)]
        )
        runtime.run()
        # Copies, because the next run may use the same memory.
        return [
            spec.dequantize(np.array(values))
            for spec, values in zip(output_specs, runtime.get_outputs(), strict=True)
        ]

    def _load_for(self, batch_size: int) -> None:
        if not self.model_path.exists():
            raise ModelError(f"Model file {self.model_path} does not exist.")
        # A load that fails must not leave the earlier state behind as if it were valid.
        self.runtime = self.loaded_specs = None
        runtime = self.host_runtime()
        runtime.prepare()
        with quiet():
            self.loaded_specs = runtime.load(self.model_path, batch_size)
        self.runtime, self.loaded_for = runtime, batch_size
