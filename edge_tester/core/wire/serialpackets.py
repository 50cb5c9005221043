"""Packets on a serial line: bytes that find their begin again after any noise.

A packet is put into a form without zeros (COBS), and zeros stand between packets. So whatever
was lost, doubled or damaged, the next zero begins anew, and a checksum tells what is whole.
docs/serial.rst has the layout, byte by byte.

Sources: S. Cheshire and M. Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM Transactions on
Networking 7 (2), 1999. CRC-32 is that of ISO 3309 / ITU-T V.42, as in :func:`zlib.crc32`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

import msgspec

DATA_LIMIT_BYTES = 1024
_HEADER = struct.Struct(">BIHHHI")
_CRC = struct.Struct(">I")
_LONGEST_BLOCK = 254
_CONTENT_LIMIT_BYTES = _HEADER.size + DATA_LIMIT_BYTES + _CRC.size
# One byte at the begin and one for every 254.
ENCODED_LIMIT_BYTES = _CONTENT_LIMIT_BYTES + 1 + _CONTENT_LIMIT_BYTES // _LONGEST_BLOCK


class Kind:
    """What a packet says."""

    OPEN: Final = 1
    ACCEPT: Final = 2
    DATA: Final = 3
    STATE: Final = 4
    ASK: Final = 5
    END: Final = 6
    RESET: Final = 7


class Packet(msgspec.Struct, frozen=True):
    """One packet.

    Attributes
    ----------
    kind : int
    session : int
        Chosen by the host at random; 32 bits.
    sequence : int
        Of DATA and END, which count together from 0; otherwise that of the next. 16 bits.
    expected : int
        Number of the first packet that is missing on the side of the sender.
    window : int
        How many packets from ``expected`` on the sender can take.
    later : int
        Bit i, from the lowest on: packet ``expected`` + 1 + i is there.
    data : bytes
    """

    kind: int
    session: int
    sequence: int = 0
    expected: int = 0
    window: int = 0
    later: int = 0
    data: bytes = b""


def encode(packet: Packet) -> bytes:
    """Return a packet as it goes over the line, a zero before and after it."""
    content = _HEADER.pack(
        packet.kind,
        packet.session,
        packet.sequence,
        packet.expected,
        packet.window,
        packet.later,
    )
    content += packet.data
    return b"\0" + stuffed(content + _CRC.pack(zlib.crc32(content))) + b"\0"


def decode(encoded: bytes) -> Packet | None:
    """Return what stood between two zeros, None if that is no whole packet."""
    content = unstuffed(encoded)
    if content is None or len(content) < _HEADER.size + _CRC.size:
        return None
    content, crc = content[: -_CRC.size], content[-_CRC.size :]
    if zlib.crc32(content) != _CRC.unpack(crc)[0]:
        return None
    if len(content) > _HEADER.size + DATA_LIMIT_BYTES:
        return None
    kind, session, sequence, expected, window, later = _HEADER.unpack_from(content)
    data = content[_HEADER.size :]
    return Packet(kind, session, sequence, expected, window, later, data)


def stuffed(content: bytes) -> bytes:
    """Return bytes in a form that has no zero (COBS).

    Each block of it begins with the number of its bytes; a zero of the content is the end of a
    block that is shorter than the longest one.
    """
    found = bytearray()
    pieces = content.split(b"\0")
    for number, piece in enumerate(pieces):
        while len(piece) >= _LONGEST_BLOCK:
            found += b"\xff" + piece[:_LONGEST_BLOCK]
            piece = piece[_LONGEST_BLOCK:]
            if not piece and number == len(pieces) - 1:
                # The last block was a longest one, after which comes no zero.
                return bytes(found)
        found.append(len(piece) + 1)
        found += piece
    return bytes(found)


def unstuffed(encoded: bytes) -> bytes | None:
    """Return the bytes again, None if this is no such form."""
    found = bytearray()
    at, size = 0, len(encoded)
    while at < size:
        length = encoded[at]
        block = encoded[at + 1 : at + length]
        if length == 0 or len(block) != length - 1 or 0 in block:
            return None
        found += block
        at += length
        if length <= _LONGEST_BLOCK and at < size:
            found.append(0)
    return bytes(found)


class Splitter:
    """Finds packets in what comes over a line."""

    def __init__(self) -> None:
        self._held = bytearray()

    def packets(self, received: bytes) -> Iterator[Packet]:
        """Give the packets that are whole now; noise is left out."""
        *whole, rest = received.split(b"\0")
        for piece in whole:
            self._hold(piece)
            encoded, self._held = bytes(self._held), bytearray()
            if encoded and len(encoded) <= ENCODED_LIMIT_BYTES:
                packet = decode(encoded)
                if packet is not None:
                    yield packet
        self._hold(rest)

    def _hold(self, piece: bytes) -> None:
        # Of what is too long to be a packet, no more than shows that.
        self._held += piece[: ENCODED_LIMIT_BYTES + 1 - len(self._held)]
