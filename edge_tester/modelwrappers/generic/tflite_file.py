"""Any LiteRT (TensorFlow Lite) file."""

from __future__ import annotations

from edge_tester.modelwrappers.frameworks.file import FileModel
from edge_tester.modelwrappers.frameworks.generic import GenericModel


class TFLiteFile(GenericModel, FileModel):
    """Any LiteRT (TensorFlow Lite) file, run as it is."""

    packages = ("ai_edge_litert|tflite_runtime|tensorflow",)
    distributions = ("ai-edge-litert",)
    file_format = "tflite"
    runtime_name = "tflite"
