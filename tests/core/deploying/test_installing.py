"""What another machine has, what it lacks, and what is said of it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from edge_tester.core.deploying import installing, wheels
from edge_tester.core.deploying.environment import Environment, environment_for
from edge_tester.core.deploying.probing import Board, Interpreter, probe
from edge_tester.core.deploying.service import SOCKET, UNIT, forwarding, remove
from edge_tester.core.deploying.starting import HERE, START, STAY, ensure, newest, run_installed
from edge_tester.core.errors import OptionError, UnreachableError
from edge_tester.core.runtime import Runtime
from edge_tester.runtimes.echo import EchoRuntime
from edge_tester.runtimes.onnxruntime import ONNXRuntime
from edge_tester.runtimes.tflite import TFLiteRuntime
from tests.core.deploying.local_shell import LocalShell
from tests.wheelhouse import write_wheels

# The programs that a bare system has.
PROGRAMS = "sh uname df awk mkdir head tar cat rm mv chmod ls find grep dirname sleep".split()
PYTHON = Interpreter(
    path="/usr/bin/python3.11",
    version=[3, 11, 2],
    bits=64,
    musl=False,
    glibc="2.19",
    venv=True,
    pip="",
)
BOARD = Board(system="Linux", machine="aarch64", free_bytes=1 << 40, uv="", python=PYTHON)


@pytest.fixture
def programs(tmp_path):
    """A folder with what every board has, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in PROGRAMS:
        (folder / name).symlink_to(shutil.which(name))
    return folder


@pytest.fixture
def shell(tmp_path, programs):
    return LocalShell(tmp_path, programs)


def with_python(programs, python=sys.executable, name="python3"):
    """Let a board have an interpreter."""
    program = programs / name
    program.write_text(f'#!/bin/sh\nexec {python} "$@"\n')
    program.chmod(0o755)


def test_a_board_is_found_as_it_is(shell, programs):
    with_python(programs)
    board = probe(shell)
    uname = os.uname()
    assert (uname.sysname, uname.machine) == (board.system, board.machine)
    assert list(sys.version_info[:3]) == board.python.version
    assert os.path.realpath(sys.executable) == board.python.path
    assert board.python.glibc == os.confstr("CS_GNU_LIBC_VERSION").split()[1]
    assert board.python.venv and not board.python.musl
    assert board.free_bytes > 0
    assert "" == board.uv


def test_a_board_without_python_is_told_what_to_install(shell):
    with pytest.raises(UnreachableError, match="pi@here has no python3.*apt install python3"):
        probe(shell)


@pytest.fixture
def old_python():
    found = sorted(Path.home().glob(".pyenv/versions/3.[6-9].*/bin/python"))
    if not found:
        pytest.skip("no Python before 3.10 is installed here")
    return found[-1]


def test_a_python_that_does_not_start_is_not_said_to_be_missing(shell, programs):
    with_python(programs, shutil.which("false"))
    with pytest.raises(UnreachableError, match="pi@here has python3, which cannot be used"):
        probe(shell)


def test_a_python_that_is_too_old_is_named_and_passed_over(shell, programs, old_python):
    with_python(programs, old_python)
    with pytest.raises(UnreachableError, match=r"has Python 3\.[6-9].*too old: 3.10 or later"):
        probe(shell)
    with_python(programs, sys.executable, "python3.11")
    assert list(sys.version_info[:3]) == probe(shell).python.version


def test_too_little_space_is_said_with_numbers(shell, programs, monkeypatch):
    with_python(programs)
    monkeypatch.setattr(installing, "_LEAST_FREE_BYTES", 1 << 60)
    with pytest.raises(UnreachableError, match=r"too little space.*\d+ MiB are free, about \d+"):
        installing.install(shell, environment_for([]), print)


def test_a_home_that_cannot_be_written_is_said(tmp_path, programs):
    shell = LocalShell(tmp_path / "file", programs)
    (tmp_path / "file").write_text("")
    with pytest.raises(UnreachableError, match="cannot make the folder ~/.cache/edge_tester"):
        probe(shell)


