"""Temporary folders and files: whatever way a process ends, a later one removes what it left.

Each is locked for as long as it is used. The kernel frees the lock with the process, also when that
is killed, so what can be locked belongs to nobody.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import stat
import tempfile
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

from edge_tester.core.system import trees

logger = logging.getLogger(__name__)

_PREFIX = "edge_tester-run-"
# While one is made, before its lock is held.
NEW_PREFIX = "edge_tester-new-"
_NEW_LIMIT_S = 3600.0
# From making something to locking it where it is.
_UNLOCKED_LIMIT_S = 5.0
# In names of what is not whole, which no user would give. Then as tempfile of Python has it.
_MARK, _RANDOM = ".edge_tester-", r"[a-z0-9_]{8}(\.|$)"


class TemporaryFolder:
    """A new folder that is removed with this object, or by the next one after a kill.

    Attributes
    ----------
    name : str
    """

    def __init__(self) -> None:
        base = Path(tempfile.gettempdir())
        sweep(base)
        made = Path(tempfile.mkdtemp(prefix=NEW_PREFIX, dir=base))
        held = lock(made)
        # Under its own name it is locked from the first moment.
        path = made.rename(base / (_PREFIX + made.name.removeprefix(NEW_PREFIX)))
        self.name = str(path)
        self._end = weakref.finalize(self, _end, path, held)

    def __enter__(self) -> str:
        """Return its name."""
        return self.name

    def __exit__(self, *problem: object) -> None:
        """Remove it."""
        self.cleanup()

    def cleanup(self) -> None:
        """Remove it; may be called twice."""
        self._end()


def sweep(base: Path) -> None:
    """Remove the folders of processes that are gone; what somebody else has is left alone."""
    sweep_new(base)
    for path in base.glob(f"{_PREFIX}*/"):
        with contextlib.suppress(OSError), locked(path):
            remove(path)


def sweep_new(base: Path) -> None:
    """Remove what processes left that were killed while they made a folder."""
    for path in base.glob(f"{NEW_PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):
            if is_ours(path) and time.time() - path.stat().st_mtime > _NEW_LIMIT_S:
                remove(path)


def lock(path: Path) -> int:
    """Lock what this process has just made; return the descriptor that holds the lock."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    # Where nothing can be locked, no other process can have the lock either.
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def prefix_of(path: Path) -> str:
    """Return how the names begin of what is to become ``path`` when it is whole."""
    return f".{path.stem}{_MARK}"


@contextlib.contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Give a new folder beside ``path``, for what is to become that, and remove it in the end."""
    remove_abandoned(path)
    made = Path(tempfile.mkdtemp(prefix=prefix_of(path), dir=path.parent))
    held = lock(made)
    try:
        yield made
    finally:
        remove(made)
        os.close(held)


def remove_abandoned(path: Path) -> None:
    """Remove what killed processes left beside ``path`` that was to become it."""
    name = re.compile(re.escape(prefix_of(path)) + _RANDOM)
    # Who may not look into a folder can still write to it.
    with contextlib.suppress(OSError):
        for one in path.parent.iterdir():
            if name.match(one.name):
                _remove_abandoned(one)


def _remove_abandoned(path: Path) -> None:
    with contextlib.suppress(OSError):
        if time.time() - path.lstat().st_mtime > _UNLOCKED_LIMIT_S:
            with locked(path):
                remove(path) if path.is_dir() else path.unlink()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of something that nobody holds.

    Raises
    ------
    OSError
        Somebody holds it, or it is not ours.
    """
    if path.lstat().st_uid != os.geteuid():
        raise PermissionError(f"{path} belongs to somebody else")
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def is_ours(path: Path) -> bool:
    """Tell whether something is a folder of this user."""
    about = path.lstat()
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid()


def remove(path: Path) -> None:
    """Remove a folder and all in it; what stays in spite of all is said in the log."""
    if problem := trees.removed(path):
        logger.warning("%s could not be removed: %s", path, problem)


def _end(path: Path, held: int) -> None:
    remove(path)
    os.close(held)
