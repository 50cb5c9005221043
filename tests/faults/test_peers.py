"""What clients and strangers do to the agent on purpose; nobody shuts others out."""

import contextlib
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_tester.core.agent.reception import PEERS_AT_ONCE, WAITING_AT_ONCE, WAITING_OF_ONE_ORIGIN
from edge_tester.core.errors import TargetError
from edge_tester.core.wire import frames as wire
from edge_tester.core.wire.frames import Type
from edge_tester.core.wire.payloads import Hello, ModelDescription, encode
from edge_tester.runtimeprotocols.network import NetworkProtocol
from tests.agents import FAULTY, SampleClient, echo_model, running_agent, sample, wait_until
from tests.faults.test_attacks import BAD, GOOD, assert_serves, descriptors_of

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
HOSTS = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    with running_agent(tmp_path_factory.mktemp("agent")) as running:
        yield running


def stranger(agent) -> socket.socket:
    """Somebody who has connected and says nothing."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(agent.host)
    return connection


def hello_of(client: str, wait: bool = False) -> bytes:
    content = encode(Hello(client=client, wait=wait))
    return wire.encode_header(Type.HELLO, 0, 0, len(content)) + content


def answer_of(connection: socket.socket) -> tuple[int, bytes]:
    """Type and payload of one frame."""
    header = connection.recv(wire.HEADER_BYTES, socket.MSG_WAITALL)
    assert wire.HEADER_BYTES == len(header), "the connection was closed"
    type, _, _, length = wire.decode_header(header)
    return type, connection.recv(length, socket.MSG_WAITALL)


def processor_s(pid: int) -> float:
    """Processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@linux
def test_silent_strangers_shut_nobody_out(agent, tmp_path):
    with contextlib.ExitStack() as stack:
        for _ in range(3 * PEERS_AT_ONCE):
            stack.enter_context(stranger(agent))
        # Sooner than strangers are turned away for saying nothing.
        assert_serves(agent, tmp_path, limit_s=4.5)
        assert descriptors_of(agent) < PEERS_AT_ONCE + 30


