"""Folders that a model has filled: looked through and removed, however they are made."""

import os
import stat

import pytest

from edge_tester.core.system import trees


@pytest.fixture
def filled(tmp_path):
    """A folder with what a model may leave; its own name, for it is removed."""
    folder = tmp_path / "filled"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "file").write_bytes(bytes(10_000))
    (folder / "a" / "link").symlink_to(tmp_path)
    (tmp_path / "kept").write_text("kept")
    return folder


def nested(folder, depth: int) -> None:
    """Folders in each other, each reached from the one before: there is no such long path."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("folder", dir_fd=at)
        inner = os.open("folder", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=at))
    os.close(at)


def open_descriptors() -> int:
    return len(os.listdir("/dev/fd"))


def test_all_that_is_there_is_looked_at(filled):
    before = open_descriptors()
    found = list(trees.looked_through(filled))
    assert [False, False, True, True] == sorted(not stat.S_ISDIR(one.st_mode) for one in found)
    assert (
        sum(one.st_blocks * trees.BLOCK_BYTES for one in found if one.st_size == 10_000) >= 10_000
    )
    assert before == open_descriptors()


def test_a_look_that_ends_early_leaves_nothing_open(filled):
    before = open_descriptors()
    looking = trees.looked_through(filled)
    next(looking)
    looking.close()
    assert before == open_descriptors()
    assert [] == list(trees.looked_through(filled / "missing"))


def test_what_lies_too_deep_is_told_and_not_looked_into(filled):
    before = open_descriptors()
    nested(filled, trees.DEPTH_LIMIT)
    found = list(trees.looked_through(filled))
    assert 1 == found.count(f"folders more than {trees.DEPTH_LIMIT} deep")
    # 4 are there before, and of what is nested all but the file.
    assert 4 + trees.DEPTH_LIMIT == len(found) - 1
    assert before == open_descriptors()


@pytest.mark.parametrize("depth", [0, 5, 3000])
def test_however_deep_it_is_it_is_removed(filled, depth):
    nested(filled, depth)
    assert trees.removed(filled) is None
    assert not filled.exists()
    assert "kept" == (filled.parent / "kept").read_text()
    assert trees.removed(filled) is None


def test_folders_that_are_closed_are_opened_and_removed(filled):
    (filled / "a" / "b").chmod(0)
    (filled / "a").chmod(0o500)
    filled.chmod(0o300)
    assert trees.removed(filled) is None
    assert not filled.exists()


def test_nothing_that_took_the_place_of_a_folder_is_opened(filled, tmp_path):
    """By a process of the same user that is no session, while a root's agent removes it."""
    kept = tmp_path / "kept-folder"
    kept.mkdir(mode=0o500)
    closed = filled / "closed"
    closed.mkdir(mode=0)
    about = closed.stat()
    closed.rmdir()
    closed.symlink_to(kept)
    with pytest.raises(NotADirectoryError):
        trees._open_up(str(closed), about, None)
    assert 0o500 == stat.S_IMODE(kept.stat().st_mode)


def test_what_is_no_folder_is_left(filled):
    kept = filled.parent / "kept"
    assert isinstance(trees.removed(kept), NotADirectoryError)
    (filled.parent / "link").symlink_to(filled)
    assert isinstance(trees.removed(filled.parent / "link"), NotADirectoryError)
    assert kept.exists() and (filled / "a" / "b" / "file").exists()


def test_what_stays_is_told(filled, monkeypatch):
    def refuse(name, **_):
        raise PermissionError(f"{name} stays")

    monkeypatch.setattr(os, "unlink", refuse)
    assert str(trees.removed(filled)) in {"file stays", "link stays"}
    assert filled.exists()
