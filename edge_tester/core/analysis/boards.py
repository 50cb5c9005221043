"""Profiles of microcontrollers: how much flash and memory they have, and who says so."""

from __future__ import annotations

import msgspec

from edge_tester.core.errors import OptionError
from edge_tester.core.system.profilefiles import read_profile
from edge_tester.core.system.sizes import size_of

FOLDER = "boards"


class Board(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of microcontroller.

    Attributes
    ----------
    title, processor : str
    flash, sram : str
        Sizes, as :func:`~edge_tester.core.system.sizes.size_of` reads them.
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


def read_board(name: str) -> Board:
    """Read a profile by its name, or a user's own by its path.

    Raises
    ------
    OptionError
        There is none, or it is not of the right form.
    """
    board, path = read_profile(name, FOLDER, "board", Board)
    # Whoever reads a profile learns at once whether its sizes are any.
    for size in (board.flash_bytes, board.sram_bytes):
        if size <= 0:
            raise OptionError(f"The board {path} has a size of {size} bytes.")
    return board