@linux
def test_many_of_one_origin_do_not_drive_out_one_of_another(agent):
    program = (
        "import socket, sys\n"
        "connections = [socket.socket(socket.AF_UNIX) for _ in range(int(sys.argv[2]))]\n"
        "for one in connections: one.connect(sys.argv[1])\n"
        "print('connected', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with stranger(agent) as first:
        many = subprocess.Popen(
            [sys.executable, "-c", program, agent.host, str(2 * PEERS_AT_ONCE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert many.stdout.readline()
            # They may have connected, and not been accepted yet.
            wait_until(lambda: descriptors_of(agent) > PEERS_AT_ONCE)
            time.sleep(0.5)
            first.sendall(hello_of("the first of all"))
            type, _ = answer_of(first)
            assert Type.OK == type
        finally:
            many.communicate()


def test_the_line_of_those_who_wait_has_an_end(agent, tmp_path):
    served = agent.connect()
    with contextlib.ExitStack() as stack:
        answers = []
        for number in range(2 * WAITING_AT_ONCE):
            one = stack.enter_context(stranger(agent))
            one.sendall(hello_of(f"number {number}", wait=True))
            answers.append(answer_of(one))
        waiting = [content for type, content in answers if type == Type.OK]
        refused = [content for type, content in answers if type == Type.ERROR]
        # All are of one process, which may not take the whole line.
        assert WAITING_OF_ONE_ORIGIN == len(waiting)
        assert all(b"busy" in content and b"wait in line" in content for content in refused)
        assert WAITING_OF_ONE_ORIGIN < WAITING_AT_ONCE
    served.disconnect()
    assert_serves(agent, tmp_path)


def test_a_client_in_line_may_say_more_before_its_turn(agent, tmp_path):
    served = agent.connect()
    with stranger(agent) as patient:
        patient.sendall(hello_of("a client in a hurry", wait=True))
        assert Type.OK == answer_of(patient)[0]
        patient.sendall(wire.encode_header(Type.STATS, 0, 1, 0))
        start_s = processor_s(agent.process.pid)
        time.sleep(1)
        assert processor_s(agent.process.pid) - start_s < 0.3
        served.disconnect()
        # That it takes a moment; welcome; the counters.
        assert [Type.OK] * 3 == [answer_of(patient)[0] for _ in range(3)]


@linux
def test_without_descriptors_it_neither_spins_nor_stays_deaf(tmp_path):
    with running_agent(tmp_path) as running:
        pid = running.process.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (descriptors_of(running) + 4, limits[1]))
        with contextlib.ExitStack() as stack:
            for _ in range(30):
                stack.enter_context(stranger(running))
            time.sleep(0.5)
            before_s = processor_s(pid)
            time.sleep(2)
            assert processor_s(pid) - before_s < 0.5
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        assert_serves(running, tmp_path)


@linux
@pytest.mark.parametrize("how", ["close", "process killed"])
def test_a_client_that_leaves_during_an_inference_makes_room(tmp_path, how):
    with running_agent(tmp_path, "--fault", "hang", runtime=FAULTY) as running:
        client = running.connect()
        client.upload_model(echo_model(tmp_path))
        client.begin_sample(sample(*BAD))
        time.sleep(0.5)
        if how == "close":
            client.protocol.connection.close()
        else:
            client.protocol.connection.shutdown(socket.SHUT_RDWR)
        # The limit of an inference is 60 s.
        assert_serves(running, tmp_path)
        assert "The model ended" not in running.log


@linux
def test_no_descriptor_is_lost_over_many_sessions(tmp_path):
    with running_agent(tmp_path, "--fault", "exit", runtime=FAULTY) as running:
        assert_serves(running, tmp_path)
        before = descriptors_of(running)
        for number in range(40):
            client = running.wait()
            if number % 4:
                client.upload_model(echo_model(tmp_path))
            if number % 2:
                with contextlib.suppress(TargetError):
                    client.run_sample(sample(*BAD))
            client.disconnect()
        assert_serves(running, tmp_path)
        wait_until(lambda: descriptors_of(running) <= before)
        scratch = children_environment(running)["TMPDIR"]
        # The lock, the turn, the models, and the folder of the session that waits.
        wait_until(lambda: len(list(Path(scratch).parents[1].iterdir())) == 4)


def children_environment(agent) -> dict[str, str]:
    """Environment of the session process that waits."""
    pid = agent.process.pid
    while not (children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        time.sleep(0.05)
    words = Path(f"/proc/{children[0]}/environ").read_bytes().split(b"\0")
    return dict(word.decode().split("=", 1) for word in words if b"=" in word)


@pytest.mark.parametrize("network", ["unix", "tcp"])
def test_a_violation_and_a_reset_are_no_crash_of_the_model(tmp_path, network):
    words = () if network == "unix" else ("--host", "127.0.0.1", "--port", "0")
    with running_agent(tmp_path, *words) as running:
        port = re.search(r":(\d+) runs", running.greeting)
        options = {"port": int(port[1])} if port else {"host": running.host}
        for _ in range(5):
            client = SampleClient(NetworkProtocol(**options))
            client.connect(Hello(client="a test", wait=True))
            # A violation, and nobody there to hear what it was: a reset instead of an end.
            client.protocol.connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            client.protocol.connection.sendall(wire.encode_header(Type.DATA, 0, 1, 1 << 20))
            client.disconnect()
        client = SampleClient(NetworkProtocol(**options))
        client.connect(Hello(client="a test", wait=True))
        client.disconnect()
        assert "The model ended" not in running.log


def begin_model(client, size_bytes: int) -> None:
    """Send the beginning of a model and not more."""
    description = encode(ModelDescription(format="echo", size_bytes=size_bytes, sha256="0" * 64))
    head = len(description).to_bytes(4, "big") + description
    client.conversation.channel.begin(Type.MODEL, 1, len(head) + size_bytes, head)


def test_a_model_that_stands_still_on_its_way_is_ended(tmp_path):
    with running_agent(tmp_path, "--stall-limit-s", "1") as running:
        client = running.connect()
        begin_model(client, 1_000_000)
        with pytest.raises(TargetError, match="Nothing more of the model came for 1 s"):
            client.counters()
        client.disconnect()
        assert_serves(running, tmp_path)


EVIL = "evil\x1b[2J\x07\r\nERROR: the disk is full\u202e" + "x" * 5000


def test_names_of_clients_are_cleaned_before_anybody_reads_them(tmp_path):
    with running_agent(tmp_path) as running:
        first = SampleClient(NetworkProtocol(host=running.host))
        first.connect(Hello(client=EVIL))
        with pytest.raises(TargetError, match="in use by evil") as caught:
            running.connect()
        first.disconnect()
        assert_serves(running, tmp_path)
        for said in (str(caught.value), running.log):
            assert "evil" in said
            assert not set(said) & set("\x1b\x07\r\u202e")
            assert "x" * 100 not in said
        assert "\nERROR: the disk" not in running.log


def test_what_a_client_asks_for_is_cleaned_before_it_reaches_the_log(tmp_path):
    with running_agent(tmp_path, "--verbosity", "DEBUG") as running:
        with pytest.raises(TargetError):
            running.connect(runtime=EVIL)
        with pytest.raises(TargetError):
            SampleClient(NetworkProtocol(host=running.host)).connect(
                Hello(client="a test", wait=True, runtime_options={EVIL: EVIL})
            )
        assert_serves(running, tmp_path)
        assert not set(running.log) & set("\x1b\x07\r\u202e")


@linux
def test_an_agent_whose_log_nobody_reads_still_serves(tmp_path):
    host = str(tmp_path / "agent")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "edge_tester.scenarios.inference_server"),
            *("network", "echo", "--host", host, "--verbosity", "INFO"),
        ],
        cwd=HOSTS,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout.readline()
        for _ in range(2000):
            with socket.socket(socket.AF_UNIX) as noisy:
                noisy.connect(host)
                noisy.sendall(b"GET / HTTP/1.1\r\nHost: target\r\n\r\n")
        client = SampleClient(NetworkProtocol(host=host))
        client.connect(Hello(client="a test", wait=True), answer_limit_s=10)
        client.upload_model(echo_model(tmp_path))
        assert [list(GOOD)] == client.run_sample(sample(*GOOD)).outputs[0].tolist()
        client.disconnect()
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(30)
    finally:
        process.kill()
        process.communicate()
