"""The layer for lines that lose and damage bytes: its form, and both sides over such a line."""

import heapq
import random
import zlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_tester.core.wire.seriallink import LOST_S, WINDOW, Link
from edge_tester.core.wire.serialpackets import (
    DATA_LIMIT_BYTES,
    ENCODED_LIMIT_BYTES,
    Kind,
    Packet,
    Splitter,
    decode,
    encode,
    stuffed,
    unstuffed,
)

# From the paper and its usual examples; 254 bytes without a zero are the longest block.
FORMS = {
    "00": "0101",
    "0000": "010101",
    "001100": "01021101",
    "11223344": "0511223344",
    "112200 33": "03112202 33",
    "11000000": "0211010101",
    "": "01",
    bytes(range(1, 255)).hex(): "ff" + bytes(range(1, 255)).hex(),
    bytes(range(255)).hex(): "01ff" + bytes(range(1, 255)).hex(),
    bytes(range(1, 256)).hex(): "ff" + bytes(range(1, 255)).hex() + "02ff",
    (bytes(range(2, 256)) + b"\0").hex(): "ff" + bytes(range(2, 256)).hex() + "0101",
    (bytes(range(3, 256)) + b"\0\1").hex(): "fe" + bytes(range(3, 256)).hex() + "0201",
}


@pytest.mark.parametrize("content", FORMS)
def test_the_form_without_zeros(content):
    found = stuffed(bytes.fromhex(content))
    assert bytes.fromhex(FORMS[content]) == found
    assert bytes.fromhex(content) == unstuffed(found)


@given(st.binary(max_size=1200) | st.lists(st.sampled_from([0, 1]), max_size=1200).map(bytes))
@example(b"\1" * 254)
@example(b"\1" * 508 + b"\0")
def test_the_form_has_no_zero_is_little_longer_and_is_read_back(content):
    found = stuffed(content)
    assert 0 not in found
    assert len(found) <= len(content) + 1 + len(content) // 254
    assert content == unstuffed(found)


@given(st.binary(max_size=600))
def test_any_bytes_are_a_form_or_none(noise):
    found = unstuffed(noise)
    assert found is None or len(found) <= len(noise)
    decode(noise)


@pytest.mark.parametrize("form", ["0200", "00", "0361", "0000", "ff01"])
def test_what_is_no_form(form):
    assert unstuffed(bytes.fromhex(form)) is None


def test_a_packet_to_the_byte():
    """Computed by hand: docs/serial.rst shows it."""
    packet = Packet(Kind.DATA, 0x01020304, 5, 6, 32, 0x80000001, b"\0hi")
    content = bytes.fromhex("03 01020304 0005 0006 0020 80000001 006869")
    content += zlib.crc32(content).to_bytes(4, "big")
    assert "4061c9a8" == content[-4:].hex()
    expected = "00 06 03 01 02 03 04 02 05 02 06 03 20 80 01 02 01 07 68 69 40 61 c9 a8 00"
    assert bytes.fromhex(expected) == encode(packet)
    assert [packet] == list(Splitter().packets(encode(packet)))


@given(
    st.lists(st.binary(max_size=DATA_LIMIT_BYTES), max_size=5),
    st.binary(max_size=200),
    st.integers(1, 50),
)
def test_packets_are_found_after_any_noise_in_any_pieces(contents, noise, size):
    packets = [Packet(Kind.DATA, 1, n, data=data) for n, data in enumerate(contents)]
    stream = noise + b"".join(map(encode, packets))
    splitter, found = Splitter(), []
    for begin in range(0, len(stream), size):
        found += splitter.packets(stream[begin : begin + size])
    assert packets == found


@given(st.binary(max_size=40), st.integers(0), st.integers(0, 7))
def test_a_wrong_bit_is_seen(data, place, bit):
    encoded = bytearray(encode(Packet(Kind.DATA, 7, 1, data=data))[1:-1])
    encoded[place % len(encoded)] ^= 1 << bit
    packets = list(Splitter().packets(b"\0" + bytes(encoded) + b"\0"))
    assert [] == packets


