"""Whole messages over a connection: pieces, limits, damage, flights, streams, ends."""

import itertools
import socket
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_tester.core.errors import LocalProtocolError, RemoteProtocolError, UnreachableError
from edge_tester.core.wire import frames as wire
from edge_tester.core.wire.channel import Channel
from edge_tester.core.wire.frames import TYPE_NAMES, Flag, Message, Type
from edge_tester.core.wire.states import TRANSITIONS, State, allowed

STATES = [State.NEW, State.READY, State.LOADED, State.ENDED]
ANY_SIZE = dict.fromkeys(TYPE_NAMES, 1 << 20)


class Pieces:
    """A connection from which a stream comes in pieces, and which takes at most so much."""

    def __init__(self, stream: bytes, size: int = 1 << 30):
        self.stream, self.size, self.sent, self.calls = stream, size, bytearray(), 0

    def recv_into(self, buffer: memoryview) -> int:
        count = min(len(buffer), self.size, len(self.stream))
        buffer[:count], self.stream = self.stream[:count], self.stream[count:]
        return count

    def sendmsg(self, buffers) -> int:
        piece = b"".join(bytes(memoryview(buffer)) for buffer in buffers)[: self.size]
        self.sent += piece
        self.calls += 1
        return len(piece)


def frame(type: int, payload: bytes = b"", flags: int = 0, sequence: int = 1) -> bytes:
    return wire.encode_header(type, flags, sequence, len(payload)) + payload


def received(stream: bytes, size: int = 1 << 30, limits=ANY_SIZE) -> list[tuple[int, bytes]]:
    """Return the types and payloads of the messages of a stream."""
    channel, found = Channel(Pieces(stream, size), limits), []
    while (message := channel.receive()) is not None:
        found.append((message.type, bytes(message.payload)))
    return found


def first(stream: bytes, limits=ANY_SIZE) -> Message | None:
    return Channel(Pieces(stream), limits).receive()


@pytest.mark.parametrize("size", [*range(1, 10), 23, 24, 25, 1000])
def test_messages_arrive_in_pieces_of_any_size(size):
    sent = [(Type.DATA, b"x" * 100), (Type.PROCESS, b""), (Type.STATS, b"yz")]
    assert sent == received(b"".join(frame(type, payload) for type, payload in sent), size)


@given(
    st.lists(st.binary(max_size=200_000), min_size=1, max_size=4),
    st.integers(min_value=1, max_value=150_000),
)
def test_any_payloads_in_any_pieces(payloads, size):
    stream = b"".join(frame(Type.DATA, payload) for payload in payloads)
    assert [(Type.DATA, payload) for payload in payloads] == received(stream, size)


@pytest.mark.parametrize("packet_size", [1, 24, 100])
def test_no_receive_takes_more_than_a_packet(packet_size):
    taken = []

    class Watched(Pieces):
        def recv_into(self, buffer):
            taken.append(super().recv_into(buffer))
            return taken[-1]

    stream = frame(Type.DATA, b"x" * 1000)
    channel = Channel(Watched(stream), ANY_SIZE, packet_size=packet_size)
    assert b"x" * 1000 == bytes(channel.receive().payload)
    assert packet_size == max(taken)


@given(st.binary(min_size=wire.HEADER_BYTES, max_size=300))
def test_garbage_is_refused(data):
    with pytest.raises(RemoteProtocolError):
        first(data)


def test_memory_follows_the_bytes_that_come_and_not_what_a_header_says():
    """24 bytes must not cost a gigabyte, on either side."""
    header = wire.encode_header(Type.DATA, 0, 1, 1 << 30)
    for channel in (
        Channel(Pieces(header + b"x" * 100), {Type.DATA: 1 << 30}),
        Channel(Pieces(header + b"x" * 100), {Type.DATA: 1 << 30}, streamed=[Type.DATA]),
    ):
        tracemalloc.start()
        with pytest.raises(UnreachableError, match="middle"):
            if channel.receive():
                channel.take(1 << 30)
        assert 4 << 20 > tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


@pytest.mark.parametrize("size", [1, 1000, 70_000, 1 << 30])
@pytest.mark.parametrize("checksums", [False, True])
def test_a_payload_is_taken_into_memory_that_is_there(size, checksums):
    link, content = Pieces(b""), bytes(range(250)) * 1000
    Channel(link, {}, checksums=checksums).send(Type.DATA, 0, 1, [content])
    channel = streaming(bytes(link.sent) + frame(Type.STATS), size)
    channel.receive()
    assert content[:8] == channel.take(8)
    space, filled = memoryview(bytearray(len(content) - 10)), 0
    while filled < len(space):
        filled += channel.take_into(space[filled:])
    assert content[8:-2] == bytes(space)
    with pytest.raises(RemoteProtocolError, match="2 bytes are left, 3 are needed"):
        channel.take(3)
    channel.skip()
    assert Type.STATS == channel.receive().type


