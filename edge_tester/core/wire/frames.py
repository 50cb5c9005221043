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

from edge_tester.core.errors import RemoteProtocolError

MAGIC = b"EDGT"
VERSION = 1
HEADER_BYTES = 24
CHECKSUM_BYTES = 4
_FIELDS = struct.Struct(">4sBBHIQ")
_HEADER = struct.Struct(">4sBBHIQI")
_crc32 = zlib.crc32
_CRC = struct.Struct(">I")

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
        More messages of this flight follow. Answers to a request with it have it too:
        they leave together with the first answer that has not.
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
SEQUENCES = 16


@functools.lru_cache(maxsize=16 * SEQUENCES)
def encode_header(type: int, flags: int, sequence: int, length: int) -> bytes:
    """Return the 24 bytes that go before a payload of ``length`` bytes."""
    fields = _FIELDS.pack(MAGIC, VERSION, type, flags, sequence, length)
    return fields + _CRC.pack(_crc32(fields))


@functools.lru_cache(maxsize=16 * SEQUENCES)
def decode_header(header: bytes) -> tuple[int, int, int, int]:
    """Return type, flags, sequence and payload length of 24 bytes.

    Raises
    ------
    RemoteProtocolError
        They are no header of this protocol and version.
    """
    magic, version, type, flags, sequence, length, crc = _HEADER.unpack(header)
    if magic != MAGIC:
        raise RemoteProtocolError(
            f"The other side does not speak the edge_tester protocol: it sent {header[:8]!r}."
        )
    if _crc32(header[: _FIELDS.size]) != crc:
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
