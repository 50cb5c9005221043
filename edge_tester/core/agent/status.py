"""A few shared bytes that tell the supervisor what the session process does.

Writing them costs a fraction of a microsecond, so a session can say before every
inference that it starts one. No message passes between the processes, and no clock is
read: for how long something has been going on, the supervisor measures.

The session process runs models, so the supervisor trusts neither what is there nor that
it is there: it reads the file and never maps it. Where a mapped file becomes shorter, the
next look at it ends the process by SIGBUS.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
from typing import Final

_ACTIVITY_BITS = 3
_SIZE_BYTES = mmap.PAGESIZE
_WORD_BYTES = 8


class Activity:
    """What a session process does right now."""

    STARTING: Final = 0
    WAITING: Final = 1
    RECEIVING: Final = 2
    LOADING: Final = 3
    RUNNING: Final = 4
    ANSWERING: Final = 5
    IN_LINE: Final = 6


class Status:
    """The shared word, as the session process writes it.

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

    def close(self) -> None:
        """Unmap the memory."""
        self._words.release()
        self._memory.close()


def read(descriptor: int) -> tuple[int, int] | None:
    """Return the activity, and a number that grows with every change.

    None if the word is not there any more, which only a model can have done.
    """
    try:
        found = os.pread(descriptor, _WORD_BYTES, 0)
    except OSError:
        return None
    if len(found) < _WORD_BYTES:
        return None
    word = memoryview(found).cast("Q")[0]
    return word & ((1 << _ACTIVITY_BITS) - 1), word >> _ACTIVITY_BITS


def create() -> int:
    """Return the descriptor of a new page that processes can share.

    In memory and of a size that nobody can change, where the system has such files (Linux);
    otherwise a file without a name, written once so that its place on the disk is taken.

    Raises
    ------
    OSError
        There is no memory, no space or no descriptor for it.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("edge_tester-status", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, _SIZE_BYTES)
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(bytes(_SIZE_BYTES))
        return os.dup(file.fileno())
