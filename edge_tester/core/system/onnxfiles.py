"""ONNX files whose weights lie in files beside them: one model all the same.

The format is read without the onnx package, which a host that only deploys does without, and
without loading weights. Source: onnx.proto of ONNX 1.19 (field numbers) and the Protocol Buffers
encoding, https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from edge_tester.core.errors import ModelError

# What leads to tensors: (message, field number) -> message of the field.
_PATHS = {
    ("model", 7): "graph",
    ("model", 25): "function",
    ("function", 7): "node",
    ("graph", 1): "node",
    ("graph", 5): "tensor",
    ("graph", 15): "sparse",
    ("sparse", 1): "tensor",
    ("sparse", 2): "tensor",
    ("node", 5): "attribute",
    ("attribute", 5): "tensor",
    ("attribute", 6): "graph",
    ("attribute", 10): "tensor",
    ("attribute", 11): "graph",
    ("attribute", 22): "sparse",
    ("attribute", 23): "sparse",
    ("tensor", 13): "entry",
}
_KEY, _VALUE = 1, 2
_BYTES = 2
# Wire type -> bytes of a value of fixed size.
_FIXED = {1: 8, 5: 4}


def side_files(path: Path) -> list[str]:
    """Return the files beside an ONNX file that hold its weights, relative to its folder.

    A file that is no ONNX file has none; whoever loads it says what is wrong.

    Raises
    ------
    ModelError
        One of them is missing or outside of the folder.
    """
    with path.open("rb") as file:
        try:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            return []
        with mapped, memoryview(mapped) as content:
            try:
                found = sorted(set(_locations(content, "model")))
            except (IndexError, ValueError, UnicodeDecodeError):
                return []
    for name in found:
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts:
            raise ModelError(
                f"{path} has weights in {name!r}; they must be in its own folder or below."
            )
        if not (path.parent / name).is_file():
            raise ModelError(
                f"{path} has weights in the file {name!r} beside it, which is missing: "
                "copy it there, or export the model again as one file."
            )
    return found


def _locations(content: memoryview, message: str) -> Iterator[str]:
    for number, value in fields(content):
        inner = _PATHS.get((message, number))
        if inner == "entry":
            entry = dict(fields(value))
            if bytes(entry.get(_KEY, b"")) == b"location":
                yield bytes(entry[_VALUE]).decode()
        elif inner is not None:
            yield from _locations(value, inner)


def fields(content: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and bytes of the fields that have a length; others lead to no tensor."""
    position = 0
    while position < len(content):
        tag, position = _varint(content, position)
        wire = tag & 7
        if wire == _BYTES:
            size, position = _varint(content, position)
            if position + size > len(content):
                raise ValueError("a field is longer than its message")
            yield tag >> 3, content[position : position + size]
            position += size
        elif wire in _FIXED:
            position += _FIXED[wire]
        elif wire == 0:
            _, position = _varint(content, position)
        else:
            raise ValueError(f"wire type {wire}")


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number without end")
