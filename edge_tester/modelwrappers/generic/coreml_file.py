"""Any Core ML package (.mlpackage)."""

from __future__ import annotations

from edge_tester.modelwrappers.frameworks.file import FileModel
from edge_tester.modelwrappers.frameworks.generic import GenericModel


class CoreMLFile(GenericModel, FileModel):
    """Any Core ML package (.mlpackage), run as it is."""

    packages = ("coremltools", "torch")
    distributions = ("coremltools",)
    file_format = "coreml"
    runtime_name = "mil"
