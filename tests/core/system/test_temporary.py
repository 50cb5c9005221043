"""Temporary folders and files of processes that were killed."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_tester.core.system.files import atomic_folder, atomic_path, write_atomically
from edge_tester.core.system.temporary import NEW_PREFIX, TemporaryFolder, sweep
from tests.agents import PROJECT

HOLDS = "import time; {}; print(path, flush=True); time.sleep(600)"
FOLDER = (
    "from edge_tester.core.system.temporary import TemporaryFolder; "
    "folder = TemporaryFolder(); path = folder.name"
)
BESIDE = (
    "from pathlib import Path; from edge_tester.core.system.files import atomic_{0}; "
    "made = atomic_{0}(Path('result.bin')); path = made.__enter__()"
)


def holder(folder: Path, what: str) -> tuple[subprocess.Popen, Path]:
    """Start a process that holds something in a folder; return it, and what it holds."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "TMPDIR": str(folder)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS.format(what)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, folder / process.stdout.readline().strip()


@pytest.fixture
def held(tmp_path):
    """Start holders, which are gone at the end."""
    processes = []

    def start(what: str) -> tuple[subprocess.Popen, Path]:
        process, path = holder(tmp_path, what)
        processes.append(process)
        return process, path

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_a_folder_is_gone_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with TemporaryFolder() as name:
        (Path(name) / "file").write_text("content")
        assert [Path(name)] == list(tmp_path.iterdir())
    assert [] == list(tmp_path.iterdir())
    folder = TemporaryFolder()
    folder.cleanup()
    folder.cleanup()
    assert [] == list(tmp_path.iterdir())


def test_the_next_one_removes_what_a_killed_process_left(tmp_path, monkeypatch, held):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    killed, path_of_killed = held(FOLDER)
    _, path_of_living = held(FOLDER)
    (path_of_killed / "file").write_text("content")
    killed.kill()
    killed.wait()
    with TemporaryFolder() as name:
        assert {path_of_living, Path(name)} == set(tmp_path.iterdir())


def test_what_was_being_made_is_removed_later(tmp_path):
    for name in ("young", "old"):
        (tmp_path / f"{NEW_PREFIX}{name}").mkdir()
    os.utime(tmp_path / f"{NEW_PREFIX}old", (0, 0))
    sweep(tmp_path)
    assert [f"{NEW_PREFIX}young"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize(("kind", "make"), [("path", atomic_path), ("folder", atomic_folder)])
def test_half_of_what_a_killed_process_made_goes_with_the_next_one(tmp_path, held, kind, make):
    result = tmp_path / "result.bin"
    for _ in range(2):
        held(BESIDE.format(kind))[0].kill()
    living, _ = held(BESIDE.format(kind))
    # Whoever measures for long has made it long ago.
    half = sorted(tmp_path.glob(".result.edge_tester-*"))
    for path in half:
        os.utime(path, (0, 0))
    others = {".result.edge_tester-x.bin", ".result-settings.bin", ".other.edge_tester-12345678"}
    for name in others:
        (tmp_path / name).write_text("somebody's")
        os.utime(tmp_path / name, (0, 0))
    with make(result):
        pass
    assert 3 == len(half)
    left = {path for path in tmp_path.iterdir() if path != result}
    assert 1 == len(left & set(half))
    assert others == {path.name for path in left - set(half)}
    living.kill()


def test_what_is_being_made_now_is_left_alone(tmp_path):
    (tmp_path / ".result.edge_tester-12345678.bin").write_text("not locked yet")
    write_atomically(tmp_path / "result.bin", b"content")
    assert 2 == len(list(tmp_path.iterdir()))


def test_a_file_that_was_not_whole_has_never_had_a_name(tmp_path):
    """Killed when all of it is written, before it is known to be on the disk."""
    script = (
        "import os; from pathlib import Path; from edge_tester.core.system import files; "
        "files.os.fsync = lambda descriptor: os.kill(os.getpid(), 9); "
        "files.write_atomically(Path('result.bin'), b'content')"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", script]
    assert -9 == subprocess.run(command, cwd=tmp_path, env=environment).returncode
    assert [] == list(tmp_path.iterdir())


def test_where_files_need_names_they_are_whole_too(tmp_path, monkeypatch):
    """As on systems and disks that know no others."""
    monkeypatch.delattr("os.O_TMPFILE")
    path = tmp_path / "file.bin"
    for content in (b"content", b"another"):
        write_atomically(path, content)
        assert content == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_where_files_cannot_be_given_a_name_later_they_are_whole_too(tmp_path, monkeypatch):
    def refuse(*words, **options):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    path = tmp_path / "file.bin"
    for content in (b"content", b"another"):
        write_atomically(path, content)
        assert content == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_libraries_that_lock_what_they_write_can(tmp_path):
    """As HDF5 does."""
    path = tmp_path / "weights.h5"
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.write(b"content")
    assert b"content" == path.read_bytes()


def test_permissions_are_those_of_any_new_file(tmp_path):
    umask = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file.bin", b"content")
    finally:
        os.umask(umask)
    assert 0o640 == (tmp_path / "file.bin").stat().st_mode & 0o777


def test_a_folder_that_stepped_aside_when_its_process_was_killed_comes_back(tmp_path):
    script = (
        "import os; from pathlib import Path\n"
        "from edge_tester.core.system.files import atomic_folder\n"
        "rename = Path.rename\n"
        "Path.rename = lambda *paths: (rename(*paths), os.kill(os.getpid(), 9))\n"
        "with atomic_folder(Path('result')): pass\n"
    )
    result = tmp_path / "result"
    result.mkdir()
    (result / "file").write_text("earlier")
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", script]
    assert -9 == subprocess.run(command, cwd=tmp_path, env=environment).returncode
    assert not result.exists()
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    with pytest.raises(ValueError), atomic_folder(result):
        raise ValueError
    assert "earlier" == (result / "file").read_text()
