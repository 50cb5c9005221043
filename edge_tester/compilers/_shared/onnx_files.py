"""ONNX files with their weights, wherever those lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_tester.core.backends import backend
from edge_tester.core.errors import CompilationError, ModelError

# What a message of protobuf, and with it a single file, may have.
_LARGEST_BYTES = (1 << 31) - (1 << 20)


def loaded(path: Path, needed_by: object) -> Any:
    """Return a model with its weights, those in files beside it included.

    Raises
    ------
    ModelError
        The file is no ONNX model, or one beside it is missing; the message names it.
    """
    onnx: Any = backend("onnx", needed_by)
    try:
        return onnx.load(str(path))
    except Exception as error:  # The parser's errors have no other base in common.
        raise ModelError(
            f"{type(needed_by).__name__} cannot read {path}: {' '.join(str(error).split())}"
        ) from error


def saved(model: Any, path: Path, needed_by: object | None = None) -> bool:
    """Save a model in one file, or with its weights beside it where that would be too large.

    Parameters
    ----------
    model : onnx.ModelProto
    path : Path
    needed_by : object, optional
        Who needs it to be one file.

    Returns
    -------
    bool
        Whether its weights lie beside it.

    Raises
    ------
    CompilationError
        It has to be one file and is too large.
    """
    onnx: Any = backend("onnx", needed_by or "ONNXCompiler")
    large = weights_bytes(model) > _LARGEST_BYTES
    if large and needed_by is not None:
        raise CompilationError(
            f"{type(needed_by).__name__} writes one file, which may have 2 GB in ONNX; the weights "
            f"alone have {weights_bytes(model) / 1e9:.1f} GB. Use the model without this compiler."
        )
    onnx.save(
        model,
        str(path),
        save_as_external_data=large,
        all_tensors_to_one_file=True,
        location=f"{path.name}.data",
    )
    return large


def weights_bytes(model: Any) -> int:
    """Return the size of what the initializers hold."""
    return sum(
        len(constant.raw_data) or constant.ByteSize() for constant in model.graph.initializer
    )
