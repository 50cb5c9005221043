"""Remember what was special about pictures, and say it once for all of them."""

from __future__ import annotations

from typing import Any

# Above these a picture shows something else than before.
_MUCH_STRETCHED, _MUCH_ENLARGED = 1.2, 1.5
# A picture of 16 bits that is all below is likely to be of a camera with fewer bits.
_DARK = 1 << 14


class PictureNotes:
    """Counts pictures; one that is loaded again counts once."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._by_note: dict[str, set[int]] = {}
        self._stretched = self._enlarged = 1.0
        self._deepest = 0

    def add(self, index: int, notes: frozenset[str], deepest: int) -> None:
        """Note what was special about the picture of a sample."""
        self._seen.add(index)
        self._deepest = max(self._deepest, deepest)
        for note in notes:
            self._by_note.setdefault(note, set()).add(index)

    def add_fit(self, index: int, stretched: float, enlarged: float) -> None:
        """Note by which factors a picture was stretched to one side, and enlarged."""
        stretched = max(stretched, 1 / stretched)
        if stretched > _MUCH_STRETCHED:
            self._by_note.setdefault("stretched", set()).add(index)
            self._stretched = max(self._stretched, stretched)
        if enlarged > _MUCH_ENLARGED:
            self._by_note.setdefault("enlarged", set()).add(index)
            self._enlarged = max(self._enlarged, enlarged)

    def facts(self) -> dict[str, Any]:
        """Return how many pictures were loaded, and how many were special."""
        if not self._seen:
            return {}
        found: dict[str, Any] = {"loaded": len(self._seen)}
        found.update({note: len(those) for note, those in sorted(self._by_note.items())})
        if "stretched" in found:
            found["stretched_up_to"] = round(self._stretched, 3)
        if "enlarged" in found:
            found["enlarged_up_to"] = round(self._enlarged, 3)
        return {"pictures": found}

    def remarks(self, background: str, turns: bool, pixel_range: tuple[float, ...]) -> list[str]:
        """Return a sentence on each kind of special pictures.

        Parameters
        ----------
        background : str
            What transparent pictures were laid on.
        turns : bool
            Whether pictures were turned by their EXIF data.
        pixel_range : tuple of float
            What was black and white in those of more than 8 bits; empty if they said so.
        """
        ignored = (
            "have an EXIF orientation, which was ignored, as training frameworks do: the model saw "
            "them as they are stored, not as viewers show them. --apply-exif-orientation turns them"
        )
        applied = (
            "were turned by their EXIF orientation (--apply-exif-orientation), which training "
            "frameworks ignore"
        )
        told = {
            "exif_orientation": applied if turns else ignored,
            "transparent": f"are transparent in places and were laid on {background} "
            "(--background chooses another ground)",
            "several_frames": "have several frames or pages: the first was taken",
            "more_than_8_bits": self._told_of_depth(pixel_range),
            "made_gray": "have colors and were made gray: the model takes one channel",
            "stretched": "were stretched to the model's shape, one side by up to "
            f"{self._stretched:.2f} times the other; --resize crop keeps the shape",
            "enlarged": f"are smaller than the model takes and were enlarged up to "
            f"{self._enlarged:.1f} times",
        }
        total = len(self._seen)
        return [
            f"{len(self._by_note[note])} of {total} pictures {sentence}."
            for note, sentence in told.items()
            if note in self._by_note
        ]

    def _told_of_depth(self, pixel_range: tuple[float, ...]) -> str:
        if pixel_range:
            black, white = pixel_range
            return f"have more than 8 bits: {black:g} to {white:g} became 0 to 255 (--pixel-range)"
        told = "have more than 8 bits: their whole range became 0 to 255 (16 bits divided by 257)"
        if self._deepest < _DARK:
            told += (
                f". The largest value in them is {self._deepest}: if less than the whole range is "
                "white, --pixel-range 0 WHITE says so"
            )
        return told
