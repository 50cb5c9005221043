"""Whether a model fits a microcontroller: flash, memory, and what would make it fit."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from edge_tester.core.analysis.liveness import (
    Liveness,
    arena_bytes,
    arena_plan,
    liveness,
)
from edge_tester.core.analysis.micro import (
    RUNTIME_CODE,
    Range,
    fast_kernels_bytes,
    lacking,
    persistent_bytes,
    with_scratch,
)
from edge_tester.core.analysis.quantizing import as_int8
from edge_tester.core.graphs import Graph

Verdict = Literal["fits", "does not fit", "undecided"]
# A convention, as no tool tells: what calls of a few levels take, and those of large kernels.
STACK = Range(2 * 1024, 8 * 1024)


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of what is needed, at least and at most [bytes].

    Attributes
    ----------
    name : str
    low, high : int
    origin : str
        Where the number is from.
    """

    name: str
    low: int
    high: int
    origin: str


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed of one kind of memory, and what there is.

    Attributes
    ----------
    name : str
        ``flash`` or ``SRAM``.
    available : int
        Bytes.
    parts : tuple of Part
    """

    name: str
    available: int
    parts: tuple[Part, ...]

    @property
    def low(self) -> int:
        """Bytes at least."""
        return sum(one.low for one in self.parts)

    @property
    def high(self) -> int:
        """Bytes at most."""
        return sum(one.high for one in self.parts)

    @property
    def verdict(self) -> Verdict:
        """Whether it is enough, whatever is true within the estimates."""
        if self.high <= self.available:
            return "fits"
        return "does not fit" if self.low > self.available else "undecided"

    @property
    def margin(self) -> tuple[int, int]:
        """Bytes that are left, at least and at most; below 0 they are missing."""
        return self.available - self.high, self.available - self.low


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one model fits.

    Attributes
    ----------
    name : str
    flash, sram : Need
    arenas : dict of str to int
        Bytes of the arena of the graph as it is, with elementwise operators in place, and with
        activations as a part of what makes their input.
    tightest : str
        Name of the operator while which the most is needed.
    live : tuple of (str, int)
        Tensors that live then, with their bytes, the largest first.
    lacking : tuple of str
        Kinds of operators that the runtime does not have.
    advice : tuple of str
        What would make it fit, with numbers.
    notes : tuple of str
    incomplete : bool
        Whether more is needed than is known: graphs within, or sizes, are not known.
    """

    name: str
    flash: Need
    sram: Need
    arenas: dict[str, int]
    tightest: str
    live: tuple[tuple[str, int], ...]
    lacking: tuple[str, ...]
    advice: tuple[str, ...]
    notes: tuple[str, ...]
    incomplete: bool = False

    @property
    def verdict(self) -> Verdict:
        """Of both memories and of the operators: the worst of them."""
        found = (self.flash.verdict, self.sram.verdict)
        if self.lacking or "does not fit" in found:
            return "does not fit"
        return "undecided" if self.incomplete or "undecided" in found else "fits"


def fit(
    graph: Graph,
    *,
    flash_bytes: int,
    sram_bytes: int,
    runtime_code: Range = RUNTIME_CODE,
    stack: Range = STACK,
    reserved_flash_bytes: int = 0,
    reserved_sram_bytes: int = 0,
) -> Fit:
    """Tell whether a model fits a microcontroller that runs it with tflite-micro.

    Parameters
    ----------
    graph : Graph
        For a batch of one.
    flash_bytes, sram_bytes : int
        Of the board.
    runtime_code : Range
        Of the interpreter and its kernels.
    stack : Range
    reserved_flash_bytes, reserved_sram_bytes : int
        What the rest of the firmware takes.
    """
    plain = with_scratch(liveness(graph), graph)
    arenas = {
        "as it is": _arena(plain),
        "in place": _arena(with_scratch(liveness(graph, in_place=True), graph)),
        "fused": _arena(with_scratch(liveness(graph, in_place=True, fused=True), graph)),
    }
    inputs = sum(graph.tensors[name].size_bytes or 0 for name in graph.inputs)
    persistent = persistent_bytes(graph)
    flash = Need(
        name="flash",
        available=flash_bytes,
        parts=(
            _exact("model file", graph.file_bytes, "size of the file"),
            _part("runtime code", runtime_code, "estimate; --runtime-code"),
            _exact("firmware", reserved_flash_bytes, "--reserve-flash"),
        ),
    )
    sram = Need(
        name="SRAM",
        available=sram_bytes,
        parts=(
            _exact("arena: activations", arenas["as it is"], "liveness, greedy plan"),
            _part("arena: interpreter", persistent, "estimate, of 32 to 64 bits"),
            _part("kernels' scratch", fast_kernels_bytes(graph), "none, to CMSIS-NN's"),
            _part("input buffer", Range(0, inputs), "none if filled in the arena"),
            _part("stack", stack, "assumed; --stack"),
            _exact("firmware", reserved_sram_bytes, "--reserve-sram"),
        ),
    )
    place = plain.peak_place
    live = tuple((one.name, one.size_bytes) for one in plain.live_at(place))
    notes = list(graph.notes)
    if graph.format != "tflite":
        notes.append(
            f"tflite-micro runs .tflite files: these figures are of the {graph.format} graph as it "
            "is, and those of its conversion may be others."
        )
    if plain.unknown:
        notes.append(f"The sizes of {len(plain.unknown)} activations are not known, and left out.")
    return Fit(
        name=graph.name,
        flash=flash,
        sram=sram,
        arenas=arenas,
        tightest=graph.operators[place].name if graph.operators else "",
        live=live,
        lacking=tuple(lacking(graph)) if graph.format == "tflite" else (),
        advice=tuple(_advice(graph, flash, sram, plain, arenas)),
        notes=tuple(notes),
        incomplete=graph.incomplete or bool(plain.unknown),
    )


