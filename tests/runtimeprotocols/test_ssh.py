"""A target behind a real sshd: installed once, started, left as it was."""

import contextlib
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge_tester.core.artifact import Artifact
from edge_tester.core.errors import UnreachableError
from edge_tester.core.record import read_record
from edge_tester.core.wire.payloads import Hello
from edge_tester.runtimeprotocols._ssh import Words, remote
from edge_tester.runtimeprotocols.ssh import SshProtocol
from edge_tester.runtimes.echo import EchoRuntime
from edge_tester.runtimes.tflite import TFLiteRuntime
from edge_tester.testing import RuntimeProtocolConformance
from edge_tester.testing.runtimeprotocol import Link
from tests.agents import SampleClient, echo_model, sample
from tests.sshd import needs_sshd

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "edge_tester" / "resources" / "digits.tflite"
DIGITS = ROOT / "edge_tester" / "resources" / "digits.tflite"
# No network there: no index, and nothing that this machine's configuration adds.
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null"}

pytestmark = needs_sshd


def connected(host="board", runtime=None, **options):
    protocol = SshProtocol(host=host, **options)
    protocol.runtime = runtime
    client = SampleClient(protocol)
    client.connect(Hello(client="a test"))
    return client


@pytest.fixture
def echo(board):
    """A client of an agent that runs echo; installed by the first one."""
    client = connected(runtime=EchoRuntime())
    yield client
    client.disconnect()


# Between the bytes of a message and whoever takes them on this machine.
BRIDGE = """
import os, socket, sys, threading
target = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def carry_in():
    while piece := os.read(0, 1 << 18):
        target.sendall(piece)
    target.shutdown(socket.SHUT_WR)
    os._exit(0)
threading.Thread(target=carry_in, daemon=True).start()
while piece := memoryview(target.recv(1 << 18)):
    while piece:
        piece = piece[os.write(1, piece):]
"""


class TestConformance(RuntimeProtocolConformance):
    """Through ssh and back to this process."""

    cls = SshProtocol

    @pytest.fixture
    def link(self, board):
        host, sides = SshProtocol(host="board"), []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            command = 'exec python3 -c "$1" "$2"'
            words = ["bridge", BRIDGE, str(listener.getsockname()[1])]

            def connect():
                host.disconnect()
                host.hold(Words("board", None).started(remote(command, words)))
                target = SshProtocol()
                target.attach(listener.accept()[0])
                sides.append(target)
                return target

            yield Link(host, connect)
            for side in (host, *sides):
                side.disconnect()

    # It starts its own; see test_what_cannot_be_reached_is_named.
    test_a_target_that_does_not_answer_is_named = None


def test_it_is_installed_once_and_runs(board, capfd, tmp_path):
    board.forget()
    for count in (1, 0):
        client = connected(runtime=EchoRuntime())
        client.upload_model(echo_model(tmp_path))
        assert [[4, 3, 2, 1]] == client.run_sample(sample(4, 3, 2, 1)).outputs[0].tolist()
        assert "echo" == client.welcome.runtime
        client.disconnect()
        said = capfd.readouterr().err
        assert count == said.count("Installing edge_tester")
        assert count == said.count("Its own package index gives none of them")
    assert 1 == len(list(board.installed.iterdir()))


def test_a_model_answers_there_as_it_does_here(board):
    runtime = TFLiteRuntime()
    inputs = np.random.default_rng(0).random((3, 1, 8, 8, 1), np.float32)
    client = connected(runtime=runtime)
    try:
        client.upload_model(Artifact.from_file(DIGITS))
        answers = [client.run_sample([one]).outputs[0].copy() for one in inputs]
    finally:
        client.disconnect()
    runtime.prepare()
    runtime.load(DIGITS, 1)
    for one, answer in zip(inputs, answers, strict=True):
        runtime.set_inputs([one])
        runtime.run()
        assert runtime.get_outputs()[0].tolist() == answer.tolist()


@pytest.mark.parametrize(
    ("host", "replicates"),
    # To the second one no socket is forwarded: each replicate is an agent of its own.
    [("board", 3), ("restricted", 2)],
)
def test_a_run_by_one_word(board, board_environment, tmp_path, host, replicates):
    command = [sys.executable, "-m", "edge_tester", "client", str(DIGITS), f"{tmp_path}/"]
    command += ["--target", f"ssh://{host}", "--replicates", str(replicates), "--num-threads", "2"]
    run = subprocess.run(command, env=board_environment, cwd=ROOT, capture_output=True, text=True)
    assert 0 == run.returncode, run.stderr
    record = read_record(tmp_path / "digits.json")
    assert replicates == len(record.replicates)
    options = {one.role: one.options for one in record.components}
    assert {"host": host, "port": None, "bring_wheels": False} == options["runtimeprotocol"]
    assert 2 == options["runtime"]["num_threads"]
    board.wait_for_no_process()


