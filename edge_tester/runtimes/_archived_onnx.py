"""ONNX models as a runtime gets them: a file, or an archive of a file and those beside it."""

from __future__ import annotations

from pathlib import Path

from edge_tester.core.errors import ModelError
from edge_tester.core.formats import ARCHIVED_ONNX
from edge_tester.core.system.files import is_archive, unpacked


def onnx_file(path: Path) -> Path:
    """Return the file to load; an archive is unpacked into a folder beside it first.

    Raises
    ------
    ModelError
        It is an archive of something else.
    """
    if not is_archive(path):
        return path
    folder = path.with_name(f"{path.name}-files")
    if ARCHIVED_ONNX not in unpacked(path, folder):
        raise ModelError(f"{path} is no archive of an ONNX model: it has no {ARCHIVED_ONNX}.")
    return folder / ARCHIVED_ONNX
