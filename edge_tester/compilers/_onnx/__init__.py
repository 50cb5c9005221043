"""What serves the compiler of ONNX files."""