def test_two_models_are_compared_there_by_turns(board, board_environment, tmp_path):
    copy = Path(shutil.copy(DIGITS, tmp_path / "copy.tflite"))
    command = [sys.executable, "-m", "edge_tester", "compare", str(DIGITS), str(copy)]
    command += ["--target", "ssh://board", "--replicates", "2", "--min-duration-s", "0.1"]
    command += ["--report-directory", str(tmp_path)]
    run = subprocess.run(command, env=board_environment, cwd=ROOT, capture_output=True, text=True)
    assert 0 == run.returncode, run.stderr
    first, second = (read_record(tmp_path / f"{path.stem}.json") for path in (DIGITS, copy))
    assert first.together == second.together
    assert [2, 2] == [len(one.replicates) for one in (first, second)]
    # They took turns: neither ran as a whole before the other.
    times = [[b.start_ns for r in one.replicates for b in r.blocks] for one in (first, second)]
    assert min(times[0]) < max(times[1]) and min(times[1]) < max(times[0])


def test_connection_killed_in_the_middle_of_a_run(board, tmp_path, echo):
    echo.upload_model(echo_model(tmp_path))
    echo.run_sample(sample(1, 2, 3, 4))
    os.kill(board.carrier(), signal.SIGKILL)
    with pytest.raises(UnreachableError, match="ssh://board"):
        for _ in range(1000):
            echo.run_sample(sample(1, 2, 3, 4))
    board.wait_for_no_process()
    again = connected(runtime=EchoRuntime())
    again.upload_model(echo_model(tmp_path))
    again.run_sample(sample(1, 2, 3, 4))
    again.disconnect()


def left_behind(board):
    """Folders of agents of the account; numbers of users are used again."""
    owner, since = pwd.getpwnam(board.user).pw_uid, (board.folder / "key").stat().st_mtime
    stats = {one: one.lstat() for one in Path("/tmp").glob("edge_tester-*")}
    return [one for one, told in stats.items() if told.st_uid == owner and told.st_mtime > since]


def test_an_agent_that_stays_ends_with_its_connection(board, tmp_path):
    protocol = SshProtocol(host="board")
    protocol.runtime = EchoRuntime()
    with protocol.opened() as link:
        for _ in range(2):
            client = SampleClient(link)
            client.connect(Hello(client="a test"))
            client.upload_model(echo_model(tmp_path))
            client.run_sample(sample(1, 2, 3, 4))
            client.disconnect()
        (agent,) = [p for p, words in board.processes().items() if "-m edge_tester server" in words]
        client.connect(Hello(client="a test"))
        assert [[4, 3, 2, 1]] == run_again(client, tmp_path)
        assert agent in board.processes()
        assert left_behind(board)
        os.kill(board.carrier(), signal.SIGKILL)
        with pytest.raises(UnreachableError, match="ssh://board"):
            for _ in range(1000):
                client.run_sample(sample(1, 2, 3, 4))
        client.disconnect()
    board.wait_for_no_process()
    assert [] == left_behind(board)


def test_a_run_goes_on_when_its_connection_is_made_anew(board, board_environment, tmp_path):
    command = [sys.executable, "-m", "edge_tester", "client", str(DIGITS), f"{tmp_path}/"]
    command += ["--target", "ssh://board", "--replicates", "2", "--min-duration-s", "6"]
    host = subprocess.Popen(command, env=board_environment, cwd=ROOT, stderr=subprocess.PIPE)
    end_s = time.monotonic() + 60
    journal = tmp_path / "digits.json.journal"
    # Some blocks are measured by then.
    while not journal.exists() or journal.read_bytes().count(b"\n") < 4:
        assert time.monotonic() < end_s and host.poll() is None
        time.sleep(0.02)
    os.kill(board.carrier(), signal.SIGKILL)
    said = host.communicate()[1].decode()
    assert 0 == host.returncode, said
    assert "It is tried again in 0.5 s" in said
    record = read_record(tmp_path / "digits.json")
    assert 3 == len(record.replicates)
    assert any("The link was lost after" in remark for remark in record.remarks)
    board.wait_for_no_process()
    assert [] == left_behind(board)


def run_again(client, folder):
    client.upload_model(echo_model(folder))
    return client.run_sample(sample(4, 3, 2, 1)).outputs[0].tolist()


