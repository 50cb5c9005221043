"""What messages carry: fixed structures, written down by hand, and what cannot be."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_tester.core.errors import RemoteProtocolError
from edge_tester.core.wire import payloads
from edge_tester.core.wire.payloads import Block, Counters, ModelDescription, Offered

BLOCK = Block(first=1, slots=2, inferences=3, untimed=4, arrivals_ns=(0, 5, 1 << 40))
BLOCK_BYTES = bytes.fromhex(
    "00000001"  # first slot
    "00000002"  # slots
    "00000003"  # inferences
    "00000004"  # untimed
    "00000003"  # arrivals
    "00000000"
    "0000000000000000"
    "0000000000000005"
    "0000010000000000"
)


def test_a_block_as_bytes_and_back():
    assert BLOCK_BYTES == BLOCK.encoded()
    assert BLOCK == Block.decoded(memoryview(BLOCK_BYTES))
    plain = Block(0, 1, 1, 0)
    assert plain == Block.decoded(memoryview(plain.encoded()))


@pytest.mark.parametrize(
    "wrong",
    [
        BLOCK_BYTES[:-1],
        BLOCK_BYTES + b"x",
        BLOCK_BYTES[:20],
        Block(0, 0, 1, 0).encoded(),
        Block(0, 1, 0, 0).encoded(),
        Block(0, 1, (1 << 16) + 1, 0).encoded(),
        Block(0, 1, 1, (1 << 16) + 1).encoded(),
        Block(0, 1, 2, 0, (1,)).encoded(),
        Block(0, 1, 2, 0, (2, 1)).encoded(),
    ],
)
def test_blocks_that_cannot_be_are_refused(wrong):
    with pytest.raises(RemoteProtocolError):
        Block.decoded(memoryview(wrong))


@given(st.binary(max_size=100))
def test_no_bytes_do_more_than_be_a_block_or_be_refused(content):
    try:
        block = Block.decoded(memoryview(content))
    except RemoteProtocolError:
        return
    assert content[:20] == block.encoded()[:20]
    assert 1 <= block.inferences <= payloads.INFERENCES_LIMIT


def test_times_as_bytes_and_back():
    content = bytes.fromhex(
        "00000002" "00000000" "0000000000000009"
        "000000000000000a" "0000000000000014"
        "000000000000000f" "0000000000000014"
    )  # fmt: skip
    assert content == payloads.encode_times(9, [10, 20], [15, 20])
    assert (9, [10, 20], [15, 20]) == payloads.decode_times(memoryview(content), 2)


@pytest.mark.parametrize(
    ("times", "count"),
    [
        ((0, [10], [15]), 2),
        ((0, [10], [9]), 1),
        ((0, [10, 14], [15, 20]), 2),
        ((11, [10], [15]), 1),
        ((0, [10], [1 << 63]), 1),
        ((0, [(1 << 64) - 5], [(1 << 64) - 1]), 1),
    ],
)
def test_times_that_cannot_be_are_refused(times, count):
    with pytest.raises(RemoteProtocolError, match="times"):
        payloads.decode_times(memoryview(payloads.encode_times(*times)), count)


@pytest.mark.parametrize(
    ("type", "wrong"),
    [
        (Offered, {"stored_bytes": -1}),
        (Offered, {"stored_bytes": 1.5}),
        (Counters, {"cpu_time_ns": -1}),
        (Counters, {"inferences": "many"}),
        (ModelDescription, {"format": "x", "size_bytes": 1, "sha256": "../../etc"}),
        (ModelDescription, {"format": "x", "size_bytes": 1, "sha256": "0" * 64, "slots": 0}),
        (ModelDescription, {"format": "x", "size_bytes": -1, "sha256": "0" * 64}),
    ],
)
def test_numbers_that_cannot_be_are_refused(type, wrong):
    with pytest.raises(RemoteProtocolError, match=f"no {type.__name__}"):
        payloads.decode(payloads.encode(wrong), type)


def test_what_a_later_version_adds_is_ignored():
    later = payloads.encode({"stored_bytes": 7, "checked": True})
    assert Offered(stored_bytes=7) == payloads.decode(later, Offered)


def test_tensors_begin_with_slot_and_bytes_of_shapes():
    assert struct.pack(">II", 3, 16) == payloads.TENSORS.pack(3, 16)
