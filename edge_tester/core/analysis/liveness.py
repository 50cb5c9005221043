"""How much memory the activations of a graph take at a time, and where an arena would put them.

An activation lives from the operator that makes it to the last that reads it; inputs live from
the first operator on, outputs of the model to the last one. Views share the memory of what they
show. Source of the plan: tflite-micro, greedy_memory_planner.cc, the largest tensor first, each
in the first gap among those that live at the same time; Y. Pisarchyk and J. Lee, Efficient memory
management for deep neural net inference, arXiv:2001.03288, "greedy by size".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from edge_tester.core.graphs import Graph, Operator

# Source: tflite-micro, micro_arena_constants.h, MicroArenaBufferAlignment.
ALIGNMENT_BYTES = 16


class Buffer(NamedTuple):
    """Memory of one activation, and of all views of it.

    Attributes
    ----------
    name : str
        Of the tensor that is made first.
    size_bytes : int
        The largest of the tensors that share it.
    first, last : int
        Places of the operators from and up to which it is needed.
    """

    name: str
    size_bytes: int
    first: int
    last: int


@dataclasses.dataclass(frozen=True)
class Liveness:
    """What lives when.

    Attributes
    ----------
    buffers : tuple of Buffer
    operators : int
    unknown : tuple of str
        Activations whose sizes are not known, which have no buffer.
    """

    buffers: tuple[Buffer, ...]
    operators: int
    unknown: tuple[str, ...] = ()

    def live_bytes(self) -> list[int]:
        """Return the bytes that live while each operator runs."""
        return [sum(one.size_bytes for one in self.live_at(i)) for i in range(self.operators)]

    def live_at(self, place: int) -> list[Buffer]:
        """Return what lives while an operator runs, the largest first."""
        found = [one for one in self.buffers if one.first <= place <= one.last]
        return sorted(found, key=lambda one: (-one.size_bytes, one.name))

    @property
    def peak_place(self) -> int:
        """Place of the operator during which the most lives, the first one of equals."""
        live = self.live_bytes()
        return live.index(max(live)) if live else 0

    @property
    def peak_bytes(self) -> int:
        """Most bytes that live at a time."""
        return max(self.live_bytes(), default=sum(one.size_bytes for one in self.buffers))

    @property
    def sum_bytes(self) -> int:
        """Bytes of all activations together, as if nothing were ever given back."""
        return sum(one.size_bytes for one in self.buffers)


def liveness(graph: Graph, *, in_place: bool = False, fused: bool = False) -> Liveness:
    """Return from when to when each activation of a graph lives.

    Parameters
    ----------
    graph : Graph
    in_place : bool
        Let elementwise operators write into an input of the same size that nothing reads later.
    fused : bool
        Let activations be a part of what makes their only input, so that this is never stored.
    """
    places: dict[str, list[int]] = {name: [0] for name in graph.inputs}
    for place, operator in enumerate(graph.operators):
        for name in operator.inputs:
            if name in places:
                places[name].append(place)
        for name in operator.outputs:
            places.setdefault(name, []).append(place)
    last = max(len(graph.operators) - 1, 0)
    for name in graph.outputs:
        if name in places:
            places[name].append(last)
    shared = _Shared(graph, places)
    for place, operator in enumerate(graph.operators):
        if operator.form == "view" and operator.inputs[0] in places:
            shared.join(operator.inputs[0], operator.outputs[0])
        elif fused and _joins_its_source(graph, operator, places):
            shared.vanish(operator.inputs[0], operator.outputs[0])
        elif in_place and operator.form in ("activation", "elementwise"):
            _overwrite(graph, operator, place, shared)
    return shared.liveness(len(graph.operators))


def _joins_its_source(graph: Graph, operator: Operator, places: dict[str, list[int]]) -> bool:
    if operator.form != "activation" or operator.inputs[0] not in places:
        return False
    source = operator.inputs[0]
    read = [one for one in graph.operators if source in one.inputs]
    return len(read) == 1 and source not in graph.outputs and source not in graph.inputs


def _overwrite(graph: Graph, operator: Operator, place: int, shared: _Shared) -> None:
    output = operator.outputs[0]
    size = graph.tensors[output].size_bytes
    for name in operator.inputs:
        # The memory of a model's input is the caller's.
        if name in graph.inputs or not shared.has(name) or size is None:
            continue
        if graph.tensors[name].size_bytes == size and shared.last_of(name) == place:
            shared.join(name, output)
            return


class _Shared:
    """Which tensors have the same memory."""

    def __init__(self, graph: Graph, places: dict[str, list[int]]) -> None:
        self._graph = graph
        self._places = places
        self._root = {name: name for name in places}

    def has(self, name: str) -> bool:
        return name in self._root

    def root(self, name: str) -> str:
        while self._root[name] != name:
            name = self._root[name]
        return name

    def members(self, root: str) -> list[str]:
        return [name for name in self._root if self.root(name) == root]

    def last_of(self, name: str) -> int:
        """Return when the memory of a tensor is last needed, by what shares it until now."""
        return max(max(self._places[one]) for one in self.members(self.root(name)))

    def join(self, name: str, other: str) -> None:
        first, second = self.root(name), self.root(other)
        if first != second:
            self._root[second] = first

    def vanish(self, name: str, other: str) -> None:
        """Let what makes a tensor write the other one at once."""
        self._places[other].append(min(self._places[name]))
        self._places[name] = list(self._places[other])
        self.join(other, name)

    def liveness(self, operators: int) -> Liveness:
        found, unknown = [], []
        for root in self._root:
            if self.root(root) != root:
                continue
            members = self.members(root)
            sizes = [self._graph.tensors[name].size_bytes for name in members]
            unknown += [n for n, size in zip(members, sizes, strict=True) if size is None]
            known = [size for size in sizes if size is not None]
            places = [place for name in members for place in self._places[name]]
            if known:
                found.append(Buffer(root, max(known), min(places), max(places)))
        return Liveness(tuple(found), operators, tuple(unknown))


class Placed(NamedTuple):
    """A buffer and where it begins in the arena [bytes]."""

    buffer: Buffer
    offset_bytes: int

    @property
    def end_bytes(self) -> int:
        """Where the next one may begin [bytes]."""
        return self.offset_bytes + aligned(self.buffer.size_bytes)


def aligned(size_bytes: int) -> int:
    """Return the bytes that a buffer takes in the arena."""
    return -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def arena_plan(buffers: Sequence[Buffer]) -> list[Placed]:
    """Return where each buffer goes, the largest first, of equals what begins later first."""
    placed: list[Placed] = []
    for buffer in sorted(buffers, key=lambda one: (-aligned(one.size_bytes), -one.first)):
        if not buffer.size_bytes:
            continue
        offset = 0
        beside = [
            one
            for one in placed
            if one.buffer.first <= buffer.last and buffer.first <= one.buffer.last
        ]
        for other in sorted(beside, key=lambda one: one.offset_bytes):
            if other.offset_bytes - offset >= aligned(buffer.size_bytes):
                break
            offset = max(offset, other.end_bytes)
        placed.append(Placed(buffer, offset))
    return placed


def arena_bytes(plan: Sequence[Placed]) -> int:
    """Return the size of an arena that a plan needs."""
    return max((one.end_bytes for one in plan), default=0)
