"""Any LiteRT (TensorFlow Lite) file."""

from __future__ import annotations

from collections.abc import Sequence

from edge_tester.core.graphs import Graph, Graphs, Shape
from edge_tester.modelwrappers.frameworks.file import FileModel
from edge_tester.modelwrappers.frameworks.generic import GenericModel
from edge_tester.modelwrappers.frameworks.tflite_graph import tflite_graph


class TFLiteFile(Graphs, GenericModel, FileModel):
    """Any LiteRT (TensorFlow Lite) file, run as it is."""

    packages = ("ai_edge_litert|tflite_runtime|tensorflow",)
    distributions = ("ai-edge-litert",)
    file_format = "tflite"
    runtime_name = "tflite"

    def graph(self, batch_size: int | None = None, shapes: Sequence[Shape] = ()) -> Graph:
        """Return the main graph of the file."""
        return tflite_graph(self, batch_size, shapes)
