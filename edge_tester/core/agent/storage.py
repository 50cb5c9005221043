"""Models on the target's disk: received with bounded memory, and kept by their SHA-256."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from edge_tester.core.errors import ModelError, RemoteProtocolError, TargetError
from edge_tester.core.system.files import CHUNK_BYTES, hashed
from edge_tester.core.wire.channel import Channel
from edge_tester.core.wire.frames import DESCRIPTION_LIMIT_BYTES
from edge_tester.core.wire.payloads import ModelDescription, decode

_LENGTH_BYTES = 4
# Slower than any link that a model goes over: a serial line of 9600 baud has 960 bytes/s.
MINIMUM_RATE = 100
# For links that stand still at times.
RATE_GRACE_S = 60.0


def receive_description(channel: Channel, length: int) -> ModelDescription:
    """Take what stands before the bytes of a model.

    Parameters
    ----------
    channel : Channel
        Which has received the header of a MODEL.
    length : int
        Of its payload.

    Raises
    ------
    RemoteProtocolError
        There is no description, or the sizes disagree.
    UnreachableError
    """
    size = int.from_bytes(channel.take(_LENGTH_BYTES), "big")
    if size > DESCRIPTION_LIMIT_BYTES:
        raise RemoteProtocolError(f"A model description of {size} bytes is too long.")
    described = decode(bytes(channel.take(size)), ModelDescription)
    following = length - _LENGTH_BYTES - size
    if described.offset + following != described.size_bytes:
        raise RemoteProtocolError(
            f"A MODEL that goes on with {following} bytes from {described.offset} on cannot hold a "
            f"model of {described.size_bytes}."
        )
    return described


class Store:
    """A folder of models, each named by its SHA-256; what was received of others ends in .part.

    Parameters
    ----------
    folder : Path
        Made when something is kept. What is in it may be changed by the models that ran, so all
        is checked when it is used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def stored_bytes(self, described: ModelDescription) -> int:
        """Return how many bytes of a model are here, from its first on."""
        for path in (self._whole(described), self._part(described)):
            try:
                return min(path.stat().st_size, described.size_bytes)
            except FileNotFoundError:
                continue
        return 0

    def receive(
        self,
        channel: Channel,
        described: ModelDescription,
        path: Path,
        on_piece: Callable[[], None] = lambda: None,
    ) -> None:
        """Take the rest of a model from a channel, and make it the file at ``path``.

        Parameters
        ----------
        channel : Channel
            Which has given the description.
        described : ModelDescription
        path : Path
            What was there is replaced, by the whole model or not at all.
        on_piece : callable
            Called whenever bytes have come.

        Raises
        ------
        TargetError
            Code ``storage``: there is no space, a folder cannot be written, or what was here of
            the model was changed, which is then removed.
        ModelError
            The bytes are not those that were announced.
        """
        whole, part = self._whole(described), self._part(described)
        where = self._folder
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            missing = described.size_bytes - described.offset
            if not self._make_room(missing, described):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if not missing and whole.exists():
                part = whole
            digest = _completed(channel, part, described.offset, on_piece)
            if digest != described.sha256:
                part.unlink()
                raise _damaged(described, digest)
            part.rename(whole)
            # When it was used last.
            os.utime(whole)
            where = path
            _place(whole, path)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                # Here nothing is to be gained by going on later.
                part.unlink(missing_ok=True)
                raise TargetError(
                    "storage",
                    f"The target has no space for the model of {described.size_bytes:,} bytes in "
                    f"{where.parent if where == path else where}.",
                ) from error
            raise TargetError(
                "storage", f"The target cannot write the model to {where}: {error.strerror}."
            ) from error

    def _make_room(self, size_bytes: int, described: ModelDescription) -> bool:
        """Remove models that were not used for longest until there is space; tell if there is."""
        mine = (self._whole(described), self._part(described))
        others = [path for path in self._folder.iterdir() if path not in mine]
        others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        while shutil.disk_usage(self._folder).free < size_bytes:
            if not others:
                return False
            others.pop().unlink()
        return True

    def _whole(self, described: ModelDescription) -> Path:
        return self._folder / described.sha256

    def _part(self, described: ModelDescription) -> Path:
        return self._folder / f"{described.sha256}.part"


class Pace:
    """Sees whether a model comes fast enough.

    Each piece is a sign of life, so a client that sends a byte now and then would hold the
    target for ever; that nothing comes at all is the supervisor's to see.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start_s = clock()
        self._bytes = 0

    def count(self, size_bytes: int) -> None:
        """Count what has come.

        Raises
        ------
        RemoteProtocolError
            After ``RATE_GRACE_S`` fewer than ``MINIMUM_RATE`` bytes per second have come.
        """
        self._bytes += size_bytes
        lasting_s = self._clock() - self._start_s
        if lasting_s > RATE_GRACE_S and self._bytes < MINIMUM_RATE * lasting_s:
            raise RemoteProtocolError(
                f"A model must come with at least {MINIMUM_RATE} bytes per second, "
                f"got {self._bytes:,} bytes in {lasting_s:.0f} s."
            )


def _damaged(described: ModelDescription, digest: str) -> Exception:
    if described.offset:
        return TargetError(
            "storage",
            "What the target had kept of the model was changed since, and is removed now: send "
            "the model again.",
        )
    return ModelError(
        f"The model was damaged on its way: SHA-256 {digest}, announced {described.sha256}."
    )


def _completed(channel: Channel, path: Path, offset: int, on_piece: Callable[[], None]) -> str:
    """Append what a channel gives to the first bytes of a file; return the SHA-256 of all.

    It is computed in a second thread.
    """
    digest: Any = hashlib.sha256()
    pace = Pace()
    # One is filled and written while the other is hashed.
    buffers = [bytearray(CHUNK_BYTES), bytearray(CHUNK_BYTES)]
    pending: Future[None] | None = None
    with ThreadPoolExecutor(1) as hasher, path.open("r+b" if offset else "wb", buffering=0) as file:
        if offset:
            file.truncate(offset)
            hashed(file, digest)
        while True:
            space, filled = memoryview(buffers[0]), 0
            while filled < CHUNK_BYTES and (count := channel.take_into(space[filled:])):
                filled += count
                pace.count(count)
                on_piece()
            if not filled:
                break
            chunk = space[:filled]
            if pending is not None:
                pending.result()
            pending = hasher.submit(digest.update, chunk)
            written = 0
            while written < filled:
                written += file.write(chunk[written:])
            buffers.reverse()
        if pending is not None:
            pending.result()
    return str(digest.hexdigest())


def _place(whole: Path, path: Path) -> None:
    """Make a file appear under another name, as a link where that is possible."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        beside = Path(folder) / path.name
        try:
            os.link(whole, beside)
        except OSError:
            # Another file system, or one without links.
            shutil.copyfile(whole, beside)
        # ext4 writes out the whole file when one is renamed over another.
        path.unlink(missing_ok=True)
        beside.rename(path)