def test_a_home_that_runs_nothing_is_said_before_anything_is_brought(tmp_path, programs):
    with_python(programs)
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for folder in (home, elsewhere):
        folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "noexec", "none", str(home)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the permission to mount a disk")
    try:
        shell = LocalShell(home, programs)
        with pytest.raises(UnreachableError, match="runs no program.*noexec.*ln -s FOLDER"):
            probe(shell)
        # What was told to do helps, and goes with the rest.
        (home / ".cache" / "edge_tester").rmdir()
        (home / ".cache" / "edge_tester").symlink_to(elsewhere)
        assert probe(shell).free_bytes > 0
        (elsewhere / "0.1.0-key").mkdir()
        assert remove(shell)
        assert [] == list(elsewhere.iterdir())
        assert [] == list((home / ".cache").iterdir())
    finally:
        subprocess.run(["umount", str(home)], check=True)


def test_what_no_index_has_is_named_and_nothing_is_left(shell, programs, tmp_path, monkeypatch):
    with_python(programs)
    shell.environment["PIP_NO_INDEX"] = "1"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    wanted = environment_for([])._replace(requirements=["numpy>=1.26"])
    told = []
    with pytest.raises(UnreachableError) as caught:
        installing.install(shell, wanted, told.append)
    assert "No wheels for pi@here" in str(caught.value)
    assert "numpy" in str(caught.value)
    assert any("Its own package index gives none of them" in line for line in told)
    assert [] == list((tmp_path / ".cache" / "edge_tester").iterdir())
    assert [] == list((tmp_path / "cache" / "edge_tester" / "wheels").iterdir())


def test_a_package_that_cannot_be_imported_there_is_no_environment(shell, programs, tmp_path):
    with_python(programs)
    broken = environment_for([])._replace(requirements=[], modules=["msgspec"])
    shell.environment["PIP_NO_INDEX"] = "1"
    shell.environment["PIP_NO_DEPS"] = "1"
    answer = installing._made(shell, probe(shell), broken, [])
    assert "No module named 'msgspec'" in answer.errors
    assert [] == list((tmp_path / ".cache" / "edge_tester").iterdir())


def test_uv_is_used_where_it_is(shell, programs, tmp_path):
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed")
    with_python(programs)
    (tmp_path / ".local" / "bin").mkdir(parents=True)
    (tmp_path / ".local" / "bin" / "uv").symlink_to(uv)
    board = probe(shell)
    assert str(tmp_path / ".local/bin/uv") == board.uv
    (tmp_path / "wheels").mkdir()
    write_wheels(tmp_path / "wheels", ["numpy", "msgspec"])
    environment, brought = environment_for([]), sorted((tmp_path / "wheels").iterdir())
    assert installing._made(shell, board, environment, brought) is None
    place = tmp_path / ".cache" / "edge_tester" / environment.key
    assert "uv = " in (place / "pyvenv.cfg").read_text()
    assert run_installed(shell, environment.key, ["list"], 60).output


