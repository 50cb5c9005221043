"""A few shared bytes that tell the supervisor what the session process does.

Writing them costs well under a microsecond, so a session can say before every
inference that it starts one; no message passes between the processes.
"""

from __future__ import annotations

import enum
import mmap
import os
import struct
import tempfile
import time

_FORMAT = struct.Struct("=BIQ")
_SIZE_BYTES = mmap.PAGESIZE


class Activity(enum.IntEnum):
    """What a session process does right now."""

    STARTING = 0
    WAITING = 1
    RECEIVING = 2
    LOADING = 3
    RUNNING = 4
    ANSWERING = 5


class Status:
    """The shared word; one process writes, the other reads.

    Parameters
    ----------
    descriptor : int
        An open file of one page; see :func:`create`.
    """

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, _SIZE_BYTES)

    def write(self, activity: int, sequence: int = 0) -> None:
        """Say what begins now, and for which request."""
        _FORMAT.pack_into(self._memory, 0, activity, sequence, time.monotonic_ns())

    def read(self) -> tuple[Activity, int, float]:
        """Return the activity, its request and for how long it has been going on [s]."""
        activity, sequence, since_ns = _FORMAT.unpack_from(self._memory)
        return Activity(activity), sequence, (time.monotonic_ns() - since_ns) * 1e-9

    def close(self) -> None:
        """Unmap the memory."""
        self._memory.close()


def create() -> int:
    """Return the descriptor of a new anonymous page that processes can share."""
    with tempfile.TemporaryFile() as file:
        file.truncate(_SIZE_BYTES)
        return os.dup(file.fileno())
