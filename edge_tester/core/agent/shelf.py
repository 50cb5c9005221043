"""The folder of models that a target keeps: by their SHA-256, up to a size and an age."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Collection
from pathlib import Path

from edge_tester.core.system.temporary import folder_beside


class Shelf:
    """A folder of models, each named by its SHA-256; what was received of others ends in .part.

    Those that were not used for longest go first; what a session reads has a second name there,
    or is named as in use, and stays.

    Parameters
    ----------
    folder : Path
        Made when something is kept.
    limit_bytes : int, optional
        Of all that is in it.
    age_limit_s : float, optional
        What was not used for so long goes.
    """

    def __init__(
        self, folder: Path, limit_bytes: int | None = None, age_limit_s: float | None = None
    ) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._age_limit_s = age_limit_s
        self.in_use: Collection[str] = ()

    def stored_bytes(self, sha256: str, size_bytes: int) -> int:
        """Return how many bytes of a model are here, from its first on."""
        for path in (self._whole(sha256), self._part(sha256)):
            try:
                return min(path.stat().st_size, size_bytes)
            except FileNotFoundError:
                continue
        return 0

    def open(self, sha256: str, size_bytes: int, offset: int, *, shared: bool = False) -> int:
        """Return a descriptor of what is here of a model, shortened to ``offset`` bytes.

        A model that is here as a whole is opened for reading alone. One that somebody else
        receives at the same time (``shared``) is not shortened: both write the same bytes.

        Raises
        ------
        OSError
            It cannot be written, fewer bytes are here, or the disk or the limit leaves too little
            space (ENOSPC, EDQUOT).
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if offset == size_bytes and self._whole(sha256).exists():
            return os.open(self._whole(sha256), os.O_RDONLY | os.O_CLOEXEC)
        self._make_room(size_bytes - offset, sha256)
        new = 0 if offset else os.O_CREAT
        descriptor = os.open(self._part(sha256), os.O_RDWR | os.O_CLOEXEC | new, 0o644)
        if not shared:
            os.ftruncate(descriptor, offset)
        return descriptor

    def keep(self, sha256: str, place: Path) -> Path:
        """Take a part for the whole, as it is now, and let it appear at ``place`` too.

        Returns
        -------
        Path
            Where to read it, ``place``.

        Raises
        ------
        OSError
            One of both cannot be written.
        """
        whole = self._whole(sha256)
        with contextlib.suppress(FileNotFoundError):
            self._part(sha256).rename(whole)
        self._mark(whole)
        put(whole, place)
        return place

    def forget(self, sha256: str) -> None:
        """Remove what is here of a model."""
        for path in (self._whole(sha256), self._part(sha256)):
            path.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove what was not used for too long, and what is beyond the limit."""
        with contextlib.suppress(FileNotFoundError):
            self._remove_old()
            others = self._others("")
            while others and self._beyond_bytes() > 0:
                others.pop().unlink(missing_ok=True)

    def _mark(self, whole: Path) -> None:
        """Note when a model was used last."""
        os.utime(whole)

    def _make_room(self, wanted_bytes: int, sha256: str) -> None:
        self._remove_old()
        others = self._others(sha256)
        while True:
            lacks_disk = shutil.disk_usage(self._folder).free < wanted_bytes
            if not lacks_disk and self._beyond_bytes() + wanted_bytes <= 0:
                return
            if not others:
                break
            others.pop().unlink(missing_ok=True)
        if lacks_disk or self._limit_bytes is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise OSError(errno.EDQUOT, f"over --store-limit, {self._limit_bytes:,} bytes")

    def _beyond_bytes(self) -> int:
        """Return how many bytes are here beyond the limit; below 0 where there is room."""
        if self._limit_bytes is None:
            return -(1 << 62)
        return sum(path.stat().st_size for path in self._folder.iterdir()) - self._limit_bytes

    def _remove_old(self) -> None:
        if self._age_limit_s is None:
            return
        oldest_s = time.time() - self._age_limit_s
        for path in self._others(""):
            if path.stat().st_mtime < oldest_s:
                path.unlink(missing_ok=True)

    def _others(self, sha256: str) -> list[Path]:
        """Return what may be removed for this one, the one that was used first at the end."""
        spared = {sha256, *self.in_use}
        found = [
            path
            for path in self._folder.iterdir()
            if path.name.removesuffix(".part") not in spared and path.stat().st_nlink == 1
        ]
        return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)

    def _whole(self, sha256: str) -> Path:
        return self._folder / sha256

    def _part(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.part"


def put(whole: Path, path: Path) -> None:
    """Make a file appear under another name, as a link where that is possible."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with folder_beside(path) as folder:
        beside = folder / path.name
        try:
            os.link(whole, beside)
        except OSError:
            # Another file system, or one without links.
            shutil.copyfile(whole, beside)
        # ext4 writes out the whole file when one is renamed over another.
        path.unlink(missing_ok=True)
        beside.rename(path)
