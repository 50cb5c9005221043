"""What models, hosts and the system do to several sessions of one client."""

import contextlib
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from edge_tester.core.errors import ProtocolError, TargetError
from edge_tester.core.wire.frames import Type, encode_header
from edge_tester.core.wire.payloads import Hello, encode
from tests.agents import PROJECT, children_of, echo_model, running_agent, sample, wait_until
from tests.core.agent.test_sessions import assert_answers
from tests.faults.test_attacks import BAD, assert_serves, descriptors_of, linux, processes_of

ANY_FAULT = "tests.faulty_runtimes.AnyFaultRuntime"


FAULTS = (
    "segfault",
    "exit",
    "hang",
    "real-time signal",
    "half a report",
    "reports without end",
    "shut down",
    "close all",
    "truncated status",
    "scribble",
    "fork",
    "daemon and hang",
    "fork without end",
    "hang with a child",
    "print native",
    "litter",
    "ignore signals",
)
# Of systems without control groups, and without adopted orphans.
NO_GROUPS = "cgroup._MOUNTS = Path('/nowhere')\n"
LACKING = {
    "nothing": "",
    "groups": NO_GROUPS,
    "adoption": f"{NO_GROUPS}descendants.set_process_option = lambda *words: False\n",
}


@linux
@pytest.mark.parametrize(
    ("fault", "lacking"),
    [
        *((fault, "nothing") for fault in FAULTS),
        *((fault, "groups") for fault in ("daemon and hang", "fork without end", "fork")),
        ("daemon and hang", "adoption"),
    ],
)
def test_a_model_that_goes_wrong_leaves_other_sessions_alone(
    tmp_path, opened, fault, lacking, monkeypatch
):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from edge_tester.core.agent import cgroup, descendants\n"
        "from edge_tester.scenarios.inference_server import main\n"
        f"{LACKING[lacking]}"
        "main(sys.argv[1:])\n"
    )
    # As where the system keeps a model from nothing.
    words = ("--time-limit-s", "1", "--isolation", "none")
    started = (sys.executable, str(program))
    with running_agent(tmp_path, *words, runtime=ANY_FAULT, program=started) as running:
        own = processes_of(tmp_path)
        assert {running.process.pid, *children_of(running.process.pid)} == own
        # With a process of its own that has left its group: an orphan of the supervisor's.
        good = opened(running, runtime_options={"fault": "daemon"})
        good.upload_model(echo_model(tmp_path))
        good.run_sample(sample(*BAD))
        wait_until(lambda: daemons_of(tmp_path))
        own |= daemons_of(tmp_path)
        for _ in range(2):
            bad = opened(running, good, runtime_options={"fault": fault})
            bad.upload_model(echo_model(tmp_path))
            with contextlib.suppress(TargetError, ProtocolError):
                bad.run_sample(sample(*BAD))
            bad.disconnect()
            assert_answers(good)
            wait_until(lambda: processes_of(tmp_path) == own)
        assert_answers(good)
        good.disconnect()
        assert_serves(running, tmp_path)
        wait_until(lambda: len(processes_of(tmp_path)) == 2)
        assert set() == daemons_of(tmp_path)
    assert [] == list(temporary.iterdir())


def daemons_of(folder) -> set[int]:
    """What the fault "daemon" of this agent's models has started."""
    found = set()
    for pid in processes_of(folder):
        with contextlib.suppress(OSError):
            if b"sleep\x004713\x00" == Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(pid)
    return found


HOST = """
import sys
from pathlib import Path
from edge_tester.core.artifact import Artifact
from edge_tester.core.wire.payloads import Hello
from edge_tester.runtimeprotocols.network import NetworkProtocol
from tests.agents import SampleClient, sample

hello = Hello(client="a host", wait=True, features=["beside"], runtime_options={"fault": "hang"})
first = SampleClient(NetworkProtocol(host=sys.argv[1]))
first.connect(hello)
clients = [first, first.beside(hello), first.beside(hello)]
for client in clients:
    client.upload_model(Artifact.from_file(Path(sys.argv[2])))
for client in clients[:2]:
    client.begin_sample(sample(1, 2, 3, 4))
print("begun", flush=True)
sys.stdin.read()
"""


@linux
def test_a_host_that_is_killed_leaves_nothing(tmp_path, monkeypatch):
    """One of its sessions runs, one waits for its turn, one is idle; the limit is 60 s."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    with running_agent(tmp_path, runtime=ANY_FAULT) as running:
        assert_serves(running, tmp_path)
        # The lock, the turn, the models, and the folder of the session that waits.
        wait_until(lambda: len(list(temporary.glob("*/*"))) == 4)
        before = descriptors_of(running)
        for _ in range(2):
            model = str(echo_model(tmp_path).path)
            host = subprocess.Popen(
                [sys.executable, "-c", HOST, running.host, model],
                cwd=PROJECT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            assert b"begun\n" == host.stdout.readline()
            host.kill()
            host.communicate()
            assert_serves(running, tmp_path)
            wait_until(lambda: len(processes_of(tmp_path)) == 2)
            wait_until(lambda: len(list(temporary.glob("*/*"))) == 4)
            wait_until(lambda: descriptors_of(running) <= before)
    assert [] == list(temporary.iterdir())


@linux
def test_no_model_can_find_a_ticket(tmp_path, opened):
    """It is nowhere in the memory of the processes that run models."""
    with running_agent(tmp_path) as running:
        first = opened(running)
        second = opened(running, first)
        for client in (first, second):
            client.upload_model(echo_model(tmp_path))
            assert_answers(client)
        sessions = children_of(running.process.pid)
        assert 2 == len(sessions)
        tickets = [client.ticket.encode() for client in (first, second)]
        assert all(re.fullmatch(b"[0-9a-f]{32}", ticket) for ticket in tickets)
        for pid in sessions:
            # It has what its client has said.
            assert holds(pid, b"a test")
            assert not any(holds(pid, ticket) for ticket in tickets)
        assert not any(ticket.decode() in running.log for ticket in tickets)


def holds(pid: int, words: bytes) -> bool:
    """Tell whether a process has something in its memory."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            area, rights, *_ = line.split()
            if not rights.startswith("rw"):
                continue
            begin, end = (int(edge, 16) for edge in area.split("-"))
            memory.seek(begin)
            with contextlib.suppress(OSError):
                if words in memory.read(end - begin):
                    return True
    return False


