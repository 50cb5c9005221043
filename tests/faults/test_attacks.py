"""What models and peers do to the agent on purpose; each time the next client is served."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_tester.core.agent import process as process_module
from edge_tester.core.errors import ProtocolError, TargetError
from edge_tester.core.wire.payloads import Hello
from edge_tester.runtimeprotocols.network import NetworkProtocol
from tests.agents import (
    FAULTY,
    FOLDER,
    SampleClient,
    children_of,
    echo_model,
    running_agent,
    sample,
    wait_until,
)
from tests.hostile import EPERM, NATIVE, attempt, needs_isolation, text

GOOD = (0, 2, 3, 4)
BAD = (1, 2, 3, 4)
# Generous: the machine that runs the tests has other things to do.
NEXT_CLIENT_S = 20.0

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def assert_serves(agent, folder, limit_s: float = NEXT_CLIENT_S) -> None:
    """A whole session works, and soon."""
    start_s = time.monotonic()
    client = agent.wait(3 * limit_s)
    client.upload_model(echo_model(folder))
    assert [list(GOOD)] == client.run_sample(sample(*GOOD)).outputs[0].tolist()
    client.disconnect()
    assert time.monotonic() - start_s < limit_s


def attack(agent, folder) -> str:
    """Run the model until it goes wrong; return what the client is told."""
    client = agent.connect()
    client.upload_model(echo_model(folder))
    try:
        client.run_sample(sample(*BAD))
    except (TargetError, ProtocolError) as error:
        return str(error)
    finally:
        client.disconnect()
    return ""


def descriptors_of(agent) -> int:
    return len(os.listdir(f"/proc/{agent.process.pid}/fd"))


def processes_of(folder: Path) -> set[int]:
    """The agent with this folder, its session process, and what its models have started."""
    mark, found = f"{FOLDER}={folder}".encode(), set()
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (path / "environ").read_bytes().split(b"\0"):
                found.add(int(path.name))
    return found


def assert_alone(agent, folder: Path) -> None:
    """Nothing is left of models; the agent has the session process that waits."""
    # One that has served ends beside the next one.
    wait_until(lambda: len(children_of(agent.process.pid)) <= 1)
    own = {agent.process.pid, *children_of(agent.process.pid)}
    assert set() == processes_of(folder) - own


HOSTILE_MODELS = {
    "half a report": "The model wrote to a socket that is not its own",
    "one byte of a report": "The model wrote to a socket that is not its own",
    "reports without end": "The model wrote to a socket that is not its own",
    "descriptors without end": "The model wrote to a socket that is not its own",
    "shut down": "",
    "close all": "",
    "truncated status": "",
    "status of a liar": "",
    "real-time signal": r"with signal 40 \(Real-time signal 6\) during an inference",
    "ignore signals": "took longer than the target's limit",
    "fork": "",
    "daemon": "",
    "daemon and hang": "took longer",
    "fork without end": "",
    "hang with a child": "took longer",
    "scribble": "",
    "litter": "exit status 5",
}
# What a system that isolates does not let them begin.
REFUSED_MODELS = {
    "descriptors without end",
    *("fork", "daemon", "daemon and hang", "fork without end", "hang with a child", "litter"),
}


@linux
@pytest.mark.parametrize("isolation", ["none", "full"])
@pytest.mark.parametrize("fault", HOSTILE_MODELS)
def test_no_model_makes_the_agent_deaf(tmp_path, fault, isolation, monkeypatch):
    """Whether or not the system lets the agent keep it from what it tries."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    # Who lies is found out when the idle limit is over.
    idle_limit_s = "3" if fault == "status of a liar" else "6"
    words = ("--fault", fault, "--time-limit-s", "1", "--idle-limit-s", idle_limit_s)
    words += ("--isolation", isolation)
    with running_agent(tmp_path, *words, runtime=FAULTY) as running:
        assert_serves(running, tmp_path)
        before = descriptors_of(running)
        for _ in range(2):
            said = attack(running, tmp_path)
            if isolation == "full" and fault in REFUSED_MODELS:
                assert "Operation not permitted" in said
            elif expected := HOSTILE_MODELS[fault]:
                assert re.search(expected, said), said
            assert_serves(running, tmp_path)
        # Folders are still being removed for a moment.
        wait_until(lambda: descriptors_of(running) <= before)
        assert_alone(running, tmp_path)
    assert [] == list(temporary.iterdir())


