"""Any TorchScript file."""

from __future__ import annotations

from edge_tester.core.artifact import Artifact
from edge_tester.modelwrappers.frameworks.file import FileModel
from edge_tester.modelwrappers.frameworks.generic import GenericModel
from edge_tester.modelwrappers.frameworks.torch_contents import require_contents


class TorchScriptFile(GenericModel, FileModel):
    """Any TorchScript file, run as it is."""

    packages = ("torch",)
    distributions = ("torch",)
    file_format = "torchscript"
    runtime_name = "torchscript"

    def artifact(self) -> Artifact:
        """Describe the file, if it is what its name promises."""
        artifact = super().artifact()
        require_contents(self.model_path, self.file_format)
        return artifact
