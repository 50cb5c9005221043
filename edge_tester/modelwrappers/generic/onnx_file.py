"""Any ONNX file."""

from __future__ import annotations

from pathlib import Path

from edge_tester.core.backends import backend
from edge_tester.core.files import atomic_path
from edge_tester.modelwrappers.frameworks.file import FileModel
from edge_tester.modelwrappers.frameworks.generic import GenericModel

# Operations of files that compute in integers.
_QUANTIZED = {
    "ConvInteger",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
}


class ONNXFile(GenericModel, FileModel):
    """Any ONNX file, run as it is."""

    distributions = ("onnxruntime",)
    file_format = "onnx"
    runtime_name = "onnxruntime"

    def precision(self) -> str:
        """Tell whether operations are quantized; float16 is what the specs and weights say."""
        model = backend("onnx", self).load(str(self.model_path), load_external_data=False)
        kinds = {node.op_type for node in model.graph.node}
        return "integers" if kinds & _QUANTIZED else "float32"

    def save_to_onnx(self, path: Path) -> None:
        """Copy the model; weights that lie in files beside it are taken in."""
        onnx = backend("onnx", self)
        with atomic_path(path) as temporary:
            onnx.save(onnx.load(self.model_path), temporary)