@needs_isolation
def test_a_client_who_reads_nothing_does_not_hold_up_the_agent_of_its_model(tmp_path, native_model):
    """The model has the closing of their socket wait for its reader."""
    words = ("--host", "127.0.0.1", "--port", "0")
    with running_agent(tmp_path, *words, runtime=NATIVE) as running:
        port = int(re.search(r":(\d+) runs", running.greeting)[1])
        first, following = (SampleClient(NetworkProtocol(port=port)) for _ in range(2))
        first.connect(Hello(client="a test"))
        first.upload_model(native_model)
        first.begin_sample([text("linger"), text("")])
        wait_until(lambda: "SIGABRT" in running.log)
        following.connect(Hello(client="a test", wait=True), answer_limit_s=NEXT_CLIENT_S)
        following.upload_model(native_model)
        assert EPERM == attempt(following, "fork")
        following.disconnect()
        first.disconnect()


def test_every_signal_has_words():
    for number in signal.valid_signals():
        assert process_module._signal_name(number)
    assert "SIGSEGV (Segmentation fault)" == process_module._signal_name(11)
    assert "signal 40 (Real-time signal 6)" == process_module._signal_name(40)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("print native", r"exit status 4 .* It had printed: native .\[31mwords.$"),
        (
            "print without end",
            r"SIGABRT .* It had printed: .*nonsense \| .\[2Jthe weights. are upside down$",
        ),
    ],
)
def test_the_last_words_of_a_model_are_told_and_do_not_flood(tmp_path, fault, said):
    words = ("--fault", fault, "--time-limit-s", "20", "--verbosity", "DEBUG")
    with running_agent(tmp_path, *words, runtime=FAULTY) as running:
        for _ in range(2):
            told = attack(running, tmp_path)
            assert re.search(said, told), told
            assert "\x1b" not in told
            assert len(told) < 5000
        assert_serves(running, tmp_path)
        assert len(running.log) < 200_000
        assert not set(running.log) & set("\x1b\x07")


@linux
def test_what_a_killed_agent_leaves_is_removed_by_the_next_one(tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "edge_tester-agent-of-somebody").write_text("no folder")
    (scratch / "edge_tester-4711").mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    for name in ("killed", "living"):
        (tmp_path / name).mkdir()
    with running_agent(tmp_path / "living") as living:
        (folder_of_living,) = scratch.glob("edge_tester-agent-*/")
        # A model of it goes into hiding, and it is killed while that is served.
        words = ("--fault", "daemon and hang", "--isolation", "none")
        with running_agent(tmp_path / "killed", *words, runtime=FAULTY, status=-9) as killed:
            client = killed.connect()
            client.upload_model(echo_model(tmp_path))
            client.begin_sample(sample(*BAD))
            wait_until(lambda: len(processes_of(tmp_path / "killed")) == 3)
            killed.process.kill()
            killed.process.wait()
            client.disconnect()
        assert 2 == len(list(scratch.glob("edge_tester-agent-*/")))
        # On the same address: its socket was left too.
        with running_agent(tmp_path / "killed") as following:
            wait_until(lambda: len(processes_of(tmp_path / "killed")) == 2)
            wait_until(lambda: len(list(scratch.glob("edge_tester-agent-*/"))) == 2)
            assert folder_of_living.is_dir()
            assert_serves(following, tmp_path)
            assert_serves(living, tmp_path)
    left = ["edge_tester-4711", "edge_tester-agent-of-somebody"]
    assert left == sorted(path.name for path in scratch.iterdir())


