"""Any program of torch.export (.pt2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_tester.core.artifact import Artifact
from edge_tester.core.backends import backend
from edge_tester.core.errors import OptionError
from edge_tester.core.graphs import Graph, Graphs, Shape
from edge_tester.core.system import torchprograms
from edge_tester.core.system.quiet import quiet
from edge_tester.modelwrappers.frameworks.file import FileModel
from edge_tester.modelwrappers.frameworks.generic import GenericModel
from edge_tester.modelwrappers.frameworks.torch_contents import require_contents
from edge_tester.modelwrappers.frameworks.torch_graph import exported_graph
from edge_tester.modelwrappers.frameworks.torch_networks import write_onnx


class TorchExportedFile(Graphs, GenericModel, FileModel):
    """Any program of torch.export (.pt2), run as it is, or compiled further."""

    packages = ("torch",)
    distributions = ("torch",)
    file_format = "torch-exported"
    runtime_name = "torch_exported"

    def artifact(self) -> Artifact:
        """Describe the file, if it is what its name promises."""
        artifact = super().artifact()
        require_contents(self.model_path, self.file_format)
        return artifact

    def precision(self) -> str:
        """Tell by the types of the weights, and whether the program quantizes."""
        self.loaded(self.runtime)
        program = self.export()
        if torchprograms.is_quantized(program):
            return "integers"
        torch = backend("torch", self)
        found = {value.dtype for value in torchprograms.tensors_of(program).values()}
        return "float16" if found & {torch.float16, torch.bfloat16} else "float32"

    def state_names(self) -> list[str]:
        """Return the buffers that the program writes."""
        with quiet():
            # Only a program without operations that change tensors in place says which they are.
            program = self.export().run_decompositions({})
        return sorted(set(program.graph_signature.buffers_to_mutate.values()))

    def export(self) -> Any:
        """Return the program that the file holds."""
        return torchprograms.loaded(self.model_path, self)

    def save_to_onnx(self, path: Path) -> None:
        """Export the program into one file, what it quantizes as QuantizeLinear and the like.

        Raises
        ------
        ModelError
            The program keeps a state, which the file would lose.
        """
        inputs, outputs = self.specs()
        self.require_no_state("an ONNX file")
        names = [spec.name for spec in inputs], [spec.name for spec in outputs]
        write_onnx(self, self.export(), None, path, names)

    def graph(self, batch_size: int | None = None, shapes: Sequence[Shape] = ()) -> Graph:
        """Return the graph of the program, as it was exported."""
        if shapes:
            raise OptionError(
                f"{self.model_path} has the sizes that it was exported for: --input-shapes does "
                "not apply."
            )
        self.artifact()
        torch = backend("torch", self)
        with quiet():
            return exported_graph(self, lambda: torch.export.load(self.model_path), batch_size)
