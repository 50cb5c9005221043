"""Any ONNX file."""

from __future__ import annotations

from edge_tester.modelwrappers.frameworks.file import FileModel
from edge_tester.modelwrappers.frameworks.generic import GenericModel


class ONNXFile(GenericModel, FileModel):
    """Any ONNX file, run as it is."""

    distributions = ("onnxruntime",)
    file_format = "onnx"
    runtime_name = "onnxruntime"
