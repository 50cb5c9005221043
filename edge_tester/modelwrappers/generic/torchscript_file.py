"""Any TorchScript file."""

from __future__ import annotations

from edge_tester.modelwrappers.frameworks.file import FileModel
from edge_tester.modelwrappers.frameworks.generic import GenericModel


class TorchScriptFile(GenericModel, FileModel):
    """Any TorchScript file, run as it is."""

    packages = ("torch",)
    distributions = ("torch",)
    file_format = "torchscript"
    runtime_name = "torchscript"
