"""What an ONNX file says of itself, read without any package.

Source: onnx.proto, message ModelProto: field 14 is ``metadata_props``, entries of a key, field 1,
and a value, field 2.
"""

from __future__ import annotations

import contextlib
import mmap
from pathlib import Path
from typing import Any

import msgspec

from edge_tester.core.system.onnxfiles import fields

PREPROCESSING = "edge_tester.preprocessing"
# Options of the wrappers for any file that say how values are scaled.
SCALING = ("input_scale", "input_mean", "input_std")

_METADATA, _KEY, _VALUE = 14, 1, 2


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
    with contextlib.suppress(OSError, ValueError), path.open("rb") as file:
        with (
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as content,
        ):
            try:
                return dict(_entry(value) for field, value in fields(content) if field == _METADATA)
            # Here, where nothing is left of what looked at the content.
            except (ValueError, IndexError):
                return {}
    return {}


def _entry(content: memoryview) -> tuple[str, str]:
    found = {field: bytes(value).decode() for field, value in fields(content)}
    return found.get(_KEY, ""), found.get(_VALUE, "")
