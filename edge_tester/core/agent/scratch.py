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
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from edge_tester.core.agent import cgroup, descendants
from edge_tester.core.system import temporary

logger = logging.getLogger(__name__)

_PREFIX = "edge_tester-agent-"
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
        made = Path(tempfile.mkdtemp(prefix=temporary.NEW_PREFIX, dir=base))
        self._lock = os.open(made / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            # Under its own name it is locked from the first moment.
            self.path = made.rename(base / (_PREFIX + made.name.removeprefix(temporary.NEW_PREFIX)))
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
        self._work.put(lambda: temporary.remove(path))

    def sweep(self) -> None:
        """Remove what agents left that are gone, in the background."""
        self._work.put(lambda: sweep(self.path.parent))

    def close(self) -> None:
        """Remove the folder; what takes too long is left to the next agent."""
        self._work.put(lambda: temporary.remove(self.path))
        self._work.put(None)
        self._thread.join(_CLOSE_LIMIT_S)
        os.close(self._lock)

    def _serve(self) -> None:
        while (task := self._work.get()) is not None:
            try:
                task()
            except OSError as error:
                logger.warning("a folder could not be removed: %s", error)


def sweep(base: Path) -> None:
    """Remove the folders of agents that are gone, and end what they started.

    A folder of somebody else, or of an agent that lives, is left alone.
    """
    temporary.sweep(base)
    for path in base.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), _lock_of(path):
            logger.info("removing %s of an agent that is gone", path)
            cgroup.kill(f"{path.name}-")
            descendants.kill(descendants.marked(path))
            temporary.remove(path)
    # Also those of agents whose folders were elsewhere.
    cgroup.sweep(_PREFIX)


@contextlib.contextmanager
def _lock_of(path: Path) -> Iterator[None]:
    """Hold the lock of an agent's folder; OSError if that lives, or it is not ours."""
    if not temporary.is_ours(path):
        raise PermissionError(f"{path} belongs to somebody else")
    # Its agent may have been killed before it had made one.
    (path / _LOCK).touch(0o600)
    with temporary.locked(path / _LOCK):
        yield
