"""Models as they arrive on the target's disk."""

import errno
import functools
import hashlib
import itertools
import os
import shutil
from pathlib import Path

import pytest

from edge_tester.core.agent import storage
from edge_tester.core.agent.shelf import Shelf
from edge_tester.core.agent.storage import Pace, Store, receive_description
from edge_tester.core.errors import ModelError, RemoteProtocolError, TargetError, UnreachableError
from edge_tester.core.system.files import CHUNK_BYTES
from edge_tester.core.wire.channel import Channel
from edge_tester.core.wire.frames import Type, encode_header
from edge_tester.core.wire.payloads import ModelDescription, encode
from tests.agents import echo_model, running_agent, sample


def facts_of(content: bytes) -> dict:
    return {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def payload(content: bytes, **changes) -> bytes:
    """Return what a MODEL carries."""
    description = encode(ModelDescription(format="echo", **{**facts_of(content), **changes}))
    return len(description).to_bytes(4, "big") + description + content


class Pieces:
    """A connection from which data come in pieces of one size."""

    def __init__(self, data: bytes, size: int):
        self.data, self.size = memoryview(data), size

    def recv_into(self, buffer: memoryview) -> int:
        count = min(len(buffer), self.size, len(self.data))
        buffer[:count], self.data = self.data[:count], self.data[count:]
        return count

    def sendmsg(self, buffers) -> int:
        raise AssertionError("nothing is to be sent")


def arrived(data: bytes, size: int = 1 << 20, length: int | None = None) -> Channel:
    """Return a channel that has received the header of a MODEL."""
    length = len(data) if length is None else length
    stream = encode_header(Type.MODEL, 0, 1, length) + data
    channel = Channel(Pieces(stream, size), {Type.MODEL: 1 << 60}, streamed=[Type.MODEL])
    channel.receive()
    return channel


def kept(folder: Path, data: bytes, path: Path, size: int = 1 << 20) -> None:
    channel = arrived(data, size)
    Store(Shelf(folder)).receive(channel, receive_description(channel, len(data)), path)


@pytest.mark.parametrize("size", [1, 7, 4096, CHUNK_BYTES + 1, 1 << 23])
@pytest.mark.parametrize("count", [0, 1, 1000, 3 * CHUNK_BYTES + 5])
def test_what_is_sent_is_stored(tmp_path, size, count):
    if size < 4096 < count:
        count = 50_000
    content = bytes(range(251)) * (count // 251 + 1)
    data = payload(content[:count])
    path = tmp_path / "folder" / "model.echo"
    kept(tmp_path / "store", data, path, size)
    assert content[:count] == path.read_bytes()
    assert [path] == list(path.parent.iterdir())


def test_the_same_model_again_needs_no_bytes(tmp_path):
    content, store = b"a model of some size", Store(Shelf(tmp_path / "store"))
    described = ModelDescription(format="echo", **facts_of(content))
    assert 0 == store.stored_bytes(described)
    kept(tmp_path / "store", payload(content), tmp_path / "first")
    assert len(content) == store.stored_bytes(described)
    again = payload(b"", **facts_of(content), offset=len(content))
    kept(tmp_path / "store", again, tmp_path / "second")
    assert content == (tmp_path / "second").read_bytes()


@pytest.mark.parametrize("cut", [1, CHUNK_BYTES, 3 * CHUNK_BYTES - 1])
def test_an_upload_goes_on_where_it_was_cut_off(tmp_path, cut):
    content = (bytes(range(251)) * (CHUNK_BYTES // 64))[: 3 * CHUNK_BYTES]
    whole = payload(content)
    channel = arrived(whole[: len(whole) - len(content) + cut], length=len(whole))
    described = receive_description(channel, len(whole))
    store = Store(Shelf(tmp_path / "store"))
    with pytest.raises(UnreachableError, match="middle of a message"):
        store.receive(channel, described, tmp_path / "model")
    assert not (tmp_path / "model").exists()
    offset = store.stored_bytes(described)
    assert cut - CHUNK_BYTES < offset <= cut
    rest = payload(content[offset:], **facts_of(content), offset=offset)
    kept(tmp_path / "store", rest, tmp_path / "model")
    assert content == (tmp_path / "model").read_bytes()


@pytest.mark.parametrize("change", [b"b", b"longer than it was", b""])
def test_what_was_changed_since_is_not_used_and_is_forgotten(tmp_path, change):
    """A model that runs can write to whatever its process can."""
    content = b"a model"
    kept(tmp_path / "store", payload(content), tmp_path / "model")
    (stored,) = (tmp_path / "store").iterdir()
    stored.write_bytes(change)
    again = payload(b"", **facts_of(content), offset=len(content))
    with pytest.raises(TargetError, match="was changed since") as caught:
        kept(tmp_path / "store", again, tmp_path / "again")
    assert "storage" == caught.value.code
    assert [] == list((tmp_path / "store").iterdir())
    assert not (tmp_path / "again").exists()


def test_a_store_on_another_file_system_copies(tmp_path, monkeypatch):
    def refuse(*names):
        raise OSError(errno.EXDEV, "another device")

    monkeypatch.setattr(os, "link", refuse)
    kept(tmp_path / "store", payload(b"a model"), tmp_path / "model")
    assert b"a model" == (tmp_path / "model").read_bytes()


def test_a_damaged_model_is_refused_and_an_earlier_one_stays(tmp_path):
    path = tmp_path / "model.echo"
    path.write_bytes(b"earlier")
    with pytest.raises(ModelError, match="damaged on its way"):
        kept(tmp_path / "store", payload(b"damaged", sha256="0" * 64), path, 5)
    assert b"earlier" == path.read_bytes()
    assert [] == list((tmp_path / "store").iterdir())


def test_a_model_larger_than_the_free_space_is_refused(tmp_path):
    size_bytes = shutil.disk_usage(tmp_path).free + (1 << 40)
    data = payload(b"", size_bytes=size_bytes)
    channel = arrived(data, length=len(data) + size_bytes)
    described = receive_description(channel, len(data) + size_bytes)
    with pytest.raises(TargetError, match="no space for the model of") as caught:
        Store(Shelf(tmp_path / "store")).receive(channel, described, tmp_path / "model.echo")
    assert "storage" == caught.value.code
    assert [] == list((tmp_path / "store").iterdir())


@pytest.mark.parametrize("wrong", ["store", "model"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path, wrong):
    (tmp_path / "file").touch()
    places = {"store": tmp_path / "store", "model": tmp_path / "model", wrong: tmp_path / "file/x"}
    said = "its store" if wrong == "store" else ".*file/x"
    with pytest.raises(TargetError, match=f"cannot write the model to {said}") as caught:
        kept(places["store"], payload(b"model"), places["model"])
    assert "storage" == caught.value.code


@pytest.mark.parametrize("cut", [0, 3, 4, 20])
def test_a_payload_without_a_whole_description_is_a_violation(cut):
    data = payload(b"")[:cut]
    with pytest.raises(RemoteProtocolError):
        receive_description(arrived(data, 2), len(data))


@pytest.mark.parametrize("change", [{"size_bytes": 6}, {"offset": 1}, {"size_bytes": 4}])
def test_sizes_that_disagree_are_a_violation(change):
    data = payload(b"model", **change)
    with pytest.raises(RemoteProtocolError, match="cannot hold"):
        receive_description(arrived(data), len(data))


def pace_of(interval_s: float) -> Pace:
    """Whose clock goes on by so much whenever it is read."""
    return Pace(functools.partial(next, itertools.count(0, interval_s)))


def test_a_model_that_drips_does_not_hold_the_target():
    """A byte every ten seconds: each is a sign of life, and they would go on for ever."""
    pace, taken = pace_of(10), 0
    with pytest.raises(RemoteProtocolError, match="at least 100 bytes per second, got 7 bytes"):
        for _ in range(1000):
            pace.count(1)
            taken += 1
    assert 6 == taken


@pytest.mark.parametrize(("size_bytes", "interval_s", "pieces"), [(960, 1, 1000), (1, 30, 2)])
def test_a_slow_link_is_no_drip(size_bytes, interval_s, pieces):
    """A serial line of 9600 baud; and one that stands still for most of the grace."""
    pace = pace_of(interval_s)
    for _ in range(pieces):
        pace.count(size_bytes)


def test_the_pace_is_seen_where_a_model_is_received(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "RATE_GRACE_S", 0)
    monkeypatch.setattr(storage, "MINIMUM_RATE", 1e12)
    data = payload(b"model")
    channel = arrived(data)
    described = receive_description(channel, len(data))
    with pytest.raises(RemoteProtocolError, match="bytes per second"):
        Store(Shelf(tmp_path / "store")).receive(channel, described, tmp_path / "model.echo")


def test_old_models_make_room_for_a_new_one(tmp_path, monkeypatch):
    """Those that were not used for longest go first, and only as many as it takes."""
    folder = tmp_path / "store"
    contents = [bytes([number]) * 100 for number in range(4)]
    for number, content in enumerate(contents[:3]):
        kept(folder, payload(content), tmp_path / "model")
        os.utime(folder / facts_of(content)["sha256"], (number, number))

    def usage(path):
        return usage_of(path)._replace(free=350 - sum(p.stat().st_size for p in folder.iterdir()))

    usage_of = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", usage)
    kept(folder, payload(contents[3]), tmp_path / "model")
    left = {facts_of(content)["sha256"] for content in contents[1:]}
    assert left == {path.name for path in folder.iterdir()}


def test_a_model_is_kept_from_one_client_to_the_next(tmp_path):
    with running_agent(tmp_path) as agent:
        sent = []
        for _ in range(2):
            client, told = agent.connect(), []
            client.upload_model(echo_model(tmp_path), progress=told.append)
            assert [[0, 2, 3, 4]] == client.run_sample(sample()).outputs[0].tolist()
            client.disconnect()
            sent.append(told[0])
    assert [0, echo_model(tmp_path).size_bytes] == sent


def test_a_store_may_outlive_its_agent(tmp_path):
    words = ("--store-directory", str(tmp_path / "store"))
    for expected in (0, echo_model(tmp_path).size_bytes):
        with running_agent(tmp_path, *words) as agent:
            client, told = agent.connect(), []
            client.upload_model(echo_model(tmp_path), progress=told.append)
            client.disconnect()
        assert expected == told[0]