def test_noise_without_end_takes_no_memory():
    splitter = Splitter()
    for _ in range(100):
        assert [] == list(splitter.packets(b"\1" * 10_000))
    assert len(splitter._held) <= ENCODED_LIMIT_BYTES + 1
    packet = Packet(Kind.STATE, 1)
    assert [packet] == list(splitter.packets(encode(packet)))


class Line:
    """Two links over a line that keeps the order of what it does not lose; time is simulated."""

    def __init__(self, seed: int, loss: float, doubled: float = 0.0, baud: int = 115200) -> None:
        self.random = random.Random(seed)
        self.loss, self.doubled = loss, doubled
        self.now_s = 0.0
        self.byte_s = 10 / baud
        self.links = [Link(9, baud, 0.0) for _ in range(2)]
        self.free_s = [0.0, 0.0]
        self.events: list[tuple[float, int, int, Packet]] = []
        self.count = 0
        self.carried = [0, 0]
        self.received = [bytearray(), bytearray()]
        self.reading = [True, True]
        self.cut_until_s = 0.0

    def run(self, until, limit_s: float = 600.0) -> None:
        while not until():
            assert self.now_s < limit_s, "it takes too long"
            assert not any(link.lost(self.now_s) for link in self.links)
            self.step()

    def step(self) -> None:
        for side, link in enumerate(self.links):
            while self.free_s[side] <= self.now_s:
                packet = link.next_packet(self.now_s)
                if packet is None:
                    break
                size = len(encode(packet))
                self.carried[side] += size
                begin_s = max(self.now_s, self.free_s[side])
                self.free_s[side] = begin_s + size * self.byte_s
                if self.now_s < self.cut_until_s or self.random.random() < self.loss:
                    continue
                for _ in range(2 if self.random.random() < self.doubled else 1):
                    self.count += 1
                    event = (self.free_s[side], self.count, 1 - side, packet)
                    heapq.heappush(self.events, event)
        times = [link.next_s() for link in self.links] + [t for t in self.free_s if t > self.now_s]
        if self.events:
            times.append(self.events[0][0])
        self.now_s = max(self.now_s + 1e-4, min(times))
        while self.events and self.events[0][0] <= self.now_s:
            _, _, side, packet = heapq.heappop(self.events)
            self.links[side].receive(packet, self.now_s)
        for side, link in enumerate(self.links):
            while self.reading[side] and (piece := link.take()):
                self.received[side] += piece


def give(line: Line, side: int, content: bytes) -> None:
    line.links[side].send(content)
    line.links[side].finish()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 1 << 30),
    st.floats(0, 0.4),
    st.floats(0, 0.3),
    st.binary(max_size=20_000),
    st.binary(max_size=20_000),
)
def test_bytes_arrive_whole_and_in_order_whatever_is_lost(seed, loss, doubled, ours, theirs):
    line = Line(seed, loss, doubled)
    for side, content in enumerate((ours, theirs)):
        give(line, side, content)
    line.run(lambda: all(link.ended and link.delivered for link in line.links))
    assert [theirs, ours] == [bytes(one) for one in line.received]


def test_numbers_begin_again():
    """More packets than there are numbers, all but at once."""
    line = Line(1, 0.01, baud=10_000_000)
    for link in line.links:
        link._first = 65_530
        link._expected = 65_530
    content = random.Random(0).randbytes(200_000)
    give(line, 0, content)
    line.links[1].finish()
    line.run(lambda: line.links[0].delivered and line.links[1].ended)
    assert content == bytes(line.received[1])


@pytest.mark.parametrize(("loss", "share"), [(0.0, 0.94), (0.02, 0.88), (0.1, 0.75)])
def test_the_line_is_used(loss, share):
    """Of what it carries in this time, so much are the bytes that were to be sent."""
    line = Line(3, loss)
    content = bytes(200_000)
    give(line, 0, content)
    line.run(lambda: line.links[0].delivered)
    assert len(content) * line.byte_s / line.now_s > share
    # Nothing is sent again that has arrived.
    assert line.carried[0] < len(content) * 1.06 / (1 - loss) ** 1.5


