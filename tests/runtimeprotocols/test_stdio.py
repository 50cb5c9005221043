"""Standard input and output as a link, with real processes behind them."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_tester.core.errors import ProtocolError, TargetError, UnreachableError
from edge_tester.core.wire.payloads import Hello
from edge_tester.runtimeprotocols.stdio import StdioProtocol
from edge_tester.testing import AgentConformance, RuntimeProtocolConformance
from edge_tester.testing.runtimeprotocol import Link
from tests.agents import FAULTY, SampleClient, echo_model, sample

ROOT = Path(__file__).parents[2]


def agent_command(*words: str) -> str:
    """The command of an agent, which serves whoever starts it."""
    module = "edge_tester.scenarios.inference_server"
    return shlex.join([sys.executable, "-m", module, "--stdio", *words])


class TestConformance(RuntimeProtocolConformance):
    cls = StdioProtocol

    @pytest.fixture
    def link(self):
        host, sides = StdioProtocol(), []

        def connect():
            target = StdioProtocol()
            (reading, their_writing), (their_reading, writing) = os.pipe(), os.pipe()
            host.attach((reading, writing))
            target.attach((their_reading, their_writing))
            sides.append(target)
            return target

        yield Link(host, connect)
        for side in (host, *sides):
            side.disconnect()


class TestAgentBehindPipes(AgentConformance):
    hostile_sessions = 3

    @pytest.fixture
    def protocol(self, monkeypatch):
        monkeypatch.chdir(ROOT)
        return StdioProtocol(command=agent_command("echo"))

    @pytest.fixture
    def model(self, tmp_path):
        return echo_model(tmp_path)

    @pytest.fixture
    def samples(self):
        return [sample(start, 2, 3, 4) for start in range(5)]

    def test_serves_one_at_a_time(self):
        """Each client has an agent of its own."""

    # One connection is one session.
    test_sessions_of_one_host_are_each_its_own = None
    test_runs_one_block_at_a_time = None
    test_serves_nobody_beside_without_a_valid_ticket = None

    def test_offers_no_further_session(self, protocol):
        """Also where one is asked for."""
        client = SampleClient(protocol)
        welcome = client.connect(Hello(client="a test", features=["beside"]))
        assert ["offer", "schedule"] == welcome.features
        assert "" == client.ticket
        client.disconnect()


@pytest.fixture
def client(monkeypatch):
    monkeypatch.chdir(ROOT)
    made = []

    def connected(*words):
        client = SampleClient(StdioProtocol(command=agent_command(*words)))
        client.connect(Hello(client="a test"))
        made.append(client)
        return client

    yield connected
    for one in made:
        one.disconnect()


def test_a_model_that_prints_does_not_get_between_the_messages(client, tmp_path):
    running = client(FAULTY, "--fault", "print")
    running.upload_model(echo_model(tmp_path))
    assert [[0, 2, 3, 4]] == running.run_sample(sample()).outputs[0].tolist()
    running.run_sample(sample(1, 2, 3, 4))
    assert 2 == running.counters().inferences


def test_a_crash_is_told(client, tmp_path):
    running = client(FAULTY, "--fault", "segfault")
    running.upload_model(echo_model(tmp_path))
    with pytest.raises(TargetError, match="SIGSEGV"):
        running.run_sample(sample(1, 2, 3, 4))


def test_nothing_is_left_running(client):
    running = client("echo")
    process = running.protocol._process
    running.disconnect()
    assert 0 == process.wait(30)


def test_an_agent_ends_with_its_client(monkeypatch, tmp_path):
    """Also with one that was killed."""
    monkeypatch.chdir(ROOT)
    script = (
        "import sys, time\n"
        "from edge_tester.core.wire.client import Client\n"
        "from edge_tester.core.wire.payloads import Hello\n"
        "from edge_tester.runtimeprotocols.stdio import StdioProtocol\n"
        f"protocol = StdioProtocol(command={agent_command('echo')!r})\n"
        "Client(protocol).connect(Hello(client='a test'))\n"
        "print(protocol._process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    host = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    pid = int(host.stdout.readline())
    host.kill()
    host.wait()
    host.stdout.close()
    end_s = time.monotonic() + 20
    while Path(f"/proc/{pid}/stat").exists():
        assert time.monotonic() < end_s
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("", "must say what starts the agent"),
        ("there-is-no-such-program", "cannot be started: No such file"),
        ("ssh 'pi", "cannot be read: No closing quotation"),
        ("true", "no agent of edge_tester answers"),
        ("echo hello world, this is no agent at all", "does not speak the edge_tester protocol"),
    ],
)
def test_what_is_no_agent_is_named(command, said):
    with pytest.raises(ProtocolError, match=said):
        SampleClient(StdioProtocol(command=command)).connect(Hello(client="a test"))


def test_a_command_that_says_nothing_ends_in_time(monkeypatch):
    monkeypatch.setattr("edge_tester.core.wire.greeting.HELLO_LIMIT_S", 0.3)
    monkeypatch.setattr("edge_tester.runtimeprotocols._child.ENDING_LIMIT_S", 0.3)
    with pytest.raises(UnreachableError, match="said nothing for too long"):
        SampleClient(StdioProtocol(command="sleep 100")).connect(Hello(client="a test"))
