"""What an ONNX file says of itself: read without any package, and what no file is to say.

Source: onnx.proto, message ModelProto: field 14 is ``metadata_props``, entries of a key, field 1,
and a value, field 2.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from edge_tester.core.system.onnxfiles import fields

PREPROCESSING = "edge_tester.preprocessing"
# Options of the wrappers for any file that say how values are scaled.
SCALING = ("input_scale", "input_mean", "input_std")

# Modules of PyTorch that a node is of; what profiles and the counting of layers go by.
SCOPES = "pkg.torch.onnx.name_scopes"

_METADATA, _KEY, _VALUE = 14, 1, 2
# What PyTorch's exporter writes for who debugs it, two thirds of a small file: among others
# ``pkg.torch.onnx.stack_trace``, with the paths and code of the machine that exported.
_DEBUGGING = ("namespace", "pkg.torch.", "pkg.onnxscript.")


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


def forget_origins(model: Any) -> None:
    """Remove what PyTorch's exporter tells of the code that a model comes from, but its modules.

    Parameters
    ----------
    model : onnx.ModelProto
        Changed in place; it computes the same.
    """
    for part in _parts(model):
        kept = [
            entry
            for entry in part.metadata_props
            if entry.key == SCOPES or not entry.key.startswith(_DEBUGGING)
        ]
        if len(kept) < len(part.metadata_props):
            del part.metadata_props[:]
            part.metadata_props.extend(kept)


def _parts(model: Any) -> Iterator[Any]:
    """Yield all parts of a model that carry metadata."""
    yield model
    bodies = [model.graph, *model.functions]
    for body in bodies:
        yield body
        for group in ("input", "output", "initializer", "value_info"):
            # Functions have names alone for what they take and give.
            yield from (one for one in getattr(body, group, ()) if not isinstance(one, str))
        for node in body.node:
            yield node
            for attribute in node.attribute:
                bodies += [attribute.g] if attribute.HasField("g") else attribute.graphs


def _entry(content: memoryview) -> tuple[str, str]:
    found = {field: bytes(value).decode() for field, value in fields(content)}
    return found.get(_KEY, ""), found.get(_VALUE, "")
