import hashlib
import io
import tarfile

import pytest

from edge_tester.core.errors import DatasetError
from edge_tester.core.system import download as module
from edge_tester.core.system.download import PublishedFile, download, unpack
from tests.file_server import running_file_server

CONTENT = bytes(range(256)) * 4000


class Owner:
    """Whoever needs the file."""


@pytest.fixture
def server():
    with running_file_server() as running:
        running.files["data.bin"] = CONTENT
        yield running


def published(*urls, checksum=None, content=CONTENT):
    return PublishedFile(
        "data.bin", urls, checksum or f"sha256:{hashlib.sha256(content).hexdigest()}"
    )


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_gets_a_whole_file_once(server, tmp_path, algorithm):
    checksum = f"{algorithm}:{hashlib.new(algorithm, CONTENT).hexdigest()}"
    file = published(server.url("data.bin"), checksum=checksum)
    for _ in range(2):
        path = download(file, tmp_path / "made", Owner())
        assert CONTENT == path.read_bytes()
    assert [("data.bin", None)] == server.requests
    assert [path] == list(path.parent.iterdir())


def test_asks_for_the_rest_alone(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:1000])
    path = download(published(server.url("data.bin")), tmp_path, Owner())
    assert CONTENT == path.read_bytes()
    assert [("data.bin", "bytes=1000-")] == server.requests


def test_goes_on_after_each_lost_connection(server, tmp_path):
    server.cut_after = 300_000
    path = download(published(server.url("data.bin")), tmp_path, Owner())
    assert CONTENT == path.read_bytes()
    ranges = [wanted for _, wanted in server.requests]
    assert [None, *(f"bytes={300_000 * i}-" for i in range(1, len(ranges)))] == ranges
    assert 4 == len(ranges)


def test_a_connection_that_brings_nothing_is_the_end(server, tmp_path):
    server.cut_after = 0
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:1000])
    with pytest.raises(DatasetError, match="ended after 1000 of 1024000 bytes.*by hand"):
        download(published(server.url("data.bin")), tmp_path, Owner())
    assert CONTENT[:1000] == (tmp_path / "data.bin.part").read_bytes()


def test_a_server_without_ranges_sends_all_again(server, tmp_path):
    server.knows_ranges = False
    (tmp_path / "data.bin.part").write_bytes(b"?" * 1000)
    assert CONTENT == download(published(server.url("data.bin")), tmp_path, Owner()).read_bytes()


def test_a_complete_part_is_used(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    assert CONTENT == download(published(server.url("data.bin")), tmp_path, Owner()).read_bytes()


@pytest.mark.parametrize("begun", [b"", b"?" * 1000, CONTENT + b"?"])
def test_a_wrong_checksum_is_refused_and_the_file_removed(server, tmp_path, begun):
    file = published(server.url("data.bin"), content=b"other" if not begun else CONTENT)
    if begun:
        (tmp_path / "data.bin.part").write_bytes(begun)
    with pytest.raises(DatasetError, match="Owner could not.*checksum must be sha256:.*removed"):
        download(file, tmp_path, Owner())
    assert [] == list(tmp_path.iterdir())


def test_a_file_of_the_user_that_is_another_is_refused_and_kept(server, tmp_path):
    (tmp_path / "data.bin").write_bytes(b"mine")
    with pytest.raises(DatasetError, match="data.bin is not the published file"):
        download(published(server.url("data.bin")), tmp_path, Owner())
    assert b"mine" == (tmp_path / "data.bin").read_bytes()
    assert [] == server.requests


def test_mirrors_are_tried_in_order(server, tmp_path):
    server.files["wrong"] = b"something else"
    file = published(server.url("missing"), server.url("wrong"), server.url("data.bin"))
    assert CONTENT == download(file, tmp_path, Owner()).read_bytes()
    assert ["missing", "wrong", "data.bin"] == [name for name, _ in server.requests]


def test_what_no_source_has_is_to_be_put_there_by_hand(server, tmp_path):
    file = published(server.url("missing"))
    with pytest.raises(DatasetError, match=f"data.bin .*status 404.*into {tmp_path} by hand"):
        download(file, tmp_path, Owner())


def test_no_server_is_said_so(tmp_path):
    with running_file_server() as gone:
        url = gone.url("data.bin")
    with pytest.raises(DatasetError, match=f"data.bin .*no answer.*into {tmp_path} by hand"):
        download(published(url), tmp_path, Owner())


def test_ctrl_c_keeps_what_has_arrived(server, tmp_path, monkeypatch):
    read, chunks = module._next_chunk, []

    def interrupted(response):
        if chunks:
            raise KeyboardInterrupt
        chunks.append(read(response))
        return chunks[0]

    monkeypatch.setattr(module, "_next_chunk", interrupted)
    with pytest.raises(KeyboardInterrupt):
        download(published(server.url("data.bin")), tmp_path, Owner())
    assert chunks == [(tmp_path / "data.bin.part").read_bytes()]
    assert [tmp_path / "data.bin.part"] == list(tmp_path.iterdir())
    monkeypatch.undo()
    assert CONTENT == download(published(server.url("data.bin")), tmp_path, Owner()).read_bytes()
    assert ("data.bin", f"bytes={len(chunks[0])}-") == server.requests[-1]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_shown_on_a_terminal_alone(server, tmp_path, monkeypatch, capfd):
    file = published(server.url("data.bin"))
    download(file, tmp_path / "quiet", Owner())
    assert ("", "") == tuple(capfd.readouterr())
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    download(file, tmp_path / "shown", Owner())
    assert "data.bin" in terminal.getvalue()
    assert "1.0/1.0 MB" in terminal.getvalue()


def archive(folder, **contents):
    path = folder / "archive.tar.gz"
    with tarfile.open(path, "w:gz") as opened:
        for name, content in contents.items():
            entry = tarfile.TarInfo(name.replace("UP", "../"))
            entry.size = len(content)
            opened.addfile(entry, io.BytesIO(content))
    return path


def test_unpacks_what_is_wanted(tmp_path):
    path = archive(tmp_path, **{"a/1": b"one", "b": b"not wanted"})
    unpack(path, tmp_path, ("a",), Owner())
    assert b"one" == (tmp_path / "a" / "1").read_bytes()
    assert {"a", "archive.tar.gz"} == {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("contents", "said"),
    [({"b": b""}, "does not hold a"), ({"a/1": b"", "UPoutside": b"?"}, "cannot unpack.*outside")],
)
def test_unsafe_and_other_archives_are_refused(tmp_path, contents, said):
    folder = tmp_path / "folder"
    folder.mkdir()
    path = archive(tmp_path, **contents)
    with pytest.raises(DatasetError, match=f"Owner.*{said}"):
        unpack(path, folder, ("a",), Owner())
    assert [] == list(folder.iterdir())
    assert {"folder", "archive.tar.gz"} == {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("length", [0, 10, 60])
def test_corrupt_archives_are_refused(tmp_path, length):
    path = archive(tmp_path, **{"a/1": bytes(range(256)) * 40})
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DatasetError, match="cannot unpack"):
        unpack(path, tmp_path, ("a",), Owner())
    assert [path] == list(tmp_path.iterdir())
