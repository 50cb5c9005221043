"""A few shared bytes that tell the supervisor what the session process does.

Writing them costs a fraction of a microsecond, so a session can say before every
inference that it starts one. No message passes between the processes, and no clock is
read: for how long something has been going on, the supervisor measures.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import Final

_ACTIVITY_BITS = 3
_SIZE_BYTES = mmap.PAGESIZE


class Activity:
    """What a session process does right now."""

    STARTING: Final = 0
    WAITING: Final = 1
    RECEIVING: Final = 2
    LOADING: Final = 3
    RUNNING: Final = 4
    ANSWERING: Final = 5


class Status:
    """The shared word; one process writes, the other reads.

    Parameters
    ----------
    descriptor : int
        An open file of one page; see :func:`create`.
    """

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, _SIZE_BYTES)
        self._words = memoryview(self._memory).cast("Q")
        self._changes = 0

    def write(self, activity: int) -> None:
        """Say what begins now."""
        self._changes += 1
        # One aligned word, which processors store at once: a reader never sees half.
        self._words[0] = self._changes << _ACTIVITY_BITS | activity

    def read(self) -> tuple[int, int]:
        """Return the activity, and a number that grows with every change."""
        word = self._words[0]
        return word & ((1 << _ACTIVITY_BITS) - 1), word >> _ACTIVITY_BITS

    def close(self) -> None:
        """Unmap the memory."""
        self._words.release()
        self._memory.close()


def create() -> int:
    """Return the descriptor of a new anonymous page that processes can share."""
    with tempfile.TemporaryFile() as file:
        file.truncate(_SIZE_BYTES)
        return os.dup(file.fileno())
