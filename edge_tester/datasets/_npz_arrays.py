"""Read the arrays of an .npz file without holding more of them than must be."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np

from edge_tester.core.system.files import impostor
from edge_tester.core.tensors import Array

LOCAL_HEADER_BYTES = 30


def read_npz(path: Path) -> dict[str, Array]:
    """Return all arrays of an .npz file, those that can be as memory maps.

    Notes
    -----
    Source: PKWARE, APPNOTE.TXT - .ZIP File Format Specification 6.3.10, section
    4.3.7 for the local header; numpy, NEP 1 for the .npy format.
    """
    arrays: dict[str, Array] = {}
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for info in archive.infolist():
            with archive.open(info) as member:
                version = np.lib.format.read_magic(member)
                read_header = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                shape, fortran_order, dtype = read_header(member)
                header_bytes = member.tell()
            if dtype.hasobject:
                raise ValueError(
                    f"array {info.filename} holds Python objects; save texts with dtype=str and "
                    "rows of unequal lengths filled up"
                )
            name = info.filename.removesuffix(".npy")
            mappable = info.compress_type == zipfile.ZIP_STORED and 0 not in shape and shape
            if mappable:
                file.seek(info.header_offset)
                local_header = file.read(LOCAL_HEADER_BYTES)
                name_bytes, extra_bytes = struct.unpack("<HH", local_header[-4:])
                start = info.header_offset + LOCAL_HEADER_BYTES + name_bytes + extra_bytes
                order: Literal["F", "C"] = "F" if fortran_order else "C"
                arrays[name] = np.memmap(path, dtype, "r", start + header_bytes, shape, order)
            else:
                with archive.open(info) as member:
                    arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
    return arrays


def what_it_is(path: Path) -> str | None:
    """Return what a file is that is no .npz file, in words; None if that is unknown."""
    try:
        found = impostor(path)
        with path.open("rb") as file:
            head = file.read(8)
    except OSError:
        return None
    if head.startswith(b"\x93NUMPY"):
        return (
            "is a single array (.npy), not several (.npz); numpy.savez(path, x=array) saves it so"
        )
    if head == b"\x89HDF\r\n\x1a\n":
        return "is an HDF5 file; numpy.savez(path, x=..., y=...) saves its arrays as .npz"
    return found
