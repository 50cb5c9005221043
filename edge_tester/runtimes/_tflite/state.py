"""Whether a .tflite model keeps a state between inferences, read from its graph.

The few fields that tell are read without a schema package, which a target does without.
Source: schema.fbs of TensorFlow Lite (order of the fields, numbers of the operators), and
https://flatbuffers.dev/internals for the encoding.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

# Places of fields in their tables.
_MODEL_CODES, _MODEL_SUBGRAPHS = 1, 2
_CODE_OLD, _CODE = 0, 3
_GRAPH_TENSORS, _GRAPH_OPERATORS = 0, 3
_TENSOR_IS_VARIABLE = 5
_OPERATOR_CODE, _OPERATOR_OPTIONS = 0, 4
_CALL_ONCE_SUBGRAPH = 0
_CALL_ONCE, _ASSIGN_VARIABLE = 129, 144


def state_of(path: Path) -> str | None:
    """Return where a model keeps its state: ``variables``, ``resources``, or None for nowhere.

    Variables are tensors of the graph, as the fused recurrent layers have them; resources are
    assigned by operations of their own. What only an initialization assigns is no state.
    """
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as content,
    ):
        try:
            return _state(_Table(content, _u32(content, 0)))
        except struct.error:
            # Cut off: loading it says so.
            return None


def _state(model: _Table) -> str | None:
    graphs = list(model.tables(_MODEL_SUBGRAPHS))
    if any(t.number("B", _TENSOR_IS_VARIABLE) for g in graphs for t in g.tables(_GRAPH_TENSORS)):
        return "variables"
    codes = [
        # Files from before 2020 have the old field alone, later ones 127 in it where it is full.
        max(code.number("b", _CODE_OLD), code.number("i", _CODE))
        for code in model.tables(_MODEL_CODES)
    ]
    initial, assigning = set(), set()
    for number, graph in enumerate(graphs):
        for operator in graph.tables(_GRAPH_OPERATORS):
            code = codes[operator.number("I", _OPERATOR_CODE)]
            if code == _ASSIGN_VARIABLE:
                assigning.add(number)
            elif code == _CALL_ONCE:
                options = operator.table(_OPERATOR_OPTIONS)
                initial.add(options.number("i", _CALL_ONCE_SUBGRAPH) if options else 0)
    return "resources" if assigning - initial else None


class _Table:
    """A table of a flatbuffer; fields that are not there have their default, zero."""

    def __init__(self, content: memoryview, position: int) -> None:
        self._content = content
        self._position = position
        self._vtable = position - int(struct.unpack_from("<i", content, position)[0])
        self._size = int(struct.unpack_from("<H", content, self._vtable)[0])

    def number(self, kind: str, field: int) -> int:
        place = self._place(field)
        return int(struct.unpack_from(f"<{kind}", self._content, place)[0]) if place else 0

    def table(self, field: int) -> _Table | None:
        place = self._place(field)
        return _Table(self._content, place + _u32(self._content, place)) if place else None

    def tables(self, field: int) -> Iterator[_Table]:
        place = self._place(field)
        if place:
            vector = place + _u32(self._content, place)
            for index in range(_u32(self._content, vector)):
                element = vector + 4 + 4 * index
                yield _Table(self._content, element + _u32(self._content, element))

    def _place(self, field: int) -> int:
        entry = 4 + 2 * field
        if entry + 2 > self._size:
            return 0
        offset = int(struct.unpack_from("<H", self._content, self._vtable + entry)[0])
        return self._position + offset if offset else 0


def _u32(content: memoryview, position: int) -> int:
    return int(struct.unpack_from("<I", content, position)[0])