def _arena(lives: Liveness) -> int:
    return arena_bytes(arena_plan(lives.buffers))


def _exact(name: str, size: int, origin: str) -> Part:
    return Part(name=name, low=size, high=size, origin=origin)


def _part(name: str, size: Range, origin: str) -> Part:
    return Part(name=name, low=size.low, high=size.high, origin=origin)


def _advice(
    graph: Graph, flash: Need, sram: Need, plain: Liveness, arenas: dict[str, int]
) -> list[str]:
    """Return what would help, each computed; none where it fits."""
    found = []
    excess = {one.name: one.high - one.available for one in (flash, sram)}
    if max(excess.values()) <= 0:
        return []
    quantized = as_int8(graph)
    if quantized is not None:
        arena = _arena(with_scratch(liveness(quantized), quantized))
        scratch = fast_kernels_bytes(quantized).high
        after = {
            "flash": flash.high - graph.file_bytes + quantized.file_bytes,
            "SRAM": sram.high - arenas["as it is"] + arena + scratch,
        }
        told = ", ".join(
            f"{one.name} {after[one.name]:,} of {one.available:,} bytes at most"
            for one in (flash, sram)
        )
        fits = all(after[one.name] <= one.available for one in (flash, sram))
        found.append(
            f"int8 instead of float32: {told}, which {'fits' if fits else 'is not enough'}."
        )
    if excess["SRAM"] > 0:
        found += _memory_advice(excess["SRAM"], plain, arenas)
    if excess["flash"] > 0:
        weights = sum(
            one.size_bytes or 0 for one in graph.tensors.values() if one.role == "parameter"
        )
        if excess["flash"] < weights:
            share = 100 * excess["flash"] / weights
            found.append(
                f"Pruning: without {share:.0f} % of the weights' bytes (whole channels) the file "
                f"is {excess['flash']:,} bytes smaller, which is enough."
            )
        found.append(
            f"External flash: the model file, {graph.file_bytes:,} bytes, moved there leaves "
            f"{flash.high - graph.file_bytes:,} of {flash.available:,} bytes here."
        )
    return found


def _memory_advice(excess: int, plain: Liveness, arenas: dict[str, int]) -> list[str]:
    found = []
    saving = {name: arenas["as it is"] - arenas[name] for name in ("in place", "fused")}
    # The one that changes less, if it is enough.
    name = "in place" if saving["in place"] >= excess else max(saving, key=lambda n: saving[n])
    if saving[name] > 0:
        enough = "is enough" if saving[name] >= excess else "is not enough"
        found.append(
            f"Another runtime, with activations {name}: {saving[name]:,} bytes of the arena less, "
            f"which {enough}."
        )
    left = arenas["as it is"] - excess
    if left > 0:
        factor = math.sqrt(left / arenas["as it is"])
        found.append(
            f"A smaller input: of {100 * factor:.0f} % of the height and width, if all activations "
            f"shrink with it, the arena is {left:,} bytes, which is enough."
        )
    live = plain.live_at(plain.peak_place)
    largest = live[0]
    rest = plain.peak_bytes - largest.size_bytes
    if rest < plain.peak_bytes - excess:
        parts = math.ceil(largest.size_bytes / (plain.peak_bytes - excess - rest))
        found.append(
            f"Computing the largest tensor, {largest.size_bytes:,} bytes, in {parts} parts, as "
            "patches do, is enough for this operator; another one may then be the tightest."
        )
    return found
