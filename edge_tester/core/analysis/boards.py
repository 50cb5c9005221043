"""Profiles of microcontrollers: how much flash and memory they have, and who says so."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Any

import msgspec

from edge_tester.core.analysis.sizes import size_of
from edge_tester.core.backends import backend
from edge_tester.core.errors import OptionError
from edge_tester.core.options import hint


class Board(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of microcontroller.

    Attributes
    ----------
    title, processor : str
    flash, sram : str
        Sizes, as :func:`~edge_tester.core.analysis.sizes.size_of` reads them.
    source : str
        Of these figures.
    about : str
        What must be known of them, such as banks that are not next to each other.
    """

    title: str
    processor: str
    flash: str
    sram: str
    source: str
    about: str = ""

    @property
    def flash_bytes(self) -> int:
        """Flash for code and constants [bytes]."""
        return size_of(self.flash, f"flash of {self.title}")

    @property
    def sram_bytes(self) -> int:
        """Memory for everything that changes [bytes]."""
        return size_of(self.sram, f"sram of {self.title}")


def shipped_boards() -> dict[str, Path]:
    """Return the profiles of this package by name."""
    folder = Path(str(importlib.resources.files("edge_tester.resources"))) / "boards"
    return {path.stem: path for path in sorted(folder.glob("*.yml"))}


def read_board(name: str) -> Board:
    """Read a profile by its name, or a user's own by its path.

    Raises
    ------
    OptionError
        There is none, or it is not of the right form.
    """
    shipped = shipped_boards()
    path = shipped.get(name) or Path(name)
    if not path.is_file():
        raise OptionError(
            f"There is no board {name!r}, nor such a file{hint(name, shipped)} Boards are "
            f"{', '.join(shipped)}."
        )
    yaml: Any = backend("yaml", "A board's profile")
    try:
        board = msgspec.convert(yaml.safe_load(path.read_text()), Board)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, msgspec.ValidationError) as error:
        reason = " ".join(str(error).split())
        raise OptionError(f"The board's profile {path} cannot be used: {reason}") from error
    # Whoever reads a profile learns at once whether its sizes are any.
    for size in (board.flash_bytes, board.sram_bytes):
        if size <= 0:
            raise OptionError(f"The board's profile {path} has a size of {size} bytes.")
    return board