def test_who_does_not_read_is_not_flooded():
    line = Line(5, 0.1)
    line.reading[1] = False
    content = bytes(range(256)) * 400
    give(line, 0, content)
    for _ in range(3000):
        line.step()
    held = sum(map(len, line.links[1]._arrived)) + len(line.links[1]._later) * 512
    assert held <= WINDOW * 512
    assert len(line.links[0]._sent) <= WINDOW
    line.reading[1] = True
    line.run(lambda: line.links[0].delivered)
    assert content == bytes(line.received[1])


def test_a_line_that_is_cut_for_a_while_goes_on():
    line = Line(7, 0.0)
    content = bytes(range(256)) * 100
    give(line, 0, content)
    for _ in range(20):
        line.step()
    line.cut_until_s = line.now_s + 3
    line.run(lambda: line.links[0].delivered)
    assert content == bytes(line.received[1])
    assert line.now_s < 3 + 2 + len(content) * 1.1 * line.byte_s


def test_who_is_gone_is_seen_and_who_is_silent_is_not():
    line = Line(9, 0.0)
    while line.now_s < 3 * LOST_S:
        assert not any(link.lost(line.now_s) for link in line.links)
        line.step()
    # What keeps it: a few bytes now and then.
    assert sum(line.carried) < 60 * 3 * LOST_S
    line.cut_until_s = float("inf")
    gone_s = line.now_s
    while not any(link.lost(line.now_s) for link in line.links):
        line.step()
        assert line.now_s - gone_s < LOST_S + 3
    assert line.now_s - gone_s > LOST_S - 3


@given(st.lists(st.tuples(*[st.integers(0, 65535)] * 4, st.integers(0, 0xFFFFFFFF)), max_size=30))
def test_no_packet_breaks_a_link(packets):
    """Whatever their numbers are, it goes on with what is right."""
    link = Link(1, 115200, 0.0)
    link.send(bytes(2000))
    for kind, sequence, expected, window, later in packets:
        packet = Packet(kind % 7, 1, sequence, expected, window, later, b"x")
        link.receive(packet, 0.0)
        for _ in range(3):
            link.next_packet(0.0)
        link.take()
        assert len(link._sent) <= WINDOW
        assert len(link._later) <= WINDOW


def test_what_has_arrived_is_not_sent_again_and_what_is_missing_is_at_once():
    link = Link(1, 115200, 0.0)
    link.receive(Packet(Kind.STATE, 1, window=WINDOW), 0.0)
    link.send(bytes(4 * 512))
    sent = [link.next_packet(0.0).sequence for _ in range(4)]
    assert [0, 1, 2, 3] == sent
    # The first is missing, and 1 and 2 are there; nothing later says what 3 is.
    link.receive(Packet(Kind.STATE, 1, window=WINDOW, later=0b011), 0.1)
    assert 0 == link.next_packet(0.1).sequence
    again = [packet.sequence for n in range(100) if (packet := link.next_packet(0.1 + n / 100))]
    assert {0, 3} == set(again)


def test_no_more_is_sent_than_the_other_side_can_take():
    link = Link(1, 115200, 0.0)
    link.receive(Packet(Kind.STATE, 1, window=2), 0.0)
    link.send(bytes(10 * 512))
    packets = [packet for _ in range(5) if (packet := link.next_packet(0.0))]
    assert [Kind.DATA, Kind.DATA] == [packet.kind for packet in packets]
    # The second has arrived, and there is room for two more.
    link.receive(Packet(Kind.STATE, 1, window=3, later=0b1), 0.01)
    packets = [packet for _ in range(5) if (packet := link.next_packet(0.01))]
    assert {0, 2} == {packet.sequence for packet in packets}