def test_a_streamed_payload_that_was_damaged_is_refused():
    link = Pieces(b"")
    Channel(link, {}, checksums=True).send(Type.DATA, 0, 1, [b"abcdef"])
    link.sent[wire.HEADER_BYTES + 2] ^= 1
    channel = streaming(bytes(link.sent))
    channel.receive()
    with pytest.raises(RemoteProtocolError, match="damaged"):
        channel.take(6)


def test_a_request_of_another_time_passes_if_it_is_short():
    channel = Channel(Pieces(frame(77, b"?") + frame(Type.STATS)), {Type.STATS: 0})
    channel.unknown_limit_bytes = 100
    assert [77, Type.STATS] == [channel.receive().type, channel.receive().type]
    for wrong, limit in ((frame(77, bytes(100)), 100), (frame(77), 0), (frame(Type.OK), 100)):
        channel = Channel(Pieces(wrong), {Type.STATS: 0})
        channel.unknown_limit_bytes = limit
        with pytest.raises(RemoteProtocolError, match="not allowed"):
            channel.receive()


def test_flags_without_a_meaning_are_refused():
    with pytest.raises(RemoteProtocolError, match="0x8000 have no meaning"):
        first(frame(Type.STATS, flags=0x8000))


def test_what_comes_drop_by_drop_ends(monkeypatch):
    channel = Channel(Pieces(frame(Type.DATA, bytes(50)), 1), ANY_SIZE, "10.0.0.7")
    channel.message_limit_s = 30.0
    clock = itertools.count()
    monkeypatch.setattr("edge_tester.core.wire.channel.time.monotonic", lambda: float(next(clock)))
    with pytest.raises(UnreachableError, match="10.0.0.7 said nothing for too long"):
        channel.receive()


def test_a_long_flight_leaves_in_parts_and_in_order():
    link = Pieces(b"")
    channel = Channel(link, {})
    channel.flush_bytes = 1000
    contents = [bytes([index]) * 300 for index in range(10)]
    for content in contents:
        channel.send(Type.DATA, Flag.MORE, 1, [content])
    assert 0 < link.calls < 10
    channel.send(Type.STATS, 0, 2)
    expected = b"".join(frame(Type.DATA, content, Flag.MORE) for content in contents)
    assert expected + frame(Type.STATS, sequence=2) == bytes(link.sent)


def test_more_buffers_than_the_system_takes_at_once():
    class Kernel(Pieces):
        def sendmsg(self, buffers):
            assert len(buffers) <= 1024
            return super().sendmsg(buffers)

    link = Kernel(b"")
    channel = Channel(link, {})
    for _ in range(900):
        channel.send(Type.OK, Flag.MORE, 1, [b"a", b"b"])
    channel.send(Type.OK, 0, 2)
    assert frame(Type.OK, b"ab", Flag.MORE) * 900 + frame(Type.OK, sequence=2) == bytes(link.sent)


def test_a_length_over_the_limit_is_refused_before_anything_is_allocated():
    channel = Channel(Pieces(wire.encode_header(Type.DATA, 0, 1, 11)), {Type.DATA: 10})
    before = len(channel._buffer)
    with pytest.raises(RemoteProtocolError, match="11 bytes is over the limit of 10"):
        channel.receive()
    assert before == len(channel._buffer)
    with pytest.raises(RemoteProtocolError, match="over the limit"):
        first(wire.encode_header(Type.DATA, 0, 1, 2**64 - 1), {Type.DATA: 10})


@pytest.mark.parametrize(("state", "request_"), list(itertools.product(STATES, TYPE_NAMES)))
def test_what_a_state_does_not_allow_is_a_violation(state, request_):
    limits = dict.fromkeys(allowed(state), 100)
    if (state, request_) in TRANSITIONS:
        assert request_ == first(frame(request_), limits).type
    else:
        with pytest.raises(RemoteProtocolError, match=f"{TYPE_NAMES[request_]} is not allowed"):
            first(frame(request_), limits)


