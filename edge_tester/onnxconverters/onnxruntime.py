"""ONNX files in ONNX Runtime."""

from __future__ import annotations

from edge_tester.onnxconverters._runtime import RuntimeConversion


class ONNXRuntimeONNXConversion(RuntimeConversion):
    """Imports ONNX files into ONNX Runtime."""

    framework = "ONNX Runtime"
    runtime_name = "onnxruntime"
