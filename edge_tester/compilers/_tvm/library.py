"""Libraries of TVM: what is appended to them, and the weights inside."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edge_tester.core.artifact import Weights
from edge_tester.core.errors import ModelError
from edge_tester.core.tensors import TensorSpec

# Behind the library, where no loader looks: JSON, its length in 4 bytes, little-endian, and this
# text. The runtime reads it before it lets the library run.
TRAILER = b"edge_tester:tvm1"
# How TVM stores a constant: this number and a reserved one of 8 bytes, device type and index,
# number of dimensions, type code, bits, lanes, then the sizes as int64, the length in bytes, the
# data. Source: SaveDLTensor in TVM's include/tvm/runtime/tensor.h; type codes: DLPack 1.0.
_MAGIC = struct.pack("<Q", 0xDD5E40F096B4A13F)
_HEADER = struct.Struct("<QQiiiBBH")
_TYPE_CODES = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 6: "bool"}
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_INTEGERS = ("int4", "uint4", "int8", "uint8", "int16", "uint16")


def describe(
    path: Path,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    target: Any,
    version: str,
) -> None:
    """Append to a library what it does not say about itself."""
    content = {
        "library_bytes": path.stat().st_size,
        "inputs": inputs,
        "outputs": outputs,
        "target": str(target),
        "device": "cpu" if target.kind.name in ("llvm", "c") else target.kind.name,
        "tvm_version": version,
    }
    encoded = msgspec.json.encode(content)
    with path.open("ab") as file:
        file.write(encoded + struct.pack("<I", len(encoded)) + TRAILER)


def weights(path: Path) -> Weights:
    """Count the weights of a library by dtype.

    A weight is an element of a constant that is of a floating-point type or an
    integer type of at most 16 bits. Constants are found by the number that
    begins each. Not counted are scalars and vectors, which are biases, scales
    and means.

    Raises
    ------
    ModelError
        The file does not end with what the compiler appends.
    """
    content = path.read_bytes()
    if not content.endswith(TRAILER):
        raise ModelError(f"{path} is no library that TVMCompiler made.")
    elements: dict[str, int] = {}
    for dtype, shape in _constants(content):
        if dtype in _FLOATS + _INTEGERS and sum(size > 1 for size in shape) > 1:
            elements[dtype] = elements.get(dtype, 0) + math.prod(shape)
    total = sum(elements.values())
    integers = sum(count for dtype, count in elements.items() if dtype in _INTEGERS)
    return Weights(elements=elements, quantized_share=integers / total if total else 0.0)


def _constants(content: bytes) -> Iterator[tuple[str, tuple[int, ...]]]:
    at = content.find(_MAGIC)
    while at >= 0:
        _, _, _, _, dimensions, code, bits, _ = _HEADER.unpack_from(content, at)
        shape = struct.unpack_from(f"<{dimensions}q", content, at + _HEADER.size)
        yield f"{_TYPE_CODES.get(code, 'other')}{bits}", shape
        (nbytes,) = struct.unpack_from("<q", content, at + _HEADER.size + 8 * dimensions)
        # Weights could hold the same eight bytes by chance.
        at = content.find(_MAGIC, at + _HEADER.size + 8 * (dimensions + 1) + nbytes)
