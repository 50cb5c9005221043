"""Any program of torch.export (.pt2)."""

from __future__ import annotations

from collections.abc import Sequence

from edge_tester.core.artifact import Artifact
from edge_tester.core.backends import backend
from edge_tester.core.errors import OptionError
from edge_tester.core.graphs import Graph, Graphs, Shape
from edge_tester.core.system.quiet import quiet
from edge_tester.modelwrappers.frameworks.file import FileModel
from edge_tester.modelwrappers.frameworks.generic import GenericModel
from edge_tester.modelwrappers.frameworks.torch_contents import require_contents
from edge_tester.modelwrappers.frameworks.torch_graph import exported_graph


class TorchExportedFile(Graphs, GenericModel, FileModel):
    """Any program of torch.export (.pt2), run as it is."""

    packages = ("torch",)
    distributions = ("torch",)
    file_format = "torch-exported"
    runtime_name = "torch_exported"

    def artifact(self) -> Artifact:
        """Describe the file, if it is what its name promises."""
        artifact = super().artifact()
        require_contents(self.model_path, self.file_format)
        return artifact

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
