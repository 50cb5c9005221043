"""Any ONNX file."""

from __future__ import annotations

from pathlib import Path

from edge_tester.core.backends import backend
from edge_tester.core.files import atomic_path
from edge_tester.modelwrappers.frameworks.file import FileModel
from edge_tester.modelwrappers.frameworks.generic import GenericModel


class ONNXFile(GenericModel, FileModel):
    """Any ONNX file, run as it is."""

    distributions = ("onnxruntime",)
    file_format = "onnx"
    runtime_name = "onnxruntime"

    def save_to_onnx(self, path: Path) -> None:
        """Copy the model; weights that lie in files beside it are taken in."""
        onnx = backend("onnx", self)
        with atomic_path(path) as temporary:
            onnx.save(onnx.load(self.model_path), temporary)
