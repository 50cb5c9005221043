import gzip
import hashlib
import io
import os
import stat
import tarfile

import pytest

from edge_tester.core.errors import ModelError
from edge_tester.core.system.files import (
    CHUNK_BYTES,
    atomic_folder,
    atomic_path,
    is_archive,
    sha256_of,
    unpacked,
    write_atomically,
)


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / "new" / "folder" / "file.bin"
    with atomic_path(path) as temporary:
        assert path.name == temporary.name and path.parent == temporary.parent.parent
        assert 0 == temporary.stat().st_size
        temporary.write_bytes(b"content")
        assert not path.exists()
    assert b"content" == path.read_bytes()
    assert [path] == list(path.parent.iterdir())


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_keeps_the_earlier_file(tmp_path, error):
    path = tmp_path / "file.bin"
    path.write_bytes(b"earlier")
    with pytest.raises(error), atomic_path(path) as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert b"earlier" == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_permissions_are_those_of_an_ordinary_file(tmp_path, umask):
    earlier = os.umask(umask)
    try:
        write_atomically(tmp_path / "file.bin", b"content")
        now = os.umask(umask)
    finally:
        os.umask(earlier)
    assert umask == now
    assert 0o666 & ~umask == stat.S_IMODE((tmp_path / "file.bin").stat().st_mode)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_checksums(tmp_path, size):
    path = tmp_path / "file.bin"
    content = os.urandom(size)
    path.write_bytes(content)
    assert hashlib.sha256(content).hexdigest() == sha256_of(path)


def test_a_folder_is_replaced_whole(tmp_path):
    path = tmp_path / "model.mlpackage"
    for content in ("first", "second"):
        with atomic_folder(path) as temporary:
            assert temporary.suffix == path.suffix
            (temporary / content).write_text(content)
    assert [path / "second"] == list(path.iterdir())
    assert [path] == list(tmp_path.iterdir())


def test_a_folder_stays_when_its_replacement_fails(tmp_path):
    path = tmp_path / "model.mlpackage"
    path.mkdir()
    (path / "first").write_text("first")
    with pytest.raises(KeyboardInterrupt), atomic_folder(path) as temporary:
        (temporary / "second").write_text("second")
        raise KeyboardInterrupt
    assert [path / "first"] == list(path.iterdir())
    assert [path] == list(tmp_path.iterdir())


def archive_in(path, *entries):
    with tarfile.open(path, "w") as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    return path


def entry_of(name, size=1, type=tarfile.REGTYPE, **attributes):
    entry = tarfile.TarInfo(name)
    entry.size, entry.type = size, type
    for key, value in attributes.items():
        setattr(entry, key, value)
    return entry


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([entry_of(f"file-{n}", 0) for n in range(11)], "at most 10 files of .* got 11"),
        ([entry_of("a", 600), entry_of("b", 600)], "of 1,000 bytes in all, got 2 of 1,200"),
        ([entry_of("good"), entry_of("link", 0, tarfile.SYMTYPE, linkname="good")], "plain files"),
        ([entry_of("pipe", 0, tarfile.FIFOTYPE)], "plain files and folders alone, got pipe"),
        ([entry_of("../out")], "is no archive of a model"),
    ],
    ids=["many", "large", "link", "pipe", "elsewhere"],
)
def test_an_archive_beyond_its_limits_writes_nothing(tmp_path, entries, said):
    archive = archive_in(tmp_path / "a.tar", *entries)
    with pytest.raises(ModelError, match=said):
        unpacked(archive, tmp_path / "folder", members_limit=10, size_limit_bytes=1000)
    assert [archive] == list(tmp_path.rglob("*"))


def test_an_archive_holds_no_more_bytes_than_it_has(tmp_path):
    """Compressed, or with holes, a few bytes would become many."""
    plain = archive_in(tmp_path / "plain.tar", entry_of("zeros", 50_000_000))
    small = tmp_path / "small.tar"
    small.write_bytes(gzip.compress(plain.read_bytes(), 1))
    assert is_archive(plain)
    assert not is_archive(small)
    with pytest.raises(ModelError, match="is no archive"):
        unpacked(small, tmp_path / "folder")
    holes = tmp_path / "holes.tar"
    entry = entry_of("holes", 0)
    entry.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.size": str(1 << 40),
        "GNU.sparse.map": "0,0",
    }
    with tarfile.open(holes, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(entry)
    with pytest.raises(ModelError, match="at most|plain files"):
        unpacked(holes, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
