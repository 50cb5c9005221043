"""Say whether a model fits a microcontroller: ``edge-tester fit``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from edge_tester.core.analysis.boards import Board, read_board
from edge_tester.core.analysis.fitting import STACK, Fit, Need, fit
from edge_tester.core.analysis.micro import RUNTIME_CODE, Range
from edge_tester.core.analysis.microcheck import Arena, arena_of
from edge_tester.core.backends import backend
from edge_tester.core.errors import ModelError, OptionError, RecordError
from edge_tester.core.graphs import Graph
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import Configurable, option
from edge_tester.core.results.words import shortened
from edge_tester.core.system.files import write_atomically
from edge_tester.core.system.sizes import size_of
from edge_tester.scenarios._command import Command
from edge_tester.scenarios._graphs import graph_of, shapes_in
from edge_tester.scenarios._program import Logging, guard

_SHOWN_TENSORS = 6
_NAME = 50


class Fitting(Configurable):
    """What the model must fit into."""

    board: str | None = option(
        None, help="Name of a board that is known here, or the file of a profile of your own"
    )
    flash: str | None = option(
        None, help="Flash, such as 2MB; KB are 1024 bytes, as vendors mean them"
    )
    sram: str | None = option(None, help="Memory, such as 512KB")
    reserve_flash: str | None = option(None, help="Flash that the rest of the firmware takes")
    reserve_sram: str | None = option(None, help="Memory that the rest of the firmware takes")
    runtime_code: str | None = option(
        None, help="Size of the interpreter with its kernels, where you know it of your firmware"
    )
    stack: str | None = option(None, help="Size of the stack, where you know it")
    input_shapes: tuple[str, ...] = option(
        (),
        gives_way=True,
        help="Shape of one sample of each input where the file leaves it open, such as 96,96,1",
    )
    check: bool = option(
        False, help="Ask tflite-micro itself too, if it is installed, for the arena that it needs"
    )
    output: Path | None = option(None, help="File for all of it as JSON")

    def sizes(self) -> tuple[int, int, Board | None]:
        """Return the bytes of flash and of memory, and the board that they are of."""
        board = None if self.board is None else read_board(self.board)
        given = (self.flash, self.sram)
        if board is None and None in given:
            raise OptionError(
                "edge-tester fit needs --flash and --sram, such as --flash 2MB --sram 512KB, or "
                "--board NAME."
            )
        flash = 0 if board is None else board.flash_bytes
        sram = 0 if board is None else board.sram_bytes
        return self._size("flash") or flash, self._size("sram") or sram, board

    def _size(self, name: str) -> int:
        text = getattr(self, name)
        return 0 if text is None else size_of(text, f"--{name.replace('_', '-')}")

    def range_of(self, name: str, otherwise: Range) -> Range:
        """Return what is known of a part exactly, or else its range."""
        size = self._size(name)
        return Range(size, size) if size else otherwise

    def fit(self, graph: Graph) -> Fit:
        """Tell whether a graph fits."""
        flash, sram, _ = self.sizes()
        return fit(
            graph,
            flash_bytes=flash,
            sram_bytes=sram,
            runtime_code=self.range_of("runtime_code", RUNTIME_CODE),
            stack=self.range_of("stack", STACK),
            reserved_flash_bytes=self._size("reserve_flash"),
            reserved_sram_bytes=self._size("reserve_sram"),
        )


COMMAND = Command(
    "fit",
    "Say whether a model fits the flash and the memory of a microcontroller that runs it with "
    "tflite-micro, where it is tightest, and what would make it fit. The status is 1 if it does "
    "not fit.",
    roles=("modelwrappers",),
    required=("modelwrappers",),
    extras=(Fitting,),
)


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    parsed = COMMAND.parse(arguments)
    parsed.extra(Logging).start()
    asked, model = parsed.extra(Fitting), parsed.needed(ModelWrapper)
    _, _, board = asked.sizes()
    graph = graph_of(model, 1, shapes_in(asked.input_shapes))
    if asked.check and graph.format != "tflite":
        raise ModelError(f"--check asks tflite-micro, which takes no {graph.format} model.")
    found = asked.fit(graph)
    arena = arena_of(model.model_path, COMMAND.name) if asked.check else None
    if asked.output is not None:
        content = {"fit": found, "verdict": found.verdict, "board": board, "tflite_micro": arena}
        text = msgspec.json.format(msgspec.json.encode(content), indent=1)
        try:
            write_atomically(asked.output, text)
        except OSError as error:
            raise RecordError(f"{asked.output} cannot be written: {error.strerror}.") from error
    _shown(found, board, arena)
    return int(found.verdict == "does not fit")


def _shown(found: Fit, board: Board | None, arena: Arena | None) -> None:
    console: Any = backend("rich.console", "edge-tester").Console()
    text = backend("rich.text", "edge-tester").Text

    def tell(line: str) -> None:
        console.print(text(line), highlight=False)

    if board is not None:
        tell(f"{board.title}: {board.processor}")
    tell(f"{found.name}: {found.verdict}")
    for need in (found.flash, found.sram):
        tell("")
        for line in _lines(need):
            tell(line)
    tell("")
    tell(f"Tightest: {shortened(found.tightest, _NAME + 8)}")
    for name, size in found.live[:_SHOWN_TENSORS]:
        tell(f"  {size:>12,}  {shortened(name, _NAME)}")
    others = ", ".join(f"{name} {size:,}" for name, size in found.arenas.items())
    tell(f"Arena (bytes): {others}")
    if arena is not None:
        tell(
            f"tflite-micro, on 64 bits (bytes): activations {arena.head:,}, interpreter "
            f"{arena.tail:,}"
        )
    if found.lacking:
        tell(f"tflite-micro has no {', '.join(found.lacking)}: the model cannot be run by it.")
    for sentence in [*found.advice, *found.notes]:
        tell(f"* {sentence}")


def _lines(need: Need) -> list[str]:
    lines = [f"{need.name:<22}{'at least':>12}{'at most':>12}  bytes"]
    lines += [f"  {one.name:<20}{one.low:>12,}{one.high:>12,}  {one.origin}" for one in need.parts]
    lines.append(f"  {'together':<20}{need.low:>12,}{need.high:>12,}  of {need.available:,}")
    low, high = need.margin
    lines.append(f"  {'left':<20}{high:>12,}{low:>12,}  {need.verdict}")
    return lines


if __name__ == "__main__":
    sys.exit(guard(main))
