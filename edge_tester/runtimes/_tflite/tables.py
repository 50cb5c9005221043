"""Fields of a .tflite file, without a schema package, which a target does without.

Source: https://flatbuffers.dev/internals for the encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator


def root(content: memoryview) -> Table:
    """Return the outermost table of a file."""
    return Table(content, _u32(content, 0))


class Table:
    """A table of a flatbuffer; fields that are not there have their default, zero."""

    def __init__(self, content: memoryview, position: int) -> None:
        self._content = content
        self._position = position
        self._vtable = position - int(struct.unpack_from("<i", content, position)[0])
        self._size = int(struct.unpack_from("<H", content, self._vtable)[0])

    def vector(self, field: int) -> int:
        """Return where the length of a vector stands, before its elements; 0 for no vector."""
        place = self._place(field)
        return place + _u32(self._content, place) if place else 0

    def number(self, kind: str, field: int) -> int:
        place = self._place(field)
        return int(struct.unpack_from(f"<{kind}", self._content, place)[0]) if place else 0

    def table(self, field: int) -> Table | None:
        place = self._place(field)
        return Table(self._content, place + _u32(self._content, place)) if place else None

    def tables(self, field: int) -> Iterator[Table]:
        vector = self.vector(field)
        if vector:
            for index in range(_u32(self._content, vector)):
                element = vector + 4 + 4 * index
                yield Table(self._content, element + _u32(self._content, element))

    def _place(self, field: int) -> int:
        entry = 4 + 2 * field
        if entry + 2 > self._size:
            return 0
        offset = int(struct.unpack_from("<H", self._content, self._vtable + entry)[0])
        return self._position + offset if offset else 0


def _u32(content: memoryview, position: int) -> int:
    return int(struct.unpack_from("<I", content, position)[0])
