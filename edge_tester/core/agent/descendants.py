"""Find and end what a model has started, wherever it has hidden it.

A process group covers what stays in it. What left it (``setsid``) is found because the
supervisor adopts it: where a process in between ends, the kernel gives its children to
the nearest ancestor that asked for them. Linux only; elsewhere the group is all.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

from edge_tester.core.system.processes import set_process_option

logger = logging.getLogger(__name__)

# Source: prctl(2), linux/prctl.h.
_PR_SET_CHILD_SUBREAPER = 36
_PROC = Path("/proc")
_LIST_BYTES = 1 << 16
_REAPED_AT_ONCE = 256
# In the environment of a session process and of all that it starts: the session's folder.
MARK = "EDGE_TESTER_SESSION_FOLDER"


def adopt_orphans() -> bool:
    """Ask the kernel for the orphans among our descendants; tell whether it does."""
    return set_process_option(_PR_SET_CHILD_SUBREAPER, 1)


def marked(folder: Path) -> set[int]:
    """Return the processes that sessions with folders in this one have started."""
    found = set()
    with contextlib.suppress(OSError):
        for path in _PROC.glob("[0-9]*"):
            session = session_of(int(path.name))
            if session is not None and session.parent == folder:
                found.add(int(path.name))
    return found - {os.getpid()}


def session_of(pid: int) -> Path | None:
    """Return the folder of the session whose mark a process carries, None if it has none."""
    mark = f"{MARK}=".encode()
    # Those of other users cannot be read, and others end meanwhile.
    with contextlib.suppress(OSError):
        for word in (_PROC / str(pid) / "environ").read_bytes().split(b"\0"):
            if word.startswith(mark):
                return Path(os.fsdecode(word.removeprefix(mark)))
    return None


def kill(pids: Iterable[int]) -> None:
    """Kill processes; one that has ended is no error."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def kill_group(pid: int) -> None:
    """Kill what is in the process group of a session process, whether or not that lives."""
    # EPERM: all that is left has been given to another user. Nothing to be done about it.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def reap(pids: Iterable[int]) -> set[int]:
    """Take the exit status of those children that have ended; return the others."""
    left = set()
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                left.add(pid)
    return left


class Adopted:
    """The children of this process that it did not start itself after this was made.

    Parameters
    ----------
    folder : Path
        Of this agent: what carries its mark is ours even where the kernel adopts nothing.
    own : callable
        Returns those that were started for another purpose than sessions, as they are now.
    """

    def __init__(self, folder: Path, own: Callable[[], set[int]] = set) -> None:
        self._folder = folder
        self._list = _list_of_children() if adopt_orphans() else None
        self._own = own
        self._others = self._children() - own()
        self._sessions: dict[int, Path] = {}

    def begin(self, pid: int, folder: Path) -> None:
        """Leave a session process alone until :meth:`forget`, and what carries its mark."""
        self._sessions[pid] = folder

    def forget(self, pid: int) -> None:
        """Take what a session has left for nobody's."""
        del self._sessions[pid]

    def end(self, pid: int) -> set[int]:
        """Kill and reap once what a session has left; return what was found of that.

        Until nothing is found something may live: what was killed may have forked right before.
        What carries the mark of another session is that one's, and what carries none is nobody's.
        """
        others = {folder for session, folder in self._sessions.items() if session != pid}
        found, spared = set(), self._spared()
        for one in marked(self._folder) if self._list is None else self._children():
            if one in spared:
                continue
            if others and session_of(one) in others:
                continue
            # At once: what forks and ends is gone when the next one was looked at.
            kill({one})
            found.add(one)
        if self._list is not None:
            reap(found)
        return found

    def reap(self) -> None:
        """Let those that have ended go; their number must not grow while a session lasts."""
        if self._list is None or not hasattr(os, "waitid"):
            return
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        with contextlib.suppress(ChildProcessError):
            # What forks and ends without end may make them faster than they can be let go.
            for _ in range(_REAPED_AT_ONCE):
                ended = os.waitid(os.P_ALL, 0, options)
                if ended is None or ended.si_pid in self._spared():
                    return
                reap({ended.si_pid})

    def _spared(self) -> set[int]:
        return self._sessions.keys() | self._others | self._own()

    def close(self) -> None:
        """Close the list."""
        if self._list is not None:
            os.close(self._list)

    def _children(self) -> set[int]:
        if self._list is None:
            return set()
        found, offset = b"", 0
        while piece := os.pread(self._list, _LIST_BYTES, offset):
            found += piece
            offset += len(piece)
        return set(map(int, found.split()))


def _list_of_children() -> int | None:
    """Open the kernel's list of our children once: later there may be no descriptor for it."""
    try:
        # Adopted children become those of the first thread, which also starts sessions.
        return os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        logger.debug("the list of children: %s", error)
        return None
