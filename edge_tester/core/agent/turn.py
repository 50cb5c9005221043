"""One block at a time: the turn that a session takes before a model loads or runs.

The sessions of one owner are processes of their own, and nobody stands between them and their
client. So each has a lock of the system while it uses the processor. The system frees it with its
holder, also when that is killed.

To take and give such a lock costs microseconds when the code is cold. A session that is alone
takes it once and keeps it, until it is told that there are others.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

from edge_tester.core.agent.status import Activity


class Turn:
    """The right to load or run a model on this target, for the time of a ``with``.

    Parameters
    ----------
    path : Path
        A file that all sessions of the agent lock; made where it is missing.
    say : callable
        Hears that another session has the turn, and that it has ended.
    """

    def __init__(self, path: Path, say: Callable[[int], None]) -> None:
        # Opened anew in each process: what is inherited would be one lock for both. For reading:
        # a model that could write to it would fill the disk, or leave something for another one.
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._say = say
        self._shared = self._held = False
        # What shares does so in another thread, and not in the middle of a block.
        self._block = threading.Lock()

    def __enter__(self) -> None:
        """Take the turn, after whoever has it."""
        self._block.acquire()
        if not self._held:
            try:
                self._take()
            except BaseException:
                self._block.release()
                raise

    def __exit__(self, *problem: object) -> None:
        """Let the next one have it, if there are others."""
        try:
            if self._shared:
                self._give()
        finally:
            self._block.release()

    def share(self) -> None:
        """Give the turn away after every block from now on; waits for the end of one."""
        with self._block:
            self._shared = True
            self._give()

    def _take(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._say(Activity.IN_LINE)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            self._say(Activity.WAITING)
        self._held = True

    def _give(self) -> None:
        # Also where a process that the model has started holds the file.
        self._held = False
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
