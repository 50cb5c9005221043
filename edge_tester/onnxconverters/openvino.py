"""ONNX files in OpenVINO."""

from __future__ import annotations

from edge_tester.onnxconverters._runtime import RuntimeConversion


class OpenVINOONNXConversion(RuntimeConversion):
    """Imports ONNX files into OpenVINO."""

    framework = "OpenVINO"
    runtime_name = "openvino"
