"""What serves the runtime of ONNX Runtime."""
