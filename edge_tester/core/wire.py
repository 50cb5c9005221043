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

import enum
import struct
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from edge_tester.core.errors import LocalProtocolError, RemoteProtocolError

MAGIC = b"EDGT"
VERSION = 1
HEADER_BYTES = 24
_FIELDS = struct.Struct(">4sBBHIQ")
_CRC = struct.Struct(">I")
_SPARE_BYTES = 1 << 16

# Anything with the buffer protocol: bytes, memoryview, a contiguous array.
Buffer = Any


class Type(enum.IntEnum):
    """What a message says."""

    HELLO = 1
    OK = 2
    ERROR = 3
    MODEL = 4
    DATA = 5
    PROCESS = 6
    OUTPUT = 7
    STATS = 8


class Flag(enum.IntFlag):
    """Bits of a frame's flags."""

    MORE = 1
    """More requests of this flight follow: hold the answers back."""
    NOTIFY = 2
    """With PROCESS: let the OK (started) leave before the inference starts."""
    CHECKSUM = 4
    """A CRC-32 follows the payload."""
    SHAPED = 8
    """The payload begins with the shapes of its tensors."""


class State(enum.Enum):
    """What a session is ready for."""

    NEW = "new"
    READY = "ready"
    LOADED = "loaded"
    FED = "fed"
    DONE = "done"


# (state, request) -> state after its success; what is not listed is a violation.
TRANSITIONS: dict[tuple[State, int], State] = {
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
AFTER_FAILURE: dict[int, State] = {
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


def encode_header(type: int, flags: int, sequence: int, length: int) -> bytes:
    """Return the 24 bytes that go before a payload of ``length`` bytes."""
    fields = _FIELDS.pack(MAGIC, VERSION, type, flags, sequence & 0xFFFFFFFF, length)
    return fields + _CRC.pack(zlib.crc32(fields))


def decode_header(frame: memoryview) -> tuple[int, int, int, int]:
    """Return type, flags, sequence and length of a frame's first 24 bytes.

    Raises
    ------
    RemoteProtocolError
        These are no header of this protocol and version.
    """
    magic, version, type, flags, sequence, length = _FIELDS.unpack_from(frame)
    if magic != MAGIC:
        raise RemoteProtocolError(
            f"The other side does not speak the edge_tester protocol: it sent {bytes(frame[:8])!r}."
        )
    if zlib.crc32(frame[:20]) != _CRC.unpack_from(frame, 20)[0]:
        raise RemoteProtocolError("A frame header was damaged on its way: wrong checksum.")
    if version != VERSION:
        raise RemoteProtocolError(
            f"The other side speaks protocol version {version}, this one speaks {VERSION}: "
            "install the same edge_tester on both."
        )
    if not Type.HELLO <= type <= Type.STATS:
        raise RemoteProtocolError(f"Message type {type} does not exist.")
    return type, flags, sequence, length


def checksum(payloads: Iterable[Buffer]) -> bytes:
    """Return the 4 bytes that go behind a payload made of these pieces."""
    crc = 0
    for piece in payloads:
        crc = zlib.crc32(piece, crc)
    return _CRC.pack(crc)


def after(state: State, request: int) -> State:
    """Return the state after a successful request.

    Raises
    ------
    RemoteProtocolError
        The request is not allowed in this state.
    """
    following = TRANSITIONS.get((state, request))
    if following is None:
        allowed = ", ".join(Type(t).name for s, t in TRANSITIONS if s is state)
        raise RemoteProtocolError(
            f"{Type(request).name} is not allowed in state {state.value}; allowed: {allowed}."
        )
    return following


class Inbox:
    """Turns received bytes into messages, in one reusable buffer and without copies.

    The owner receives into :meth:`space`, reports the count with
    :meth:`received`, and takes messages from :meth:`next_message`. A payload
    stays valid until the next call of :meth:`space`, or, while :attr:`held` is
    set, until it is released.

    Parameters
    ----------
    limit_of : callable
        Gives the largest payload allowed for a message type now [bytes], or
        raises RemoteProtocolError; asked as soon as a header is there and before
        anything is allocated for its payload.
    """

    def __init__(self, limit_of: Callable[[int], int]) -> None:
        self.held = False
        self._limit_of = limit_of
        self._buffer = memoryview(bytearray(_SPARE_BYTES))
        self._start = 0
        self._end = 0
        self._header: tuple[int, int, int, int] | None = None
        self._wanted = HEADER_BYTES
        self._streaming = 0

    @property
    def empty(self) -> bool:
        """Whether no byte of an unfinished or unread message is here."""
        return self._start == self._end and self._header is None

    def space(self) -> memoryview:
        """Return where the next received bytes go; never empty."""
        if self._start == self._end and not self.held:
            self._start = self._end = 0
        if self._start + self._wanted > len(self._buffer):
            pending = self._buffer[self._start : self._end]
            if self.held or self._wanted > len(self._buffer):
                # A new buffer, not a grown one: payloads given out stay valid.
                larger = memoryview(bytearray(self._wanted + _SPARE_BYTES))
                larger[: len(pending)] = pending
                self._buffer = larger
            else:
                self._buffer[: len(pending)] = bytes(pending)
            self._start, self._end = 0, len(pending)
        return self._buffer[self._end :]

    def received(self, count: int) -> None:
        """Say that ``count`` bytes were put at the beginning of :meth:`space`."""
        self._end += count

    def next_message(self) -> Message | None:
        """Return the next whole message, None if more bytes are needed.

        Raises
        ------
        RemoteProtocolError
            The bytes break the protocol; the connection cannot go on.
        """
        if self._streaming:
            raise LocalProtocolError("A streamed payload must be taken before the next message.")
        if self._header is None:
            if self._end - self._start < HEADER_BYTES:
                return None
            self._header = self._checked_header()
        type, flags, sequence, length = self._header
        if type == Type.MODEL:
            self._start += HEADER_BYTES
            self._streaming = length
            self._header = None
            return Message(type, flags, sequence, length, self._buffer[:0])
        if self._end - self._start < self._wanted:
            return None
        begin = self._start + HEADER_BYTES
        payload = self._buffer[begin : begin + length]
        if flags & Flag.CHECKSUM:
            expected = _CRC.unpack_from(self._buffer, begin + length)[0]
            if zlib.crc32(payload) != expected:
                raise RemoteProtocolError("A payload was damaged on its way: wrong checksum.")
        self._start += self._wanted
        self._header = None
        self._wanted = HEADER_BYTES
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

    def _checked_header(self) -> tuple[int, int, int, int]:
        header = decode_header(self._buffer[self._start : self._start + HEADER_BYTES])
        type, flags, _, length = header
        limit = self._limit_of(type)
        if length > limit:
            raise RemoteProtocolError(
                f"A {Type(type).name} of {length} bytes is over the limit of {limit} bytes."
            )
        if type == Type.MODEL:
            self._wanted = HEADER_BYTES
        else:
            self._wanted = HEADER_BYTES + length + (4 if flags & Flag.CHECKSUM else 0)
        return header