def bare(shell):
    """An environment that has this package alone, which needs no index."""
    shell.environment |= {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1"}
    return environment_for([])._replace(requirements=[], modules=["edge_tester"])


def test_it_is_installed_once_and_found_again(shell, programs, tmp_path):
    with_python(programs)
    environment, told = bare(shell), []
    shell.environment["PIP_LOG"] = str(tmp_path / "log")
    assert "" == newest(shell)
    for _ in range(2):
        ensure(shell, environment, told.append)
    assert 1 == len([line for line in told if line.startswith("Installing")])
    assert environment.key == newest(shell)
    answer = run_installed(shell, environment.key, ["--version"], 60)
    assert f"edge-tester {environment.key.partition('-')[0]}\n" == answer.output
    # The command itself, which pip would have bound to the place where it was made.
    command = tmp_path / ".cache/edge_tester" / environment.key / "bin" / "edge-tester"
    told = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert answer.output == told.stdout
    # Where they go with all else if it is killed.
    folders = re.findall(r"Created temporary directory: (.*)", (tmp_path / "log").read_text())
    parts = str(tmp_path / ".cache" / "edge_tester" / f"{environment.key}.part.")
    assert folders and all(one.startswith(parts) for one in folders)


@pytest.mark.parametrize("script", [START, STAY])
def test_an_environment_on_a_disk_that_is_read_only_is_used(shell, programs, tmp_path, script):
    """As a memory card becomes that has an error."""
    with_python(programs)
    environment, cache = bare(shell), tmp_path / ".cache"
    ensure(shell, environment, print)
    commands = [["--bind", cache, cache], ["-o", "remount,bind,ro", cache]]
    if subprocess.run(["mount", *commands[0]], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the permission to mount a disk")
    try:
        subprocess.run(["mount", *commands[1]], check=True)
        words = [*([str(tmp_path / "folder")] if script == STAY else []), "--version"]
        answer = shell.run(script, [environment.key, *words])
    finally:
        subprocess.run(["umount", "--lazy", cache], check=True)
    assert HERE in answer.output and "Read-only" not in answer.errors
    assert "edge-tester" in answer.output


def test_a_python_that_came_without_pip_gets_it_brought(shell, programs, tmp_path):
    """As Debian's does without its package python3-venv."""
    with_python(programs)
    environment, board = bare(shell), probe(shell)
    without = msgspec.structs.replace(board.python, pip="")
    board = msgspec.structs.replace(board, python=without)
    assert installing._made(shell, board, environment, []) is None
    assert run_installed(shell, environment.key, ["--version"], 60).output


def test_what_a_user_has_lying_about_is_not_taken_for_the_package(shell, programs, tmp_path):
    with_python(programs)
    environment = bare(shell)
    ensure(shell, environment, print)
    (tmp_path / "edge_tester").mkdir()
    (tmp_path / "edge_tester" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    shell.environment["PYTHONPATH"] = str(tmp_path)
    assert run_installed(shell, environment.key, ["--version"], 60).output


def test_an_environment_whose_python_is_gone_is_made_again(shell, programs, tmp_path):
    with_python(programs)
    environment, told = bare(shell), []
    ensure(shell, environment, told.append)
    python = tmp_path / ".cache/edge_tester" / environment.key / "bin" / "python"
    python.unlink()
    python.symlink_to(tmp_path / "no-python-any-more")
    ensure(shell, environment, told.append)
    assert 2 == len([line for line in told if line.startswith("Installing")])
    assert run_installed(shell, environment.key, ["--version"], 60).output


def test_half_an_environment_is_none(shell, programs, tmp_path):
    with_python(programs)
    environment, told = bare(shell), []
    ensure(shell, environment, told.append)
    whole = tmp_path / ".cache/edge_tester" / environment.key / "whole"
    whole.unlink()
    assert "" == newest(shell)
    ensure(shell, environment, told.append)
    assert 2 == len([line for line in told if line.startswith("Installing")])
    assert whole.exists()


def test_what_nothing_has_started_for_a_month_is_removed(shell, programs, tmp_path):
    with_python(programs)
    folder, month_s = tmp_path / ".cache" / "edge_tester", 32 * 86400
    for name in ("0.0-old-1", "0.0-kept-1", "0.0-new-1"):
        (folder / name).mkdir(parents=True)
        (folder / name / "whole").touch()
        if name != "0.0-new-1":
            before_s = time.time() - month_s
            os.utime(folder / name / "whole", (before_s, before_s))
    unit = tmp_path / UNIT
    unit.parent.mkdir(parents=True)
    unit.write_text("ExecStart=%h/.cache/edge_tester/0.0-kept-1/bin/python\n")
    environment = bare(shell)
    ensure(shell, environment, print)
    left = {environment.key, "0.0-kept-1", "0.0-new-1"}
    assert left == {one.name for one in folder.iterdir()}


def test_a_removed_environment_is_named(shell):
    with pytest.raises(UnreachableError, match="does not have edge_tester"):
        run_installed(shell, "0.0-nothing", ["--version"], 60)


def test_a_home_with_a_space_is_one_word_of_the_command_that_is_told(tmp_path, programs):
    home = tmp_path / "home of a board"
    words = shlex.split(forwarding(LocalShell(home, programs), 12345))
    assert ["-L", f"12345:{home}/{SOCKET}"] == words


def test_keys_differ_with_what_is_wanted():
    keys = {environment_for(one).key for one in ([], [TFLiteRuntime], [ONNXRuntime])}
    assert 3 == len(keys)
    assert environment_for([EchoRuntime]).key == environment_for([]).key


def test_a_runtime_brings_its_own_packages_alone():
    found = environment_for([ONNXRuntime, TFLiteRuntime])
    assert isinstance(found, Environment)
    names = [one.partition(">")[0] for one in found.requirements]
    assert ["numpy", "msgspec", "onnxruntime", "ai-edge-litert"] == names
    assert ["numpy", "msgspec", "edge_tester", "onnxruntime", "ai_edge_litert"] == found.modules


def test_a_runtime_of_a_user_s_own_file_is_refused():
    class OwnRuntime(Runtime):
        """Of no package."""

    OwnRuntime.__module__ = "my_file"
    with pytest.raises(OptionError, match="OwnRuntime is of no package"):
        environment_for([OwnRuntime])


@pytest.mark.parametrize(
    ("machine", "python", "expected"),
    [
        (
            "aarch64",
            {},
            ["manylinux_2_19_aarch64", "manylinux_2_18_aarch64", "manylinux_2_17_aarch64"]
            + ["manylinux2014_aarch64", "linux_aarch64"],
        ),
        (
            # A 64-bit kernel under 32-bit programs, as Raspberry Pi OS has on request.
            "aarch64",
            {"bits": 32, "glibc": "2.17"},
            ["manylinux_2_17_armv7l", "manylinux2014_armv7l", "linux_armv7l"],
        ),
        (
            "x86_64",
            {"glibc": "2.17"},
            ["manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux2010_x86_64"]
            + ["manylinux1_x86_64", "linux_x86_64"],
        ),
        ("aarch64", {"musl": True}, ["musllinux_1_2_aarch64", "musllinux_1_1_aarch64"]),
    ],
)
def test_which_wheels_a_machine_can_use(machine, python, expected):
    interpreter = msgspec.structs.replace(PYTHON, **python)
    board = msgspec.structs.replace(BOARD, machine=machine, python=interpreter)
    assert expected == wheels.platforms(board)


def test_an_architecture_without_wheels_is_named(tmp_path, monkeypatch):
    (tmp_path / "wheels").mkdir()
    write_wheels(tmp_path / "wheels", ["msgspec"])
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    version, glibc = list(sys.version_info[:3]), os.confstr("CS_GNU_LIBC_VERSION").split()[1]
    python = msgspec.structs.replace(PYTHON, version=version, glibc=glibc)
    here = msgspec.structs.replace(BOARD, machine=os.uname().machine, python=python)
    there = msgspec.structs.replace(here, machine="riscv64")
    with pytest.raises(UnreachableError, match=r"pi@board \(manylinux_2_\d+_riscv64.*msgspec"):
        wheels.fetched(there, ["msgspec"], "pi@board")
    (found,) = wheels.fetched(here, ["msgspec"], "pi@board")
    assert found.name.startswith("msgspec-")
    # The second time from the cache: there is nothing any more where they came from.
    shutil.rmtree(tmp_path / "wheels")
    assert [found] == wheels.fetched(here, ["msgspec"], "pi@board")


def test_a_system_whose_wheels_are_unknown_is_refused():
    with pytest.raises(UnreachableError, match="Darwin aarch64 can use is not known"):
        wheels.platforms(msgspec.structs.replace(BOARD, system="Darwin"))


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        (
            "WARNING: x\nERROR: Could not find a version that satisfies numpy\nERROR: No match",
            "Could not find a version that satisfies numpy",
        ),
        ("error: Failed to fetch\n  Caused by: y", "error: Failed to fetch"),
        ("something else\n", "something else"),
        ("", "no reason was given"),
    ],
)
def test_the_reason_is_the_first_that_is_one(errors, said):
    assert said == wheels.reason(errors)
