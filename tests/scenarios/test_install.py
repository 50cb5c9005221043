"""The agent that stays on a board, and what a board has, through a real sshd."""

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_tester.core.deploying.service import SOCKET, UNIT
from edge_tester.core.record import read_record
from tests.sshd import needs_sshd

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "edge_tester" / "resources" / "digits.tflite"

pytestmark = needs_sshd


@pytest.fixture
def command(board_environment):
    def run(*words, status=0):
        done = subprocess.run(
            [sys.executable, "-m", "edge_tester", *words],
            env=board_environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert status == done.returncode, done.stderr
        return done

    return run


def test_doctor_looks_at_a_board(board, command):
    board.forget()
    found = json.loads(command("doctor", "ssh://board", "--json").stdout)
    packages = {one["name"]: one["status"] for one in found["packages"]}
    # What is there is that of the board, where rich is not.
    assert ("available", "missing") == (packages["numpy"], packages["rich"])
    assert found["machine"]["hostname"]
    # It looks into the environment that was used last.
    command("client", str(DIGITS), f"{board.folder}/", "--target", "ssh://board")
    shown = command("doctor", "--target", "ssh://board").stdout
    assert "+ ai_edge_litert" in shown
    assert "Installing" not in shown


def test_doctor_has_nothing_to_look_into_behind_an_agent(command):
    said = command("doctor", "127.0.0.1:12345", status=2).stderr
    assert "an agent that runs already: a board that can be logged in to is expected" in said


def test_an_agent_is_left_is_used_and_is_removed(board, board_environment, command, tmp_path):
    """Without systemd, as in a container: what is left is the unit, and how to start it by hand."""
    done = command("install", "ssh://board", "tflite", status=1)
    unit = (board.home / UNIT).read_text()
    (line,) = [one for one in unit.splitlines() if one.startswith("ExecStart=")]
    words = shlex.split(line.removeprefix("ExecStart=").replace("%h", str(board.home)))
    assert "It cannot be started as a unit, since" in done.stdout
    by_hand = next(one for one in done.stdout.splitlines() if one.startswith("  ~/.cache"))
    start = f"exec {by_hand.strip()}"
    # The same command, by the unit's words and by hand.
    assert words[1:3] == ["-m", "edge_tester"]
    assert words[3:-1] == shlex.split(start)[2:-1]
    socket = tmp_path / "forwarded"
    ssh = ["ssh", "-L", f"{socket}:{board.home}/{SOCKET}", "board", start]
    agent = subprocess.Popen(ssh, env=board_environment, stdin=subprocess.DEVNULL)
    try:
        end_s = time.monotonic() + 20
        while not (board.home / SOCKET).exists():
            assert time.monotonic() < end_s and agent.poll() is None
            time.sleep(0.05)
        command("client", str(DIGITS), f"{tmp_path}/", "--target", str(socket))
    finally:
        agent.terminate()
        agent.wait()
    assert read_record(tmp_path / "digits.json").complete
    for pid in [one for one, text in board.processes().items() if "edge_tester" in text]:
        subprocess.run(["kill", str(pid)], check=True)
    assert "Removed from board" in command("install", "ssh://board", "--uninstall").stdout
    assert not (board.home / UNIT).exists()
    assert not (board.home / ".cache" / "edge_tester").exists()
    said = command("install", "ssh://board", "--uninstall").stdout
    assert "board has nothing installed" in said


# Stands for systemd's manager of a user, which containers do not have; what it is told is seen.
SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >> "$HOME/said"
[ -e "$HOME/refuses" ] && case "$*" in *enable*) echo "Unit is masked."; exit 1 ;; esac
exit 0
"""


@pytest.fixture
def systemd(board, monkeypatch):
    """Programs of systemd in the board's home folder, which its start file brings first."""
    folder = board.home / "bin"
    folder.mkdir()
    for name in ("systemctl", "loginctl"):
        (folder / name).write_text(SYSTEMCTL.replace("systemctl $*", f"{name} $*"))
        (folder / name).chmod(0o755)
    yield board.home
    for one in [*folder.iterdir()]:
        one.unlink()
    folder.rmdir()


@pytest.mark.parametrize("refuses", [False, True])
def test_a_unit_is_started_and_lingers(board, systemd, refuses):
    from edge_tester.core.deploying.service import leave, remove
    from tests.core.deploying.local_shell import LocalShell

    shell, told = LocalShell(board.home, f"{systemd / 'bin'}:/usr/bin:/bin"), []
    if refuses:
        (systemd / "refuses").touch()
    try:
        assert leave(shell, "0.1-key", ["tflite"], told.append) is not refuses
        said = (systemd / "said").read_text().splitlines()
        assert "systemctl --user daemon-reload" == said[0]
        assert ("loginctl enable-linger" in said) is not refuses
        assert ("the unit failed: Unit is masked." in told[1]) is refuses
        assert remove(shell)
        assert "systemctl --user disable --now edge-tester" in (systemd / "said").read_text()
        assert not (board.home / UNIT).exists()
    finally:
        for name in ("refuses", "said"):
            (systemd / name).unlink(missing_ok=True)
