"""The frames that pass between host and target; no input or output happens here.

A header of 24 bytes, the payload and, where the link needs it, a checksum of the payload;
docs/wire.rst has the table. CRC-32 is that of ISO 3309 / ITU-T V.42, as in :func:`zlib.crc32`.
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
VERSION = 2
HEADER_BYTES = 24
CHECKSUM_BYTES = 4
MAC_BYTES = 16
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
    OFFER: Final = 9
    PROFILE: Final = 10
    PROOF: Final = 11


TYPE_NAMES: dict[int, str] = {n: name for name, n in vars(Type).items() if isinstance(n, int)}


class Flag:
    """Bits of a frame's flags; all others are zero.

    Attributes
    ----------
    MORE
        More messages of this flight follow. Answers to a request with it have it too:
        they leave together with the first answer that has not.
    CHECKSUM
        A CRC-32 follows the payload.
    MAC
        A code that authenticates the frame follows the payload.
    """

    MORE: Final = 1
    CHECKSUM: Final = 2
    MAC: Final = 4


KNOWN_FLAGS = Flag.MORE | Flag.CHECKSUM | Flag.MAC

HELLO_LIMIT_BYTES = 1 << 16
ERROR_LIMIT_BYTES = 1 << 16
DESCRIPTION_LIMIT_BYTES = 1 << 20
PROFILE_LIMIT_BYTES = 1 << 22
PROOF_LIMIT_BYTES = 1 << 10
SHAPES_LIMIT_BYTES = 1 << 16
OPEN_DATA_LIMIT_BYTES = 1 << 30
TRANSFER_LIMIT_BYTES = 1 << 40


class VersionMismatchError(RemoteProtocolError):
    """The other side speaks another version of the protocol.

    Attributes
    ----------
    version, type, flags, sequence, length : int
        What its header says; a HELLO has the same layout in every version.
    """

    def __init__(self, version: int, type: int, flags: int, sequence: int, length: int) -> None:
        super().__init__(
            f"The other side speaks protocol version {version}, this one speaks {VERSION}: "
            "install the same edge_tester on both."
        )
        self.version = version
        self.type = type
        self.flags = flags
        self.sequence = sequence
        self.length = length


class Message(msgspec.Struct, gc=False):
    """One frame as received.

    Attributes
    ----------
    type, flags, sequence : int
    length : int
        Payload length [bytes].
    payload : memoryview
        The payload; empty where it is streamed.
    """

    type: int
    flags: int
    sequence: int
    length: int
    payload: memoryview


# Sequence numbers repeat after this many requests, so that the few headers of a
# conversation are made once.
SEQUENCES = 1024


@functools.lru_cache(maxsize=4 * SEQUENCES)
def encode_header(type: int, flags: int, sequence: int, length: int) -> bytes:
    """Return the 24 bytes that go before a payload of ``length`` bytes."""
    fields = _FIELDS.pack(MAGIC, VERSION, type, flags, sequence, length)
    return fields + _CRC.pack(_crc32(fields))


@functools.lru_cache(maxsize=4 * SEQUENCES)
def decode_header(header: bytes) -> tuple[int, int, int, int]:
    """Return type, flags, sequence and payload length of 24 bytes.

    Raises
    ------
    RemoteProtocolError
        They are no header of this protocol.
    VersionMismatchError
        They are one of another version.
    """
    magic, version, type, flags, sequence, length, crc = _HEADER.unpack(header)
    if magic != MAGIC:
        raise RemoteProtocolError(
            f"The other side does not speak the edge_tester protocol: it sent {header[:8]!r}."
        )
    if _crc32(header[: _FIELDS.size]) != crc:
        raise RemoteProtocolError("A frame header was damaged on its way: wrong checksum.")
    if version != VERSION:
        raise VersionMismatchError(version, type, flags, sequence, length)
    return type, flags, sequence, length


def require_unknown(
    limits: dict[int, int], unknown_limit_bytes: int, type: int, length: int
) -> None:
    """Refuse a message that is too long or not expected, but for one of an unknown type.

    Raises
    ------
    RemoteProtocolError
    """
    limit = limits.get(type)
    if limit is not None:
        raise RemoteProtocolError(
            f"A {TYPE_NAMES[type]} of {length} bytes is over the limit of {limit} bytes."
        )
    if type in TYPE_NAMES or length >= unknown_limit_bytes:
        named = TYPE_NAMES.get(type, f"Message type {type}")
        names = ", ".join(TYPE_NAMES[known] for known in limits)
        raise RemoteProtocolError(f"{named} is not allowed now; allowed: {names}.")


class RunningChecksum:
    """That of one payload while it passes."""

    def __init__(self) -> None:
        self._crc = 0

    def update(self, piece: Buffer) -> None:
        """Take in what comes next."""
        self._crc = _crc32(piece, self._crc)

    def finish(self) -> bytes:
        """Return the checksum of all that was taken in."""
        return _CRC.pack(self._crc)


def checksum(payloads: Iterable[Buffer]) -> bytes:
    """Return the 4 bytes that go behind a payload made of these pieces."""
    crc = 0
    for piece in payloads:
        crc = _crc32(piece, crc)
    return _CRC.pack(crc)
