"""One block at a time: the turn that a session takes before a model loads or runs.

The sessions of one owner are processes of their own, and nobody stands between them and their
client. So each takes a lock of the system around what it does to the processor. The system frees
it with its holder, also when that is killed.
"""

from __future__ import annotations

import fcntl
import os
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
        # Opened anew in each process: what is inherited would be one lock for both.
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._say = say

    def __enter__(self) -> None:
        """Take the turn, after whoever has it."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._say(Activity.IN_LINE)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            self._say(Activity.WAITING)

    def __exit__(self, *problem: object) -> None:
        """Give it to the next, also where a process that the model started holds the file."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