@pytest.mark.parametrize("position", range(8))
def test_every_damaged_payload_byte_is_noticed_where_a_link_has_checksums(position):
    link = Pieces(b"")
    payload = bytes(range(4))
    Channel(link, {}, checksums=True).send(Type.DATA, 0, 1, [payload])
    assert [(Type.DATA, payload)] == received(bytes(link.sent))
    link.sent[wire.HEADER_BYTES + position] ^= 0x40
    with pytest.raises(RemoteProtocolError, match="damaged"):
        first(bytes(link.sent))


def test_a_held_payload_outlives_the_messages_behind_it():
    stream = frame(Type.DATA, b"keep me") + frame(Type.STATS, b"other bytes") * 10_000
    channel = Channel(Pieces(stream, 1000), ANY_SIZE)
    data = channel.receive()
    channel.held = True
    while channel.receive():
        assert b"keep me" == bytes(data.payload)


def test_a_payload_larger_than_the_buffer_is_contiguous():
    payload = bytes(range(256)) * 4096
    assert [(Type.DATA, payload)] == received(frame(Type.DATA, payload))


def streaming(stream: bytes, size: int = 1 << 30) -> Channel:
    """A channel on which the payloads of models and data are taken piece by piece."""
    return Channel(Pieces(stream, size), ANY_SIZE, streamed=(Type.MODEL, Type.DATA))


@pytest.mark.parametrize("size", [1000, 70_000])
def test_a_model_is_streamed_and_what_follows_is_a_message(size):
    stream = frame(Type.MODEL, b"m" * 100_000) + frame(Type.STATS)
    channel = streaming(stream, size)
    assert Type.MODEL == channel.receive().type
    assert 100_000 == sum(map(len, channel.pieces()))
    assert Type.STATS == channel.receive().type
    assert channel.receive() is None


def test_a_streamed_payload_cannot_be_skipped():
    channel = streaming(frame(Type.MODEL, b"abc"))
    assert Type.MODEL == channel.receive().type
    with pytest.raises(LocalProtocolError):
        channel.receive()


def test_bytes_that_were_received_elsewhere_come_first():
    channel = Channel(Pieces(frame(Type.STATS)), ANY_SIZE)
    channel.preload(frame(Type.DATA, b"x" * 100_000))
    assert [Type.DATA, Type.STATS] == [channel.receive().type, channel.receive().type]


@pytest.mark.parametrize("count", [1, 23, 24, 30])
def test_an_end_in_the_middle_of_a_message_is_an_error(count):
    with pytest.raises(UnreachableError, match="middle of a message"):
        first(frame(Type.DATA, b"1234567")[:count])


def test_an_end_in_the_middle_of_a_model_is_an_error():
    channel = streaming(frame(Type.MODEL, b"abc")[:-1])
    channel.receive()
    with pytest.raises(UnreachableError, match="middle of a message"):
        list(channel.pieces())


def test_a_flight_leaves_at_once_with_its_last_message():
    link = Pieces(b"")
    channel = Channel(link, {})
    channel.send(Type.DATA, Flag.MORE, 1, [b"abc"])
    channel.send(Type.PROCESS, Flag.MORE, 2)
    assert 0 == link.calls
    channel.send(Type.STATS, 0, 3)
    assert 1 == link.calls
    expected = frame(Type.DATA, b"abc", Flag.MORE, 1) + frame(Type.PROCESS, b"", Flag.MORE, 2)
    assert expected + frame(Type.STATS, b"", 0, 3) == bytes(link.sent)


@pytest.mark.parametrize("size", [1, 23, 24, 25, 1000])
def test_what_the_kernel_does_not_take_at_once_is_sent_later(size):
    link = Pieces(b"", size)
    channel = Channel(link, {})
    channel.send(Type.DATA, Flag.MORE, 1, [b"abc", memoryview(bytes(1000)), b""])
    channel.send(Type.STATS, 0, 2, [b"z"])
    expected = frame(Type.DATA, b"abc" + bytes(1000), Flag.MORE) + frame(Type.STATS, b"z", 0, 2)
    assert expected == bytes(link.sent)


def test_a_lost_connection_is_named():
    ours, theirs = socket.socketpair()
    channel = Channel(ours, ANY_SIZE, "10.0.0.7:12345")
    theirs.close()
    with pytest.raises(UnreachableError, match="10.0.0.7:12345 was lost"):
        channel.send(Type.STATS, 0, 1)
    ours.close()
    with pytest.raises(UnreachableError, match="10.0.0.7:12345 was lost"):
        channel.receive()
