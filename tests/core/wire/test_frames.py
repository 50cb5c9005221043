"""The wire format: golden frames and damage."""

import binascii
import struct

import pytest

from edge_tester.core.errors import RemoteProtocolError
from edge_tester.core.wire import frames as wire
from edge_tester.core.wire.frames import Flag, Type, VersionMismatchError

# Written down by hand from the table in the module's docstring, the checksum left out.
GOLDEN_FIELDS = bytes.fromhex(
    "45444754"  # EDGT
    "02"  # version 2
    "05"  # DATA
    "0001"  # MORE
    "00000007"  # sequence 7
    "0000000000000003"  # 3 bytes
)


def crc32_bit_by_bit(data: bytes) -> int:
    """CRC-32 from its definition, independent of zlib."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_golden_frame():
    expected = GOLDEN_FIELDS + struct.pack(">I", crc32_bit_by_bit(GOLDEN_FIELDS))
    assert expected == wire.encode_header(Type.DATA, Flag.MORE, 7, 3)
    assert crc32_bit_by_bit(b"123456789") == 0xCBF43926 == binascii.crc32(b"123456789")


def test_header_round_trip():
    header = wire.encode_header(Type.MODEL, Flag.CHECKSUM | Flag.MORE, 255, (1 << 40) - 1)
    assert wire.HEADER_BYTES == len(header)
    expected = (Type.MODEL, Flag.CHECKSUM | Flag.MORE, 255, (1 << 40) - 1)
    assert expected == wire.decode_header(header)


@pytest.mark.parametrize("position", range(wire.HEADER_BYTES))
@pytest.mark.parametrize("bit", range(8))
def test_every_damaged_header_bit_is_noticed(position, bit):
    damaged = bytearray(wire.encode_header(Type.DATA, 0, 3, 5))
    damaged[position] ^= 1 << bit
    with pytest.raises(RemoteProtocolError):
        wire.decode_header(bytes(damaged))


def test_checksum_of_pieces_is_that_of_the_whole():
    assert wire.checksum([b"123", b"456789"]) == struct.pack(">I", 0xCBF43926)


@pytest.mark.parametrize("version", [0, 1, 3, 255])
def test_another_version_is_told_from_garbage(version):
    fields = struct.pack(">4sBBHIQ", b"EDGT", version, Type.HELLO, 0, 1, 0)
    with pytest.raises(VersionMismatchError, match=f"version {version}, this one speaks 2") as it:
        wire.decode_header(fields + struct.pack(">I", binascii.crc32(fields)))
    assert (version, Type.HELLO, 0, 1, 0) == (
        it.value.version,
        it.value.type,
        it.value.flags,
        it.value.sequence,
        it.value.length,
    )
