"""Models as they arrive on the target's disk."""

import hashlib
import shutil

import pytest

from edge_tester.core.agent.storage import Stream, paced, store
from edge_tester.core.errors import ModelError, RemoteProtocolError, TargetError
from edge_tester.core.system.files import CHUNK_BYTES
from edge_tester.core.wire.payloads import ModelDescription, encode


def payload(content: bytes, **changes) -> bytes:
    """Return what a MODEL carries."""
    facts = {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    description = encode(ModelDescription(format="echo", **{**facts, **changes}))
    return len(description).to_bytes(4, "big") + description + content


def pieces(data: bytes, size: int):
    """Give data in pieces of one size."""
    for start in range(0, len(data), size):
        yield memoryview(data)[start : start + size]


@pytest.mark.parametrize("size", [1, 7, 4096, CHUNK_BYTES + 1, 1 << 23])
@pytest.mark.parametrize("count", [0, 1, 1000, 3 * CHUNK_BYTES + 5])
def test_what_is_sent_is_stored(tmp_path, size, count):
    if size < 4096 < count:
        count = 50_000
    content = bytes(range(251)) * (count // 251 + 1)
    data = payload(content[:count])
    path = tmp_path / "folder" / "model.echo"
    store(Stream.begin(pieces(data, size), len(data)), path)
    assert content[:count] == path.read_bytes()
    assert [path] == list(path.parent.iterdir())


def test_a_damaged_model_is_refused_and_an_earlier_one_stays(tmp_path):
    path = tmp_path / "model.echo"
    path.write_bytes(b"earlier")
    data = payload(b"damaged", sha256="0" * 64)
    with pytest.raises(ModelError, match="damaged on its way"):
        store(Stream.begin(pieces(data, 5), len(data)), path)
    assert b"earlier" == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_a_model_larger_than_the_free_space_is_received_and_refused(tmp_path):
    # Only announced: the answer must not wait for bytes that cannot be kept.
    size_bytes = shutil.disk_usage(tmp_path).free + (1 << 40)
    data = payload(b"", size_bytes=size_bytes)
    rest = pieces(data, 64)
    stream = Stream.begin(rest, len(data) + size_bytes)
    with pytest.raises(TargetError, match="no space for the model of") as caught:
        store(stream, tmp_path / "model.echo")
    assert "storage" == caught.value.code
    assert [] == list(rest)
    assert [] == list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    data = payload(b"model")
    with pytest.raises(TargetError, match="cannot write the model to .*file/model.echo") as caught:
        store(Stream.begin(pieces(data, 64), len(data)), tmp_path / "file" / "model.echo")
    assert "storage" == caught.value.code


@pytest.mark.parametrize("cut", [0, 3, 4, 20])
def test_a_payload_without_a_whole_description_is_a_violation(cut):
    data = payload(b"")[:cut]
    with pytest.raises(RemoteProtocolError):
        Stream.begin(pieces(data, 2), len(data))


def test_sizes_that_disagree_are_a_violation():
    data = payload(b"model", size_bytes=6)
    with pytest.raises(RemoteProtocolError, match="cannot hold"):
        Stream.begin(pieces(data, 64), len(data))


def test_a_model_that_drips_does_not_hold_the_target():
    """A byte every ten seconds: each is a sign of life, and they would go on for ever."""
    now_s = iter(range(0, 10_000, 10))
    taken = 0
    with pytest.raises(RemoteProtocolError, match="at least 100 bytes per second, got 7 bytes"):
        for _ in paced(iter([memoryview(b"x")] * 1000), lambda: float(next(now_s))):
            taken += 1
    assert 6 == taken


def test_a_slow_link_is_no_drip():
    """A serial line of 9600 baud; and one that stands still for most of the grace."""
    for pieces, interval_s in (([memoryview(bytes(960))] * 1000, 1), ([memoryview(b"x")] * 2, 30)):
        now_s = iter(range(0, 10_000, interval_s))
        assert pieces == list(paced(iter(pieces), lambda now_s=now_s: float(next(now_s))))
