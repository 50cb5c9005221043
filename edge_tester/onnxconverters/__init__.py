"""Conversions of frameworks to and from ONNX, one file each."""