def test_an_agent_that_stays_ends_with_a_host_that_was_killed(board, board_environment):
    script = (
        "import time\n"
        "from edge_tester.runtimeprotocols.ssh import SshProtocol\n"
        "with SshProtocol(host='board').opened() as link:\n"
        "    print('opened', flush=True); time.sleep(60)\n"
    )
    host = subprocess.Popen(
        [sys.executable, "-c", script], env=board_environment, cwd=ROOT, stdout=subprocess.PIPE
    )
    assert b"opened\n" == host.stdout.readline()
    assert board.processes()
    host.kill()
    host.communicate()
    board.wait_for_no_process()
    assert [] == left_behind(board)


def test_ctrl_c_in_a_terminal_ends_the_run_and_not_ssh_before_it(
    board, board_environment, tmp_path
):
    """There ssh may ask for a password, and so it shares the terminal."""
    connected(runtime=TFLiteRuntime()).disconnect()
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "edge_tester", "client", str(DIGITS), f"{tmp_path}/"]
    command += ["--target", "ssh://board", "--min-duration-s", "60"]
    host = subprocess.Popen(
        # A session of its own, whose terminal that becomes which it opens first.
        ["sh", "-c", f'exec < "$0" > "$0" 2>&1; exec {shlex.join(command)}', os.ttyname(theirs)],
        env=board_environment,
        cwd=ROOT,
        start_new_session=True,
    )
    said = b""
    while b"Running" not in said:
        assert host.poll() is None, said.decode()
        said += os.read(ours, 4096)
    os.close(theirs)
    assert any("edge_tester server" in words for words in board.processes().values())
    os.write(ours, b"\x03")
    with contextlib.suppress(OSError):
        # Until the last that has the terminal open closes it.
        while piece := os.read(ours, 4096):
            said += piece
    assert (130, True) == (host.wait(30), b"interrupted" in said), said.decode()
    os.close(ours)
    board.wait_for_no_process()
    assert [] == left_behind(board)


def test_an_install_that_was_killed_is_done_again(board, board_environment, tmp_path):
    board.forget()
    script = (
        "from edge_tester.core.wire.client import Client\n"
        "from edge_tester.core.wire.payloads import Hello\n"
        "from edge_tester.runtimeprotocols.ssh import SshProtocol\n"
        "Client(SshProtocol(host='board')).connect(Hello(client='a test'))\n"
    )
    host = subprocess.Popen([sys.executable, "-c", script], env=board_environment, cwd=ROOT)
    end_s = time.monotonic() + 60
    while not list(board.installed.glob("*.part.*/environment/lib/*/site-packages/numpy")):
        assert time.monotonic() < end_s and host.poll() is None
        time.sleep(0.01)
    host.kill()
    host.wait()
    # What ran there for it ends with it, and takes what it made along.
    board.wait_for_no_process()
    assert [] == list(board.installed.iterdir())
    connected().disconnect()
    assert [True] == [(one / "whole").exists() for one in board.installed.iterdir()]


def test_half_an_environment_is_none(board, capfd):
    connected().disconnect()
    (place,) = board.installed.glob("*")
    (place / "whole").unlink()
    capfd.readouterr()
    connected().disconnect()
    assert "Installing edge_tester" in capfd.readouterr().err
    assert (place / "whole").exists()


def test_what_start_files_print_is_no_message(board, echo, tmp_path):
    (board.home / ".ssh").mkdir(exist_ok=True)
    (board.home / ".ssh" / "rc").write_text("echo welcome to this board\n")
    os.chmod(board.home / ".ssh" / "rc", 0o755)
    try:
        client = connected(runtime=EchoRuntime())
        client.upload_model(echo_model(tmp_path))
        client.disconnect()
    finally:
        (board.home / ".ssh" / "rc").unlink()


@pytest.mark.parametrize(
    ("host", "options", "said"),
    [
        ("stranger", {}, "refuses this user or key.*ssh-copy-id stranger.*Permission denied"),
        ("nobody@board", {}, "refuses this user or key"),
        ("unknown-key", {}, "host key is not the one that is known"),
        ("changed", {}, "another one than before: something else answers.*said: WARNING: REM.*ED!"),
        ("no-such-host.invalid", {}, "there is no host of this name"),
        ("board", {"port": 1}, "no SSH server listens there"),
    ],
)
def test_what_cannot_be_reached_is_named(board, host, options, said):
    with pytest.raises(UnreachableError, match=said) as caught:
        connected(host, **options)
    assert f"ssh://{host}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may change the shell of an account")
def test_an_account_without_a_shell_says_so(board):
    subprocess.run(["usermod", "--shell", "/usr/sbin/nologin", board.user], check=True)
    try:
        with pytest.raises(
            UnreachableError, match="no command could be run.*said This account.*not available"
        ):
            connected()
    finally:
        subprocess.run(["usermod", "--shell", "/bin/sh", board.user], check=True)


def test_without_ssh_it_is_said_what_to_install(board, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnreachableError, match="apt install openssh-client"):
        connected()
