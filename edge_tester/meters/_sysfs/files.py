"""Read numbers of the kernel, again and again from one open file."""

from __future__ import annotations

import os
from pathlib import Path

from edge_tester.core.errors import RuntimeStateError

_NUMBER_BYTES = 64


class NumberFile:
    """A file that holds one number.

    Parameters
    ----------
    path : Path

    Raises
    ------
    RuntimeStateError
        This process may not read it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor: int | None = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise RuntimeStateError(
                f"{path} cannot be read: {error.strerror}. The agent's user must be allowed to."
            ) from error

    def read(self) -> int | None:
        """Return the number, None where the kernel gives none now."""
        if self._descriptor is None:
            return None
        try:
            return int(os.pread(self._descriptor, _NUMBER_BYTES, 0))
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        """Close it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def text_of(path: Path) -> str:
    """Return the text of a small file, empty where there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def as_name(text: str) -> str:
    """Return a text as a part of a counter's name."""
    return "".join(char if char.isalnum() else "_" for char in text.strip().lower()).strip("_")
