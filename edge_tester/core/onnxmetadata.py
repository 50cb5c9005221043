"""What an ONNX file says of itself, read without any package.

Source: onnx, onnx.proto, message ModelProto: field 14 is ``metadata_props``, entries of a key,
field 1, and a value, field 2; protobuf, encoding of messages.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import msgspec

PREPROCESSING = "edge_tester.preprocessing"
# Options of the wrappers for any file that say how values are scaled.
SCALING = ("input_scale", "input_mean", "input_std")

_METADATA = 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Longer than anything that belongs here; what is skipped may have any length.
_LONGEST_BYTES = 1 << 20


class Preprocessing(msgspec.Struct):
    """What a file says under :data:`PREPROCESSING`.

    Attributes
    ----------
    made_from : str
        Class of the model wrapper.
    options : dict or None
        Values of :data:`SCALING`; None if these cannot say what the wrapper does.
    """

    made_from: str
    options: dict[str, Any] | None


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a file; empty if it has none or is no ONNX file."""
    found: dict[str, str] = {}
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            while file.tell() < size:
                key = _varint(file)
                field, kind = key >> 3, key & 7
                if kind != _BYTES:
                    _skip(file, kind)
                    continue
                length = _varint(file)
                if field == _METADATA and length <= _LONGEST_BYTES:
                    name, value = _entry(file.read(length))
                    found[name] = value
                else:
                    file.seek(length, 1)
    except (OSError, ValueError):
        return {}
    return found


def _entry(content: bytes) -> tuple[str, str]:
    import io

    texts = {1: "", 2: ""}
    file = io.BytesIO(content)
    while file.tell() < len(content):
        key = _varint(file)
        if key & 7 != _BYTES:
            raise ValueError("An entry of metadata has texts alone.")
        texts[key >> 3] = file.read(_varint(file)).decode()
    return texts[1], texts[2]


def _varint(file: BinaryIO) -> int:
    value = shift = 0
    while True:
        byte = file.read(1)
        if not byte or shift > 63:
            raise ValueError("The file ends within a number.")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
        shift += 7


def _skip(file: BinaryIO, kind: int) -> None:
    if kind == _VARINT:
        _varint(file)
    elif kind in (_FIXED64, _FIXED32):
        file.seek(8 if kind == _FIXED64 else 4, 1)
    else:
        raise ValueError("This is no message of protobuf.")
