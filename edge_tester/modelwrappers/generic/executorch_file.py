"""Any ExecuTorch program (.pte)."""

from __future__ import annotations

from edge_tester.modelwrappers.frameworks.file import FileModel
from edge_tester.modelwrappers.frameworks.generic import GenericModel


class ExecuTorchFile(GenericModel, FileModel):
    """Any ExecuTorch program (.pte), run as it is."""

    packages = ("executorch", "torch")
    distributions = ("executorch",)
    file_format = "executorch"
    runtime_name = "executorch"