@linux
def test_a_session_process_ends_with_a_killed_agent_whatever_its_model_does(tmp_path):
    with running_agent(tmp_path, "--fault", "hang natively", runtime=FAULTY, status=-9) as running:
        client = running.connect()
        client.upload_model(echo_model(tmp_path))
        client.begin_sample(sample(*BAD))
        (session,) = children_of(running.process.pid)
        time.sleep(0.5)
        running.process.kill()
        running.process.wait()
        wait_until(lambda: not Path(f"/proc/{session}/cmdline").exists())
        client.disconnect()


@linux
def test_a_full_disk_for_temporary_files_kills_nothing(tmp_path, monkeypatch):
    """Where it is in memory, in a namespace of its own, so that the disk can be full."""
    script = 'mount -t tmpfs -o size=256k none $0 && TMPDIR=$0 exec "$@"'
    full = tmp_path / "full"
    full.mkdir()
    probe = ["unshare", "-m", "sh", "-c", script, str(full)]
    if subprocess.run([*probe, "true"], capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    host = str(tmp_path / "agent")
    process = subprocess.Popen(
        [
            *probe,
            *(sys.executable, "-m", "edge_tester.scenarios.inference_server"),
            *("network", FAULTY, "--host", host, "--fault", "fill the disk"),
        ],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout.readline()
        for _ in range(3):
            client = SampleClient(NetworkProtocol(host=host))
            client.connect(Hello(client="a test", wait=True), answer_limit_s=10)
            client.upload_model(echo_model(tmp_path))
            client.run_sample(sample(*BAD))
            client.disconnect()
    finally:
        process.terminate()
        assert 0 == process.wait(30)
        process.stdout.close()


@linux
@pytest.mark.parametrize("lacking", ["pidfd_open", "memfd_create", "waitid", "prctl", "/proc"])
def test_what_a_system_lacks_is_done_without(tmp_path, lacking):
    """Other systems than Linux, older Pythons, and sandboxes that forbid a call."""
    program = tmp_path / "program.py"
    program.write_text(
        "import os, sys\n"
        f"if {lacking!r} in ('prctl', '/proc'):\n"
        "    from pathlib import Path\n"
        "    from edge_tester.core.agent import cgroup, descendants\n"
        "    descendants.set_process_option = lambda *words: False\n"
        "    cgroup._MOUNTS = Path('/nowhere')\n"
        f"    descendants._PROC = Path('/proc' if {lacking!r} == 'prctl' else '/nowhere')\n"
        "else:\n"
        f"    delattr(os, {lacking!r})\n"
        "from edge_tester.scenarios.inference_server import main\n"
        "main(sys.argv[1:])\n"
    )
    # Without any of it, the process group is all.
    fault = "hang with a child" if lacking == "/proc" else "daemon and hang"
    words = ("--fault", fault, "--time-limit-s", "1", "--isolation", "none")
    with running_agent(
        tmp_path, *words, runtime=FAULTY, program=(sys.executable, str(program))
    ) as running:
        assert_serves(running, tmp_path)
        before = descriptors_of(running)
        for _ in range(2):
            assert "took longer than" in attack(running, tmp_path)
            assert_serves(running, tmp_path)
        assert_alone(running, tmp_path)
        wait_until(lambda: descriptors_of(running) <= before)


@linux
def test_an_agent_whose_starter_ignores_the_end_of_children_still_says_how_a_model_ended(tmp_path):
    ignored = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with running_agent(tmp_path, "--fault", "exit", runtime=FAULTY, status=None) as running:
            assert "exit status 3 during an inference" in attack(running, tmp_path)
            assert_serves(running, tmp_path)
    finally:
        signal.signal(signal.SIGCHLD, ignored)


@linux
def test_the_number_of_orphans_does_not_grow_while_a_session_lasts(tmp_path):
    words = ("--fault", "orphans", "--isolation", "none")
    with running_agent(tmp_path, *words, runtime=FAULTY) as running:
        client = running.connect()
        client.upload_model(echo_model(tmp_path))
        client.run_sample(sample(*BAD))
        wait_until(lambda: len(children_of(running.process.pid)) == 1)
        client.run_sample(sample(*GOOD))
        client.disconnect()
        assert_serves(running, tmp_path)
