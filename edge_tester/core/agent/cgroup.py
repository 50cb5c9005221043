"""A control group per session, where the system lets us have one: then nothing gets away.

The kernel kills all of a group at once, also what forks faster than it could be found. That
takes Linux 5.14 and a place in the tree of groups that this user may write: root's, or what
systemd delegates to a service of the user. Where there is none, the rest is done without.
"""

from __future__ import annotations

import contextlib
import logging
import re
from pathlib import Path

logger = logging.getLogger(__name__)

_MOUNTS = Path("/proc/self/mounts")
_OWN = Path("/proc/self/cgroup")


class ControlGroup:
    """A new group below the one that this process is in.

    Parameters
    ----------
    path : Path
        Its folder.

    Raises
    ------
    OSError
        It cannot be made, or cannot be killed as a whole.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self._path = path
        if not (path / "cgroup.kill").exists():
            path.rmdir()
            raise FileNotFoundError("this kernel cannot kill a group")

    def add(self, pid: int) -> None:
        """Move a process into it; what that starts from then on is in it too."""
        (self._path / "cgroup.procs").write_text(str(pid))

    def limit(self, memory_bytes: int | None, processes: int) -> None:
        """Bound what all in it take together, as far as the controllers are there.

        Source: Documentation/admin-guide/cgroup-v2.rst: memory.max, memory.swap.max, pids.max.
        """
        limits = {"pids.max": processes}
        if memory_bytes is not None:
            limits |= {"memory.max": memory_bytes, "memory.swap.max": 0}
        for name, most in limits.items():
            # A file that is not there cannot be made here.
            with contextlib.suppress(OSError):
                (self._path / name).write_text(str(most))

    def kill(self) -> None:
        """Kill all that is in it."""
        # There may be no descriptor to open it with; it is done again until all are gone.
        with contextlib.suppress(OSError):
            (self._path / "cgroup.kill").write_text("1")

    def close(self) -> None:
        """Remove it; where something in it still ends, the next agent does."""
        with contextlib.suppress(OSError):
            self._path.rmdir()


def group_named(name: str) -> ControlGroup | None:
    """Return a new group, None where there can be none."""
    here = _here()
    if here is None:
        return None
    try:
        return ControlGroup(here / name)
    except OSError as error:
        logger.debug("no control group: %s", error)
        return None


def sweep(prefix: str) -> None:
    """Remove the groups whose names begin with this and in which nothing is left."""
    here = _here()
    if here is None:
        return
    for path in here.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            path.rmdir()


def kill(prefix: str) -> None:
    """Kill what is in the groups whose names begin with this, of an agent that is gone."""
    here = _here()
    if here is None:
        return
    for path in here.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            (path / "cgroup.kill").write_text("1")


def _here() -> Path | None:
    """Return the folder of the group that this process is in, in the unified hierarchy."""
    try:
        mounted = re.search(r"^\S+ (\S+) cgroup2 ", _MOUNTS.read_text(), re.MULTILINE)
        own = re.search(r"^0::(/.*)$", _OWN.read_text(), re.MULTILINE)
    except OSError as error:
        logger.debug("no control groups: %s", error)
        return None
    if mounted is None or own is None:
        return None
    path = Path(mounted[1]) / own[1].lstrip("/")
    return path if path.is_dir() else None
