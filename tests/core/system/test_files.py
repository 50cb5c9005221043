import hashlib
import os
import stat

import pytest

from edge_tester.core.system.files import (
    CHUNK_BYTES,
    atomic_folder,
    atomic_path,
    sha256_of,
    write_atomically,
)


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / "new" / "folder" / "file.bin"
    with atomic_path(path) as temporary:
        assert (path.parent, path.suffix) == (temporary.parent, temporary.suffix)
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