def agent_that_starts(folder, body: str) -> tuple[str, str]:
    """Return the program of an agent that does something else where it starts a process.

    There ``number`` says which one it is, and ``words`` is its command.
    """
    program = folder / "program.py"
    program.write_text(
        "import sys\n"
        "from edge_tester.core.agent import process\n"
        "from edge_tester.scenarios.inference_server import main\n"
        "start, number = process.subprocess.Popen, 0\n"
        "def started(words, **options):\n"
        "    global number\n"
        "    number += 1\n"
        f"    {body}\n"
        "    return start(words, **options)\n"
        "process.subprocess.Popen = started\n"
        "main(sys.argv[1:])\n"
    )
    return sys.executable, str(program)


def test_one_who_is_served_beside_is_told_if_no_process_can_start(tmp_path, opened):
    """The others go on."""
    # In advance, which nobody is told, and then because it is wanted.
    body = "if number in (2, 3): raise OSError(12, 'Cannot allocate memory')"
    with running_agent(tmp_path, program=agent_that_starts(tmp_path, body)) as running:
        first = opened(running)
        first.upload_model(echo_model(tmp_path))
        with pytest.raises(TargetError, match="Cannot allocate memory") as caught:
            opened(running, first)
        assert "busy" == caught.value.code
        assert_answers(first)
        second = opened(running, first)
        second.upload_model(echo_model(tmp_path))
        assert_answers(second)


@pytest.mark.parametrize("failing", [2, 3])
def test_a_process_that_ends_before_it_serves_is_replaced_and_not_for_ever(
    tmp_path, opened, failing
):
    ending = tmp_path / "ending.py"
    ending.write_text(
        "import os, sys\n"
        "from edge_tester.core.agent import session_process\n"
        "session_process.receive_client = lambda control: control.recv(1) and os._exit(7)\n"
        "session_process.main(sys.argv[1:])\n"
    )
    body = f"if 1 < number <= {1 + failing}: words = [sys.executable, {str(ending)!r}, words[-1]]"
    with running_agent(tmp_path, program=agent_that_starts(tmp_path, body)) as running:
        first = opened(running)
        first.upload_model(echo_model(tmp_path))
        if failing == 3:
            with pytest.raises(TargetError, match="exit status 7 while it started"):
                opened(running, first)
        second = opened(running, first)
        second.upload_model(echo_model(tmp_path))
        for client in (first, second):
            assert_answers(client)


@pytest.mark.parametrize("killed", [2, 3])
def test_an_agent_whose_first_processes_are_killed_starts_others_and_not_for_ever(tmp_path, killed):
    words = "[sys.executable, '-c', 'import os; os.kill(os.getpid(), 9)']"
    program = agent_that_starts(tmp_path, f"if number <= {killed}: words = {words}")
    if killed == 3:
        with pytest.raises(AssertionError, match="SIGKILL .* while it started"):
            with running_agent(tmp_path, program=program, status=1):
                pass
        return
    with running_agent(tmp_path, program=program) as running:
        assert_serves(running, tmp_path)
    assert 2 == running.log.count("Another one is started.")


def test_one_who_has_left_when_the_last_process_ends_before_it_serves_ends_no_agent(
    tmp_path, opened
):
    ending, left = tmp_path / "ending.py", tmp_path / "left"
    ending.write_text(
        "import os, pathlib, sys, time\n"
        "from edge_tester.core.agent import session_process\n"
        "def end(control):\n"
        "    control.recv(1)\n"
        "    number = os.environ['number']\n"
        f"    pathlib.Path({str(tmp_path)!r}, 'has-' + number).touch()\n"
        f"    while number == '4' and not os.path.exists({str(left)!r}):\n"
        "        time.sleep(0.01)\n"
        "    os._exit(7)\n"
        "session_process.receive_client = end\n"
        "session_process.main(sys.argv[1:])\n"
    )
    body = (
        "options['env']['number'] = str(number)\n"
        f"    if 1 < number <= 4: words = [sys.executable, {str(ending)!r}, words[-1]]"
    )
    words, program = ("--isolation", "none"), agent_that_starts(tmp_path, body)
    with running_agent(tmp_path, *words, program=program) as running:
        first = opened(running)
        first.upload_model(echo_model(tmp_path))
        hello = encode(Hello(client="a test", beside=first.ticket))
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(running.host)
            connection.sendall(encode_header(Type.HELLO, 0, 0, len(hello)) + hello)
            # The last one that it is tried with.
            wait_until((tmp_path / "has-4").exists, 30)
        left.touch()
        wait_until(lambda: 3 == running.log.count("exit status 7 while it started"))
        assert_answers(first)
