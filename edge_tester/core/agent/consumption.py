"""What a session takes of the machine, beside what its owner lets it take.

Some of it the kernel bounds (``isolation``, ``cgroup``); what it cannot is looked at here, a few
times a second, so a limit may be exceeded for a moment.
"""

from __future__ import annotations

import contextlib
import os
import resource
import stat
import threading
from pathlib import Path

from edge_tester.core.agent.isolation import Isolation

# No runtime here starts more than a few for each processor.
THREADS_LIMIT = 1024
_FILES_LIMIT = 100_000
_INTERVAL_S = 0.5
# Source: stat(2): blocks are of 512 bytes, whatever those of the file system are.
_BLOCK_BYTES = 512
_PROC = Path("/proc")


class Consumption:
    """Memory, threads and disk of one session process.

    Parameters
    ----------
    pid : int
    own : Path
        The folder to which it writes.
    isolation : Isolation
        With the limits.
    """

    def __init__(self, pid: int, own: Path, isolation: Isolation) -> None:
        self._place = _PROC / str(pid)
        self._own = own
        self._memory_limit_bytes = isolation.memory_limit_bytes
        self._disk_limit_bytes = isolation.scratch_limit_bytes
        self._disk_problem: str | None = None
        self._ended = threading.Event()
        if self._disk_limit_bytes is not None:
            # In a thread: a model may have made the folder slow to look through.
            threading.Thread(target=self._look, name="scratch use", daemon=True).start()

    def problem(self) -> str | None:
        """Return what is exceeded, None if nothing is."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            # Source: proc(5): pages in all, resident pages; and of stat, after the name in
            # parentheses, the 18th field is the number of threads.
            resident = int((self._place / "statm").read_bytes().split()[1])
            threads = int((self._place / "stat").read_bytes().rpartition(b")")[2].split()[17])
            memory_bytes = resident * resource.getpagesize()
            limit_bytes = self._memory_limit_bytes
            if limit_bytes is not None and memory_bytes > limit_bytes:
                return (
                    f"The session took {memory_bytes >> 20:,} MiB of memory; the target's limit is "
                    f"{limit_bytes >> 20:,} MiB (--memory-limit of the agent)."
                )
            if threads > THREADS_LIMIT:
                return f"The session started {threads} threads; {THREADS_LIMIT} are allowed."
        return self._disk_problem

    def close(self) -> None:
        """Look no more."""
        self._ended.set()

    def _look(self) -> None:
        limit_bytes = self._disk_limit_bytes or 0
        while not self._ended.wait(_INTERVAL_S):
            size_bytes, count = _size_of(self._own)
            size_bytes += _deleted_bytes(self._place / "fd")
            if size_bytes > limit_bytes:
                self._disk_problem = (
                    f"The session wrote {size_bytes:,} bytes to its folder; the target's limit is "
                    f"{limit_bytes:,} (--scratch-limit of the agent)."
                )
            elif count > _FILES_LIMIT:
                self._disk_problem = f"The session made more than {_FILES_LIMIT:,} files."


def _size_of(folder: Path) -> tuple[int, int]:
    """Return how many bytes of the disk a folder takes, and how many files; not too many."""
    size_bytes = count = 0
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            with contextlib.suppress(OSError):
                size_bytes += os.lstat(os.path.join(root, name)).st_blocks * _BLOCK_BYTES
            count += 1
        if count > _FILES_LIMIT:
            break
    return size_bytes, count


def _deleted_bytes(descriptors: Path) -> int:
    """Return what is taken by files without a name that a process has open."""
    size_bytes = 0
    with contextlib.suppress(OSError):
        for path in descriptors.iterdir():
            with contextlib.suppress(OSError):
                about = path.stat()
                if stat.S_ISREG(about.st_mode) and about.st_nlink == 0:
                    size_bytes += about.st_blocks * _BLOCK_BYTES
    return size_bytes
