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
from collections.abc import Iterator
from pathlib import Path

from edge_tester.core.agent.isolation import Isolation
from edge_tester.core.system import trees
from edge_tester.core.system.text import printable

# No runtime here starts more than a few for each processor.
THREADS_LIMIT = 1024
_FILES_LIMIT = 100_000
_INTERVAL_S = 0.5
# Of the limit: by how much the disk gets fuller before it is looked for what is hidden.
_HIDDEN_SHARE = 1 / 8
_GONE = b" (deleted)"
_PROC = Path("/proc")

# By device and inode, the bytes that a file takes.
Sizes = dict[tuple[int, int], int]


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
        free_bytes = _free_bytes(self._own)
        while not self._ended.wait(_INTERVAL_S):
            size_bytes, problem = _size_of(self._own)
            opened = _opened(self._place)
            # To look through the mappings takes as long as a fast inference, so it is done only
            # where something can have been hidden since it was done last.
            now_bytes = _free_bytes(self._own)
            free_bytes = max(free_bytes, now_bytes)
            if free_bytes - now_bytes > limit_bytes * _HIDDEN_SHARE:
                free_bytes = now_bytes
                mapped, unseen = _mapped(self._place, self._own, opened)
                opened |= mapped
                problem = problem or unseen
            size_bytes += sum(opened.values())
            if size_bytes > limit_bytes:
                problem = (
                    f"The session wrote {size_bytes:,} bytes to its folder; the target's limit is "
                    f"{limit_bytes:,} (--scratch-limit of the agent)."
                )
            self._disk_problem = problem or self._disk_problem


def _size_of(folder: Path) -> tuple[int, str | None]:
    """Return how many bytes of the disk a folder takes, and what is wrong with it otherwise."""
    size_bytes = count = 0
    for about in trees.looked_through(folder):
        if isinstance(about, str):
            return size_bytes, f"The session made {about}."
        size_bytes += about.st_blocks * trees.BLOCK_BYTES
        count += 1
        if count > _FILES_LIMIT:
            return size_bytes, f"The session made more than {_FILES_LIMIT:,} files."
    return size_bytes, None


def _free_bytes(folder: Path) -> int:
    """Return what is free of the disk that a folder is on; 0 where the folder is gone."""
    try:
        about = os.statvfs(folder)
    except OSError:
        return 0
    return about.f_bfree * about.f_frsize


def _opened(process: Path) -> Sizes:
    """Return what is taken by files without a name that a process has open."""
    sizes: Sizes = {}
    with contextlib.suppress(OSError):
        for path in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                about = path.stat()
                if stat.S_ISREG(about.st_mode) and about.st_nlink == 0:
                    sizes[about.st_dev, about.st_ino] = about.st_blocks * trees.BLOCK_BYTES
    return sizes


def _mapped(process: Path, own: Path, opened: Sizes) -> tuple[Sizes, str | None]:
    """Return the same of those that it has mapped: a mapping keeps a file without a descriptor.

    How large such a file is the kernel shows to root alone. Where it does not, it is told in
    words that there is one.
    """
    sizes: Sizes = {}
    unseen = None
    for addresses, inode, name in _removed_and_mapped(process, own):
        try:
            about = (process / "map_files" / addresses).stat()
        except OSError:
            if all(inode != known for _, known in opened):
                unseen = (
                    f"The session keeps {printable(os.path.basename(name))}, which it has "
                    "removed, by a mapping alone: how much of the disk that takes cannot be seen."
                )
        else:
            sizes[about.st_dev, about.st_ino] = about.st_blocks * trees.BLOCK_BYTES
    return sizes, unseen


def _removed_and_mapped(process: Path, own: Path) -> Iterator[tuple[str, int, str]]:
    """Give addresses, inode and former name of each file of a folder that is mapped and gone."""
    # Source: proc(5): addresses, rights, offset, device, inode, and the path to the end of the
    # line, with what is said of a file that has no name any more.
    with contextlib.suppress(OSError):
        for line in (process / "maps").read_bytes().splitlines():
            words = line.split(None, 5)
            if len(words) < 6 or not words[5].endswith(_GONE):
                continue
            name = os.fsdecode(words[5].removesuffix(_GONE))
            if Path(name).is_relative_to(own):
                yield words[0].decode(), int(words[4]), name
