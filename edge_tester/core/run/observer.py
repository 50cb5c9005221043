"""Who hears how long work goes on."""

from __future__ import annotations

from typing import Literal


class Observer:
    """Hears how a run goes on; does nothing by itself."""

    def begin(self, what: str, total: int, unit: Literal["bytes", "samples"]) -> None:
        """Hear that a phase begins."""

    def advance(self, count: int) -> None:
        """Hear that a part of the phase is done."""

    def tell(self, text: str) -> None:
        """Hear something worth showing."""
