"""Receive a model onto the target's disk, with bounded memory."""

from __future__ import annotations

import errno
import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec

from edge_tester.core.errors import ModelError, RemoteProtocolError, TargetError
from edge_tester.core.system.files import CHUNK_BYTES, atomic_path
from edge_tester.core.wire.frames import DESCRIPTION_LIMIT_BYTES
from edge_tester.core.wire.payloads import ModelDescription, decode

# Slower than any link that a model goes over: a serial line of 9600 baud has 960 bytes/s.
MINIMUM_RATE = 100
# For links that stand still at times.
RATE_GRACE_S = 60.0


class Stream(msgspec.Struct):
    """The beginning of a streamed model: its description, and the bytes that follow."""

    description: ModelDescription
    pieces: Iterator[memoryview]

    @classmethod
    def begin(cls, pieces: Iterator[memoryview], length: int) -> Stream:
        """Read the description from the first pieces.

        Raises
        ------
        RemoteProtocolError
            There is none, or the sizes disagree.
        """
        head = bytearray()
        pieces = paced(pieces)
        for piece in pieces:
            head += piece
            size = 4 + int.from_bytes(head[:4], "big")
            if size > 4 + DESCRIPTION_LIMIT_BYTES:
                raise RemoteProtocolError(f"A model description of {size} bytes is too long.")
            if 4 <= len(head) and size <= len(head):
                break
        else:
            raise RemoteProtocolError("A MODEL has no description.")
        description = decode(bytes(head[4:size]), ModelDescription)
        if size + description.size_bytes != length:
            raise RemoteProtocolError(
                f"A MODEL of {length} bytes cannot hold a description of {size} bytes "
                f"and a model of {description.size_bytes}."
            )
        rest = memoryview(bytes(head[size:]))
        return cls(description, _chain(rest, pieces))

    def drain(self) -> None:
        """Receive the rest and forget it, so that an answer can be heard."""
        for _ in self.pieces:
            continue


def store(stream: Stream, path: Path) -> None:
    """Write a model to ``path`` and check its SHA-256; whole or not at all.

    Raises
    ------
    TargetError
        Code ``storage``: there is no space, or the folder cannot be written.
    ModelError
        The bytes are not those that were announced.
    """
    size_bytes = stream.description.size_bytes
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        free_bytes = shutil.disk_usage(path.parent).free
        if free_bytes < size_bytes:
            raise OSError(errno.ENOSPC, "")
        with atomic_path(path) as temporary:
            digest = _write(stream.pieces, temporary)
            if digest != stream.description.sha256:
                raise ModelError(
                    f"The model was damaged on its way: SHA-256 {digest}, "
                    f"announced {stream.description.sha256}."
                )
    except OSError as error:
        stream.drain()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise TargetError(
                "storage",
                f"The target has no space for the model of {size_bytes:,} bytes in {path.parent}.",
            ) from error
        raise TargetError(
            "storage", f"The target cannot write the model to {path}: {error.strerror}."
        ) from error


def paced(
    pieces: Iterator[memoryview], clock: Callable[[], float] = time.monotonic
) -> Iterator[memoryview]:
    """Give pieces on as long as they come fast enough.

    Each piece is a sign of life, so a client that sends a byte now and then would hold the
    target for ever; that nothing comes at all is the supervisor's to see.

    Raises
    ------
    RemoteProtocolError
        After ``RATE_GRACE_S`` fewer than ``MINIMUM_RATE`` bytes per second have come.
    """
    start_s, count = clock(), 0
    for piece in pieces:
        count += len(piece)
        lasting_s = clock() - start_s
        if lasting_s > RATE_GRACE_S and count < MINIMUM_RATE * lasting_s:
            raise RemoteProtocolError(
                f"A model must come with at least {MINIMUM_RATE} bytes per second, "
                f"got {count:,} bytes in {lasting_s:.0f} s."
            )
        yield piece


def _write(pieces: Iterator[memoryview], path: Path) -> str:
    """Write pieces to a file; return their SHA-256, computed in a second thread."""
    digest = hashlib.sha256()
    # Two buffers: one is filled and written while the other is hashed.
    buffers = [bytearray(CHUNK_BYTES), bytearray(CHUNK_BYTES)]
    pending: Future[None] | None = None
    with ThreadPoolExecutor(1) as hasher, path.open("wb", buffering=0) as file:
        for chunk in _chunks(pieces, buffers):
            if pending is not None:
                pending.result()
            pending = hasher.submit(digest.update, chunk)
            written = 0
            while written < len(chunk):
                written += file.write(chunk[written:])
    return digest.hexdigest()


def _chunks(pieces: Iterator[memoryview], buffers: list[bytearray]) -> Iterator[memoryview]:
    turn, filled = 0, 0
    for piece in pieces:
        while piece:
            count = min(len(piece), CHUNK_BYTES - filled)
            buffers[turn][filled : filled + count] = piece[:count]
            filled += count
            piece = piece[count:]
            if filled == CHUNK_BYTES:
                yield memoryview(buffers[turn])
                turn, filled = 1 - turn, 0
    if filled:
        yield memoryview(buffers[turn])[:filled]


def _chain(first: memoryview, rest: Iterator[memoryview]) -> Iterator[memoryview]:
    if first:
        yield first
    yield from rest
