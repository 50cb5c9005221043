"""Models on the target's disk: received with bounded memory, and kept by their SHA-256."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

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
# A full disk, or a limit of it, such as the store's.
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


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


class Shelving(Protocol):
    """Where models are kept: a :class:`Shelf`, or somebody who has one."""

    def stored_bytes(self, sha256: str, size_bytes: int) -> int:
        """Return how many bytes of a model are there, from its first on."""

    def open(self, sha256: str, size_bytes: int, offset: int) -> int:
        """Return a descriptor of what is there of a model, with ``offset`` bytes."""

    def keep(self, sha256: str, place: Path) -> Path:
        """Take what is there for the whole model; return where to read it."""

    def forget(self, sha256: str) -> None:
        """Remove what is there of a model."""


class Store:
    """Models as they come over a channel, and where they are kept.

    Parameters
    ----------
    shelf : Shelving
        What is on it may have been changed, so all is checked when it is used.
    leave : callable
        Gives the store for what comes after a model was loaded; None if this one stays. Called
        right before: the model must not reach what others brought.
    """

    def __init__(self, shelf: Shelving, leave: Callable[[], Store] | None = None) -> None:
        self._shelf = shelf
        self._leave = leave

    def left(self) -> Store:
        """Return the store for later models, and let go of this one if that is another."""
        return self if self._leave is None else self._leave()

    def stored_bytes(self, described: ModelDescription) -> int:
        """Return how many bytes of a model are here, from its first on."""
        return self._shelf.stored_bytes(described.sha256, described.size_bytes)

    def receive(
        self,
        channel: Channel,
        described: ModelDescription,
        path: Path,
        on_piece: Callable[[], None] = lambda: None,
    ) -> Path:
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

        Returns
        -------
        Path
            Where to read it, if that is elsewhere.

        Raises
        ------
        TargetError
            Code ``storage``: there is no space, a folder cannot be written, or what was here of
            the model was changed, which is then removed.
        ModelError
            The bytes are not those that were announced.
        """
        sha256, size_bytes = described.sha256, described.size_bytes
        where = "its store"
        try:
            descriptor = self._shelf.open(sha256, size_bytes, described.offset)
            with open(descriptor, "r+b" if described.offset < size_bytes else "rb", 0) as file:
                digest = _completed(channel, file, described.offset, on_piece)
            if digest != sha256:
                self._shelf.forget(sha256)
                raise _damaged(described, digest)
            where = str(path)
            return self._shelf.keep(sha256, path)
        except OSError as error:
            if error.errno in _NO_SPACE:
                # Here nothing is to be gained by going on later.
                with contextlib.suppress(OSError):
                    self._shelf.forget(sha256)
                limit = f": {error.strerror}" if error.errno == errno.EDQUOT else ""
                raise TargetError(
                    "storage",
                    f"The target has no space for the model of {size_bytes:,} bytes in "
                    f"{where}{limit}.",
                ) from error
            raise TargetError(
                "storage", f"The target cannot write the model to {where}: {error.strerror}."
            ) from error


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


def _completed(channel: Channel, file: Any, offset: int, on_piece: Callable[[], None]) -> str:
    """Append what a channel gives to the first bytes of a file; return the SHA-256 of all.

    It is computed in a second thread.
    """
    digest: Any = hashlib.sha256()
    pace = Pace()
    # One is filled and written while the other is hashed.
    buffers = [bytearray(CHUNK_BYTES), bytearray(CHUNK_BYTES)]
    pending: Future[None] | None = None
    with ThreadPoolExecutor(1) as hasher:
        if offset:
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
