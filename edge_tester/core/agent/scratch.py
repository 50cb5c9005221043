"""The folder of an agent: whatever way it ends, the next one removes what it left.

Each agent has one folder under ``TMPDIR`` with a lock that it holds while it lives. The kernel
frees the lock with the process, also when that is killed, so a folder whose lock can be had
belongs to nobody: it goes, and so do the processes that were started with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import queue
import stat
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_tester.core.agent import cgroup, descendants, trees

logger = logging.getLogger(__name__)

_PREFIX = "edge_tester-agent-"
# While it is made, before its lock is held.
_NEW_PREFIX = "edge_tester-new-"
_NEW_LIMIT_S = 3600.0
_LOCK = "lock"
_TURN = "turn"
_CLOSE_LIMIT_S = 3.0


class Scratch:
    """A new folder of this agent, locked until it is closed.

    Raises
    ------
    OSError
        It cannot be made.
    """

    def __init__(self) -> None:
        base = Path(tempfile.gettempdir())
        made = Path(tempfile.mkdtemp(prefix=_NEW_PREFIX, dir=base))
        self._lock = os.open(made / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            # Under its own name it is locked from the first moment.
            self.path = made.rename(base / (_PREFIX + made.name.removeprefix(_NEW_PREFIX)))
        except BaseException:
            os.close(self._lock)
            raise
        self._count = 0
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        # A daemon: what it does not finish in time is left to the next agent.
        self._thread = threading.Thread(target=self._serve, name="scratch", daemon=True)
        self._thread.start()

    @property
    def store(self) -> Path:
        """Where models are kept as long as the agent lives."""
        return self.path / "store"

    @property
    def turn(self) -> Path:
        """What a session locks while its model loads or runs."""
        return self.path / _TURN

    def new(self) -> Path:
        """Make the folder of one session."""
        self._count += 1
        path = self.path / f"session-{self._count}"
        path.mkdir(mode=0o700)
        return path

    def discard(self, path: Path) -> None:
        """Remove the folder of a session, in the background: a model may have filled it."""
        self._work.put(lambda: remove(path))

    def sweep(self) -> None:
        """Remove what agents left that are gone, in the background."""
        self._work.put(lambda: sweep(self.path.parent))

    def close(self) -> None:
        """Remove the folder; what takes too long is left to the next agent."""
        self._work.put(lambda: remove(self.path))
        self._work.put(None)
        self._thread.join(_CLOSE_LIMIT_S)
        os.close(self._lock)

    def _serve(self) -> None:
        while (task := self._work.get()) is not None:
            try:
                task()
            except OSError as error:
                logger.warning("a folder could not be removed: %s", error)


def remove(path: Path) -> None:
    """Remove a folder and all in it; what stays in spite of all is said in the log."""
    if problem := trees.removed(path):
        logger.warning("%s could not be removed: %s", path, problem)


def sweep(base: Path) -> None:
    """Remove the folders of agents that are gone, and end what they started.

    A folder of somebody else, or of an agent that lives, is left alone.
    """
    for path in base.glob(f"{_NEW_PREFIX}*"):
        # An agent that was killed while it made it.
        with contextlib.suppress(FileNotFoundError):
            if _ours(path) and time.time() - path.stat().st_mtime > _NEW_LIMIT_S:
                remove(path)
    for path in base.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), _lock_of(path):
            logger.info("removing %s of an agent that is gone", path)
            cgroup.kill(f"{path.name}-")
            descendants.kill(descendants.marked(path))
            remove(path)
    # Also those of agents whose folders were elsewhere.
    cgroup.sweep(_PREFIX)


@contextlib.contextmanager
def _lock_of(path: Path) -> Any:
    """Hold the lock of a folder that nobody holds; OSError if somebody does, or it is not ours."""
    if not _ours(path):
        raise PermissionError(f"{path} belongs to somebody else")
    descriptor = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _ours(path: Path) -> bool:
    about = path.lstat()
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid()
