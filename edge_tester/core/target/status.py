"""A few shared bytes that tell the supervisor what the session process does.

Writing them costs well under a microsecond, so a session can say before every
inference that it starts one; no message passes between the processes.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import time
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

    def write(self, activity: int, sequence: int = 0) -> None:
        """Say what begins now, and for which request."""
        words = self._words
        words[1] = sequence
        # Activity and time are one aligned word, which processors store at once:
        # a reader never sees half of a time and takes it for a deadline missed.
        words[0] = time.monotonic_ns() << _ACTIVITY_BITS | activity

    def read(self) -> tuple[int, int, float]:
        """Return the activity, its request and for how long it has been going on [s]."""
        word, sequence = self._words[0], self._words[1]
        lasting_ns = time.monotonic_ns() - (word >> _ACTIVITY_BITS)
        return word & ((1 << _ACTIVITY_BITS) - 1), sequence, lasting_ns * 1e-9

    def close(self) -> None:
        """Unmap the memory."""
        self._words.release()
        self._memory.close()


def create() -> int:
    """Return the descriptor of a new anonymous page that processes can share."""
    with tempfile.TemporaryFile() as file:
        file.truncate(_SIZE_BYTES)
        return os.dup(file.fileno())
