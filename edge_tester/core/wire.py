"""The wire format and its rules; no input or output happens here.

A frame is a header of 24 bytes, the payload and, where the link needs it, a
checksum of the payload. All integers are big-endian.

====== ===== ==========================================================
offset bytes content
====== ===== ==========================================================
0      4     magic, ``EDGT``
4      1     version of the protocol
5      1     message type
6      2     flags
8      4     sequence number; an answer repeats that of its request
12     8     payload length
20     4     CRC-32 of bytes 0 to 19
24     n     payload
24+n   4     CRC-32 of the payload, only with flag ``CHECKSUM``
====== ===== ==========================================================

CRC-32 is that of ISO 3309 / ITU-T V.42, as in :func:`zlib.crc32`.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from edge_tester.core.errors import LocalProtocolError, RemoteProtocolError

MAGIC = b"EDGT"
VERSION = 1
HEADER_BYTES = 24
CHECKSUM_BYTES = 4
_FIELDS = struct.Struct(">4sBBHIQ")
_read_header = struct.Struct(">4sBBHIQI").unpack_from
_crc32 = zlib.crc32
_CRC = struct.Struct(">I")
_SPARE_BYTES = 1 << 16

# Anything with the buffer protocol: bytes, memoryview, a contiguous array.
Buffer = Any


class Type:
    """What a message says.

    Plain integers here and below: operations on the members of an enum cost as
    much as a whole message may.
    """

    HELLO: Final = 1
    OK: Final = 2
    ERROR: Final = 3
    MODEL: Final = 4
    DATA: Final = 5
    PROCESS: Final = 6
    OUTPUT: Final = 7
    STATS: Final = 8


TYPE_NAMES: dict[int, str] = {n: name for name, n in vars(Type).items() if isinstance(n, int)}


class Flag:
    """Bits of a frame's flags.

    Attributes
    ----------
    MORE
        More requests of this flight follow: hold the answers back, the OK (started) of
        a PROCESS too.
    WARM
        With PROCESS: run once more, untimed, right before the timed run.
    CHECKSUM
        A CRC-32 follows the payload.
    SHAPED
        The payload begins with the shapes of its tensors.
    """

    MORE: Final = 1
    WARM: Final = 2
    CHECKSUM: Final = 4
    SHAPED: Final = 8


class State:
    """What a session is ready for."""

    NEW: Final = "new"
    READY: Final = "ready"
    LOADED: Final = "loaded"
    FED: Final = "fed"
    DONE: Final = "done"


# (state, request) -> state after its success; what is not listed is a violation.
TRANSITIONS: dict[tuple[str, int], str] = {
    (State.NEW, Type.HELLO): State.READY,
    (State.READY, Type.MODEL): State.LOADED,
    (State.READY, Type.STATS): State.READY,
    (State.LOADED, Type.MODEL): State.LOADED,
    (State.LOADED, Type.DATA): State.FED,
    (State.LOADED, Type.STATS): State.LOADED,
    (State.FED, Type.MODEL): State.LOADED,
    (State.FED, Type.DATA): State.FED,
    (State.FED, Type.PROCESS): State.DONE,
    (State.FED, Type.STATS): State.FED,
    (State.DONE, Type.MODEL): State.LOADED,
    (State.DONE, Type.DATA): State.FED,
    (State.DONE, Type.OUTPUT): State.DONE,
    (State.DONE, Type.STATS): State.DONE,
}

# State after a request that was understood but failed; those not listed keep theirs.
AFTER_FAILURE: dict[int, str] = {
    Type.MODEL: State.READY,
    Type.DATA: State.LOADED,
    Type.PROCESS: State.LOADED,
}

# What the code of an ERROR may be, and what it means.
ERROR_CODES = {
    "busy": "another client uses the target",
    "protocol": "the request breaks the protocol; the connection ends",
    "refused": "the target's owner does not allow it",
    "model": "the model cannot be used",
    "input": "the input does not fit the model",
    "runtime": "the runtime failed",
    "storage": "the target cannot store the model",
    "memory": "the target ran out of memory",
    "crashed": "the model ended the process that ran it; the connection ends",
    "timeout": "a time limit of the target was exceeded; the connection ends",
    "skipped": "an earlier request of the same flight failed",
}
FATAL_CODES = frozenset({"busy", "protocol", "crashed", "timeout"})

HELLO_LIMIT_BYTES = 1 << 16
ERROR_LIMIT_BYTES = 1 << 16
DESCRIPTION_LIMIT_BYTES = 1 << 20
OPEN_DATA_LIMIT_BYTES = 1 << 30
TRANSFER_LIMIT_BYTES = 1 << 40


class Message(msgspec.Struct, gc=False):
    """One frame as received.

    Attributes
    ----------
    type, flags, sequence : int
    length : int
        Payload length [bytes].
    payload : memoryview
        The payload; empty for a MODEL, whose payload is streamed.
    """

    type: int
    flags: int
    sequence: int
    length: int
    payload: memoryview


# Sequence numbers repeat after this many requests, many more than ever are in
# flight, so that the few headers of a conversation are made once.
SEQUENCES = 256


@functools.lru_cache(maxsize=16 * SEQUENCES)
def encode_header(type: int, flags: int, sequence: int, length: int) -> bytes:
    """Return the 24 bytes that go before a payload of ``length`` bytes."""
    fields = _FIELDS.pack(MAGIC, VERSION, type, flags, sequence, length)
    return fields + _CRC.pack(_crc32(fields))


def decode_header(frame: memoryview, start: int = 0) -> tuple[int, int, int, int]:
    """Return type, flags, sequence and length of the header at ``start``.

    Raises
    ------
    RemoteProtocolError
        There is no header of this protocol and version.
    """
    magic, version, type, flags, sequence, length, crc = _read_header(frame, start)
    if magic != MAGIC:
        seen = bytes(frame[start : start + 8])
        raise RemoteProtocolError(
            f"The other side does not speak the edge_tester protocol: it sent {seen!r}."
        )
    if _crc32(frame[start : start + 20]) != crc:
        raise RemoteProtocolError("A frame header was damaged on its way: wrong checksum.")
    if version != VERSION:
        raise RemoteProtocolError(
            f"The other side speaks protocol version {version}, this one speaks {VERSION}: "
            "install the same edge_tester on both."
        )
    if type not in TYPE_NAMES:
        raise RemoteProtocolError(f"Message type {type} does not exist.")
    return type, flags, sequence, length


def checksum(payloads: Iterable[Buffer]) -> bytes:
    """Return the 4 bytes that go behind a payload made of these pieces."""
    crc = 0
    for piece in payloads:
        crc = _crc32(piece, crc)
    return _CRC.pack(crc)


def allowed(state: str) -> list[int]:
    """Return the requests that a state allows."""
    return [request for before, request in TRANSITIONS if before == state]


class Inbox:
    """Turns received bytes into messages, in one reusable buffer and without copies.

    The owner receives into :meth:`space` and takes messages with :meth:`take`. A payload
    stays valid until the next call of :meth:`space`, or, while :attr:`held` is
    set, until it is released.

    Parameters
    ----------
    limits : dict of int to int
        Largest payload allowed now per message type [bytes]; a type that is not
        there is a violation. Looked up as soon as a header is there, before
        anything is allocated for its payload. The owner exchanges it when its
        state changes.
    """

    def __init__(self, limits: dict[int, int]) -> None:
        self.limits = limits
        self.held = False
        self._buffer = memoryview(bytearray(_SPARE_BYTES))
        self._start = 0
        self._end = 0
        self._wanted = HEADER_BYTES
        self._streaming = 0

    @property
    def pending(self) -> bool:
        """Whether bytes are here that no message has taken."""
        return self._start != self._end

    def space(self) -> memoryview:
        """Return where the next received bytes go; never empty."""
        start, end, buffer = self._start, self._end, self._buffer
        if start == end and not self.held:
            self._start = self._end = 0
            if self._wanted <= len(buffer):
                return buffer
            start = end = 0
        if start + self._wanted > len(buffer):
            pending = buffer[start:end]
            if self.held or self._wanted > len(buffer):
                # A new buffer, not a grown one: payloads given out stay valid.
                buffer = self._buffer = memoryview(bytearray(self._wanted + _SPARE_BYTES))
                buffer[: len(pending)] = pending
            else:
                buffer[: len(pending)] = bytes(pending)
            self._start, end = 0, len(pending)
            self._end = end
        return buffer[end:]

    def add(self, count: int) -> None:
        """Add bytes of a streamed payload, put at the beginning of :meth:`space`."""
        self._end += count

    def take(self, count: int) -> Message | None:
        """Add ``count`` bytes, put at the beginning of :meth:`space`; return the next message.

        None says that more bytes are needed. With a count of 0 it looks at what
        is here already.

        Raises
        ------
        RemoteProtocolError
            The bytes break the protocol; the connection cannot go on.
        """
        # Every message passes here. After a wait the code is cold, and each further
        # call of a function then costs more than the work it does: hence one function.
        start, buffer = self._start, self._buffer
        self._end += count
        have = self._end - start
        # Once a header was seen, its whole frame is wanted: no piece is parsed twice.
        if have < self._wanted or self._streaming:
            if self._streaming:
                raise LocalProtocolError("A streamed payload must be taken before what follows.")
            return None
        magic, version, type, flags, sequence, length, crc = _read_header(buffer, start)
        if magic != MAGIC or version != VERSION or _crc32(buffer[start : start + 20]) != crc:
            decode_header(buffer, start)
        limit = self.limits.get(type)
        if limit is None or length > limit:
            raise self._refusal(type, length)
        begin = start + HEADER_BYTES
        if type == Type.MODEL:
            self._start, self._streaming = begin, length
            return Message(type, flags, sequence, length, buffer[:0])
        end = begin + length
        wanted = end - start
        if flags & Flag.CHECKSUM:
            wanted += CHECKSUM_BYTES
        if have < wanted:
            self._wanted = wanted
            return None
        self._start = start + wanted
        self._wanted = HEADER_BYTES
        payload = buffer[begin:end]
        if flags & Flag.CHECKSUM and _crc32(payload) != _CRC.unpack_from(buffer, end)[0]:
            raise RemoteProtocolError("A payload was damaged on its way: wrong checksum.")
        return Message(type, flags, sequence, length, payload)

    def next_piece(self) -> memoryview | None:
        """Return what is here of a streamed payload, None once it has ended.

        An empty piece says that more bytes must be received first. A piece is
        valid until the next call of :meth:`space`.
        """
        if not self._streaming:
            return None
        count = min(self._streaming, self._end - self._start)
        piece = self._buffer[self._start : self._start + count]
        self._start += count
        self._streaming -= count
        return piece

    def _refusal(self, type: int, length: int) -> RemoteProtocolError:
        if type not in TYPE_NAMES:
            return RemoteProtocolError(f"Message type {type} does not exist.")
        limit = self.limits.get(type)
        if limit is None:
            names = ", ".join(TYPE_NAMES[known] for known in self.limits)
            return RemoteProtocolError(f"{TYPE_NAMES[type]} is not allowed now; allowed: {names}.")
        return RemoteProtocolError(
            f"A {TYPE_NAMES[type]} of {length} bytes is over the limit of {limit} bytes."
        )
