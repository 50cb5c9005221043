"""Model formats, as told from file names."""

from __future__ import annotations

from pathlib import Path

from edge_tester.core.errors import ModelError

# File suffix -> format name; what a runtime or compiler says it takes.
FORMATS = {
    ".tflite": "tflite",
    ".onnx": "onnx",
    ".keras": "keras",
    ".h5": "keras",
    ".pth": "torch",
    ".pt": "torchscript",
    ".ts": "torchscript",
    ".torchscript": "torchscript",
    ".pt2": "torch-exported",
    ".so": "tvm",
    ".mlpackage": "coreml",
    ".pte": "executorch",
    ".echo": "echo",
}
# Name of the graph in the archive of an ONNX model whose weights lie in files of their own.
ARCHIVED_ONNX = "model.onnx"


def format_of(path: Path) -> str:
    """Return the model format that a path's suffix (or a SavedModel folder) stands for.

    Raises
    ------
    ModelError
        The suffix is unknown.
    """
    if path.is_dir() and (path / "saved_model.pb").exists():
        return "savedmodel"
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise ModelError(
            f"The format of {path} is unknown; known suffixes are {', '.join(FORMATS)} "
            "and SavedModel folders."
        )
    return found
