"""A compiled model file together with where it came from."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from edge_tester.core.errors import ModelError
from edge_tester.core.formats import ARCHIVED_ONNX, format_of
from edge_tester.core.system.files import hashed, impostor, packed
from edge_tester.core.system.onnxfiles import side_files
from edge_tester.core.tensors import TensorSpec


class Weights(msgspec.Struct, frozen=True):
    """What the weights of a model file are really made of, read back from it.

    Attributes
    ----------
    elements : dict of str to int
        Number of weight values per dtype. Biases and shape constants do not count.
    quantized_share : float
        Part of the weight values that are quantized integers, 0 to 1.
    """

    elements: dict[str, int]
    quantized_share: float


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """One model file and its description.

    Attributes
    ----------
    path : Path
    format : str
        One of the values of :data:`edge_tester.core.formats.FORMATS`.
    size_bytes : int
        Of what is sent: the file, or the archive of several.
    content_bytes : int
        Of the files themselves; 0 stands for ``size_bytes``.
    sha256 : str
        Hexadecimal.
    inputs, outputs : tuple of TensorSpec
        Empty where only the runtime can tell.
    producer : str
        Class that made it; empty for a user's own file.
    options : dict
        Options of the producer.
    tool_versions : dict of str to str
    weights : Weights or None
        None where the format is not read back.
    facts : dict
        What the producer tells of the result.
    remarks : tuple of str
        Doubts about the result, in words; they get into every run record of it.
    parent : Artifact or None
        What it was made from.
    """

    path: Path
    format: str
    size_bytes: int
    sha256: str
    content_bytes: int = 0
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    producer: str = ""
    options: dict[str, Any] = {}
    tool_versions: dict[str, str] = {}
    weights: Weights | None = None
    facts: dict[str, Any] = {}
    remarks: tuple[str, ...] = ()
    parent: Artifact | None = None

    @classmethod
    def from_file(cls, path: Path, format: str | None = None, **attributes: Any) -> Artifact:
        """Describe an existing file, or a folder by the archive that :meth:`open` makes of it.

        Parameters
        ----------
        path : Path
        format : str, optional
            Told from the suffix if not given.
        **attributes
            The other ones.

        Raises
        ------
        ModelError
            There is no such file, it is empty, or its format is unknown.
        """
        if not path.exists():
            raise ModelError(f"Model file {path} does not exist.")
        format = format or format_of(path)
        files = _files_of(path)
        content_bytes = sum(one.stat().st_size for _, one in files)
        if content_bytes == 0:
            raise ModelError(f"Model file {path} is empty.")
        if not path.is_dir() and (found := impostor(path)):
            raise ModelError(f"Model file {path} {found}.")
        with open_model(path) as file:
            size_bytes = os.fstat(file.fileno()).st_size
            sha256 = hashed(file, hashlib.sha256()).hexdigest()
        return cls(
            path=path,
            format=format,
            size_bytes=size_bytes,
            content_bytes=content_bytes,
            sha256=sha256,
            **attributes,
        )

    def open(self) -> BinaryIO:
        """Open what is described for reading, of a folder an uncompressed archive."""
        return open_model(self.path)


def open_model(path: Path) -> BinaryIO:
    """Open a model file, or an archive of a model of several; the same files, the same bytes."""
    files = _files_of(path)
    if path.is_dir() or len(files) > 1:
        return packed(files)
    return path.open("rb", buffering=0)


def _files_of(path: Path) -> list[tuple[str, Path]]:
    """Return all files of a model, with their names in an archive."""
    if path.is_dir():
        found = sorted(one for one in path.rglob("*") if one.is_file())
        return [(one.relative_to(path).as_posix(), one) for one in found]
    beside = side_files(path) if path.suffix.lower() == ".onnx" else []
    return [(ARCHIVED_ONNX, path), *((name, path.parent / name) for name in beside)]
