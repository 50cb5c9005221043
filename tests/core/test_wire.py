"""The wire format: golden frames, damage, pieces, limits, and the table of states."""

import binascii
import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_tester.core import wire
from edge_tester.core.errors import LocalProtocolError, RemoteProtocolError
from edge_tester.core.wire import TRANSITIONS, TYPE_NAMES, Flag, Inbox, Message, State, Type

# Written down by hand from the table in the module's docstring, the checksum left out.
GOLDEN_FIELDS = bytes.fromhex(
    "45444754"  # EDGT
    "01"  # version 1
    "05"  # DATA
    "0001"  # MORE
    "00000007"  # sequence 7
    "0000000000000003"  # 3 bytes
)
STATES = [State.NEW, State.READY, State.LOADED, State.FED, State.DONE]
ANY_SIZE = dict.fromkeys(TYPE_NAMES, 1 << 20)


def crc32_bit_by_bit(data: bytes) -> int:
    """CRC-32 from its definition, independent of zlib."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def feed(inbox: Inbox, data: bytes) -> list[Message]:
    """Give bytes to an inbox as a transport would; return the messages."""
    messages = []
    while data:
        space = inbox.space()
        count = min(len(space), len(data))
        space[:count] = data[:count]
        data = data[count:]
        message = inbox.take(count)
        while message is not None:
            messages.append(message)
            message = inbox.take(0)
    return messages


def frame(type: int, payload: bytes = b"", flags: int = 0, sequence: int = 1) -> bytes:
    return wire.encode_header(type, flags, sequence, len(payload)) + payload


def test_golden_frame():
    expected = GOLDEN_FIELDS + struct.pack(">I", crc32_bit_by_bit(GOLDEN_FIELDS))
    assert expected == wire.encode_header(Type.DATA, Flag.MORE, 7, 3)
    assert crc32_bit_by_bit(b"123456789") == 0xCBF43926 == binascii.crc32(b"123456789")


def test_header_round_trip():
    header = wire.encode_header(Type.MODEL, Flag.SHAPED | Flag.MORE, 255, (1 << 40) - 1)
    assert wire.HEADER_BYTES == len(header)
    expected = (Type.MODEL, Flag.SHAPED | Flag.MORE, 255, (1 << 40) - 1)
    assert expected == wire.decode_header(memoryview(header))


@pytest.mark.parametrize("position", range(wire.HEADER_BYTES))
@pytest.mark.parametrize("bit", range(8))
def test_every_damaged_header_bit_is_noticed(position, bit):
    damaged = bytearray(wire.encode_header(Type.DATA, 0, 3, 5))
    damaged[position] ^= 1 << bit
    with pytest.raises(RemoteProtocolError):
        wire.decode_header(memoryview(damaged))


@pytest.mark.parametrize("position", range(8))
def test_every_damaged_payload_byte_is_noticed_where_a_link_has_checksums(position):
    payload = bytes(range(4))
    data = bytearray(
        wire.encode_header(Type.DATA, Flag.CHECKSUM, 1, 4) + payload + wire.checksum([payload])
    )
    assert [payload] == [bytes(m.payload) for m in feed(Inbox(ANY_SIZE), bytes(data))]
    data[wire.HEADER_BYTES + position] ^= 0x40
    with pytest.raises(RemoteProtocolError, match="damaged"):
        feed(Inbox(ANY_SIZE), bytes(data))


def test_checksum_of_pieces_is_that_of_the_whole():
    assert wire.checksum([b"123", b"456789"]) == struct.pack(">I", 0xCBF43926)


@pytest.mark.parametrize("size", range(1, 10))
def test_messages_arrive_in_pieces_of_any_size(size):
    sent = [(Type.DATA, b"x" * 100), (Type.PROCESS, b""), (Type.STATS, b"yz")]
    stream = b"".join(frame(type, payload) for type, payload in sent)
    inbox, received = Inbox(ANY_SIZE), []
    for start in range(0, len(stream), size):
        for message in feed(inbox, stream[start : start + size]):
            received.append((message.type, bytes(message.payload)))
    assert sent == received
    assert not inbox.pending


@given(
    st.lists(st.binary(max_size=200_000), min_size=1, max_size=4),
    st.integers(min_value=1, max_value=150_000),
)
def test_any_payloads_in_any_pieces(payloads, size):
    stream = b"".join(frame(Type.DATA, payload) for payload in payloads)
    inbox, received = Inbox(ANY_SIZE), []
    for start in range(0, len(stream), size):
        received += [bytes(m.payload) for m in feed(inbox, stream[start : start + size])]
    assert payloads == received


@given(st.binary(min_size=wire.HEADER_BYTES, max_size=300))
def test_garbage_is_refused_and_never_allocated_for(data):
    with pytest.raises(RemoteProtocolError):
        feed(Inbox(ANY_SIZE), data)


def test_a_length_over_the_limit_is_refused_before_anything_is_allocated():
    inbox = Inbox({Type.DATA: 10})
    before = len(inbox._buffer)
    with pytest.raises(RemoteProtocolError, match="11 bytes is over the limit of 10"):
        feed(inbox, wire.encode_header(Type.DATA, 0, 1, 11))
    assert before == len(inbox._buffer)
    with pytest.raises(RemoteProtocolError, match="over the limit"):
        feed(Inbox({Type.DATA: 10}), wire.encode_header(Type.DATA, 0, 1, 2**64 - 1))


@pytest.mark.parametrize(
    ("state", "request_"),
    list(itertools.product(STATES, TYPE_NAMES)),
)
def test_what_a_state_does_not_allow_is_a_violation(state, request_):
    limits = dict.fromkeys(wire.allowed(state), 100)
    inbox = Inbox(limits)
    if (state, request_) in TRANSITIONS:
        assert request_ in [m.type for m in feed(inbox, frame(request_))]
    else:
        with pytest.raises(RemoteProtocolError, match=f"{TYPE_NAMES[request_]} is not allowed"):
            feed(inbox, frame(request_))


def test_the_classical_conversation_is_a_path_through_the_table():
    state = State.NEW
    for request in (
        Type.HELLO,
        Type.MODEL,
        *2 * (Type.DATA, Type.PROCESS, Type.OUTPUT, Type.STATS),
    ):
        state = TRANSITIONS[state, request]
    assert State.DONE == state


def test_a_held_payload_outlives_the_messages_behind_it():
    inbox = Inbox(ANY_SIZE)
    (data,) = feed(inbox, frame(Type.DATA, b"keep me"))
    inbox.held = True
    for _ in range(10_000):
        feed(inbox, frame(Type.STATS, b"other bytes"))
    assert b"keep me" == bytes(data.payload)


def test_a_payload_larger_than_the_buffer_is_contiguous():
    payload = bytes(range(256)) * 4096
    (message,) = feed(Inbox(ANY_SIZE), frame(Type.DATA, payload))
    assert payload == bytes(message.payload)


def test_a_model_is_streamed_and_what_follows_is_a_message():
    inbox = Inbox(ANY_SIZE)
    stream = frame(Type.MODEL, b"m" * 100_000) + frame(Type.STATS)
    pieces, messages = [], []
    while stream:
        space = inbox.space()
        count = min(len(space), len(stream), 70_000)
        space[:count] = stream[:count]
        stream = stream[count:]
        inbox.add(count)
        while True:
            while piece := inbox.next_piece():
                pieces.append(bytes(piece))
            if piece is not None:
                break
            message = inbox.take(0)
            if message is None:
                break
            messages.append(message.type)
    assert [Type.MODEL, Type.STATS] == messages
    assert 100_000 == sum(map(len, pieces))


def test_a_streamed_payload_cannot_be_skipped():
    inbox = Inbox(ANY_SIZE)
    feed_header = frame(Type.MODEL, b"abc")
    inbox.space()[: len(feed_header)] = feed_header
    assert Type.MODEL == inbox.take(len(feed_header)).type
    with pytest.raises(LocalProtocolError):
        inbox.take(0)
