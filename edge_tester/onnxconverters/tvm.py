"""ONNX files in TVM."""

from __future__ import annotations

from edge_tester.onnxconverters._runtime import RuntimeConversion


class TVMONNXConversion(RuntimeConversion):
    """Imports ONNX files into TVM."""

    framework = "TVM"
    runtime_name = "tvm"
    compiler_name = "tvm"
