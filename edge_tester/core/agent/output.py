"""What a session process prints: taken away as it comes, the last of it kept.

Models, and the packages that run them, print what they like and as much as they like. A
pipe of its own for each session process lets none of them wait, fill a disk or flood the
agent's log; and when a model crashes, its last words are there to tell.
"""

from __future__ import annotations

import logging
import os
import re

from edge_tester.core.system.text import printable

logger = logging.getLogger(__name__)

TAIL_BYTES = 1 << 16
_PIECE_BYTES = 1 << 16
# What is left in a pipe when its writers are gone; Linux allows up to 1 MiB.
_LAST_PIECES = 16
_LOGGED_LINES = 100
_LINE_LIMIT = 400
_WORDS_LIMIT = 2000
# How the session process itself logs, apart from what it runs.
LOG_FORMAT = "%(levelname)s session: %(message)s"
_OWN_LINE = re.compile(rb"(DEBUG|INFO|WARNING|ERROR|CRITICAL) session: (.*)", re.DOTALL)


class Output:
    """The reading end of a pipe that is some process's standard output and error.

    Attributes
    ----------
    theirs : int or None
        The writing end, until :meth:`close_theirs`.
    """

    def __init__(self) -> None:
        self._descriptor: int | None
        self._descriptor, writing = os.pipe()
        self.theirs: int | None = writing
        os.set_blocking(self._descriptor, False)
        self._tail = bytearray()
        self._line = bytearray()
        self._lines = 0

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return -1 if self._descriptor is None else self._descriptor

    def close_theirs(self) -> None:
        """Close the writing end, once the process has it."""
        if self.theirs is not None:
            os.close(self.theirs)
            self.theirs = None

    def drain(self) -> bool:
        """Take one piece of what is there; return whether more may come.

        One piece alone, so that who prints without end does not keep the supervisor from
        its other work.
        """
        return self._take() != b""

    def close(self) -> None:
        """Take what is left of a process that has ended, and close the pipe."""
        if self._descriptor is None:
            return
        self.close_theirs()
        for _ in range(_LAST_PIECES):
            if not self._take():
                break
        if self._line:
            self._log(b"\n")
        os.close(self._descriptor)
        self._descriptor = None

    def last_words(self) -> str:
        """Return the end of what the model printed, on one line; empty if it was silent."""
        lines = [line.strip() for line in bytes(self._tail).splitlines()]
        said = [line.decode(errors="replace") for line in lines if line and not _own(line)]
        return printable(" | ".join(said)[-_WORDS_LIMIT:], _WORDS_LIMIT)

    def _take(self) -> bytes | None:
        """Read once: None if nothing is there now, nothing if the writers are gone."""
        if self._descriptor is None:
            return b""
        try:
            piece = os.read(self._descriptor, _PIECE_BYTES)
        except BlockingIOError:
            return None
        self._tail += piece
        del self._tail[:-TAIL_BYTES]
        self._log(piece)
        return piece

    def _log(self, piece: bytes) -> None:
        """Pass the first lines on to the log: enough to see what is printed, no flood."""
        if self._lines >= _LOGGED_LINES:
            return
        self._line += piece
        while self._lines < _LOGGED_LINES and (end := self._line.find(b"\n")) >= 0:
            line = bytes(self._line[:end][: 4 * _LINE_LIMIT])
            del self._line[: end + 1]
            if line.strip():
                self._log_line(line)
        del self._line[: -4 * _LINE_LIMIT]

    def _log_line(self, line: bytes) -> None:
        self._lines += 1
        own = _own(line)
        level, text = (own[1].decode(), own[2]) if own else ("INFO", line)
        said = printable(text.decode(errors="replace").strip(), _LINE_LIMIT)
        logger.log(getattr(logging, level), "session: %s", said)
        if self._lines == _LOGGED_LINES:
            logger.info("session: what else it prints is not logged")


def _own(line: bytes) -> re.Match[bytes] | None:
    return _OWN_LINE.match(line)
