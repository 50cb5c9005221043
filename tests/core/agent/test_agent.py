"""The agent survives everything, and says what happened."""

import os
import signal
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edge_tester.core.artifact import Artifact
from edge_tester.core.errors import RemoteProtocolError, TargetError, UnreachableError
from edge_tester.core.wire import frames as wire
from edge_tester.core.wire.client import Client
from edge_tester.core.wire.frames import Type
from edge_tester.core.wire.payloads import Hello, ModelDescription, encode
from edge_tester.core.wire.states import FATAL_CODES
from edge_tester.runtimeprotocols.network import NetworkProtocol
from tests.agents import FAULTY, SampleClient, echo_model, running_agent, sample

GOOD = (0, 2, 3, 4)
BAD = (1, 2, 3, 4)


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    with running_agent(tmp_path_factory.mktemp("agent")) as running:
        yield running


def assert_serves(agent, folder) -> None:
    """A whole session works."""
    client = agent.connect()
    client.upload_model(echo_model(folder))
    assert [list(GOOD)] == client.run_sample(sample(*GOOD)).outputs[0].tolist()
    client.disconnect()


def test_session_after_session_has_clean_statistics(agent, tmp_path):
    for _ in range(3):
        client = agent.connect()
        client.upload_model(echo_model(tmp_path))
        for count in range(1, 4):
            answer = client.run_sample(sample())
            assert count == answer.counters.inferences
        assert answer.counters.load_ns > 0
        assert answer.counters.first_inference_ns > 0
        client.disconnect()


def test_models_one_after_another_in_one_session(agent, tmp_path):
    client = agent.connect()
    for size in (4, 1000, 2):
        client.upload_model(echo_model(tmp_path, size))
        values = np.arange(size, dtype=np.uint8)[np.newaxis] * 2
        answer = client.run_sample([values])
        assert values.tolist() == answer.outputs[0].tolist()
        assert 1 == answer.counters.inferences
    client.disconnect()


def test_the_reported_time_is_that_of_the_run(agent, tmp_path):
    client = agent.connect()
    client.upload_model(echo_model(tmp_path, inference_ns=3_000_000))
    for classical in (False, True):
        assert 3_000_000 <= client.run_sample(sample(), classical=classical).target_ns
    client.disconnect()


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        ("segfault", "crashed", "SIGSEGV.*during an inference"),
        ("abort", "crashed", "SIGABRT.*during an inference"),
        ("exit", "crashed", "exit status 3 during an inference"),
        ("killed", "crashed", "SIGKILL.*out of memory"),
        ("hang", "timeout", "An inference took longer than the target's limit of 1 s"),
        ("memory", "memory", "out of memory"),
        ("error", "runtime", "ValueError: the weights are upside down"),
        ("polite exit", "runtime", "SystemExit: 3"),
    ],
)
@pytest.mark.parametrize("conversation", ["flight", "classical"])
def test_a_model_that_goes_wrong_is_named_and_the_next_client_is_served(
    tmp_path, fault, code, said, conversation
):
    words = ("--fault", fault, "--time-limit-s", "1")
    with running_agent(tmp_path, *words, runtime=FAULTY) as running:
        client = running.connect()
        client.upload_model(echo_model(tmp_path))
        client.run_sample(sample(*GOOD))
        with pytest.raises(TargetError, match=said) as caught:
            client.run_sample(sample(*BAD), classical=conversation == "classical")
        assert code == caught.value.code
        if code not in FATAL_CODES:
            # The session goes on, and so does its count.
            assert 2 == client.run_sample(sample(*GOOD)).counters.inferences
        client.disconnect()
        assert_serves(running, tmp_path)


def test_a_model_that_writes_to_every_descriptor_harms_only_itself(tmp_path):
    with running_agent(tmp_path, "--fault", "scribble", runtime=FAULTY) as running:
        client = running.connect()
        client.upload_model(echo_model(tmp_path))
        with pytest.raises((TargetError, RemoteProtocolError, UnreachableError)):
            client.run_sample(sample(*BAD))
            client.run_sample(sample(*GOOD))
        client.disconnect()
        wait_until_free(running)
        assert_serves(running, tmp_path)


def test_processes_that_a_model_started_end_with_it(tmp_path):
    words = ("--fault", "hang with a child", "--time-limit-s", "1", "--isolation", "none")
    with running_agent(tmp_path, *words, runtime=FAULTY) as running:
        client = running.connect()
        client.upload_model(echo_model(tmp_path))
        with pytest.raises(TargetError, match="took longer"):
            client.run_sample(sample(*BAD))
        client.disconnect()
        assert_serves(running, tmp_path)
    commands = [
        path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if readable(path)
    ]
    assert b"sleep\x004711\x00" not in commands


def readable(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(("fault", "said"), [("segfault", "while it loaded"), ("hang", "Loading")])
def test_a_model_that_goes_wrong_while_it_loads(tmp_path, fault, said):
    loader = "tests.faulty_runtimes.FaultyLoader"
    words = ("--fault", fault, "--time-limit-s", "1")
    with running_agent(tmp_path, *words, runtime=loader) as running:
        client = running.connect()
        with pytest.raises(TargetError, match=said):
            client.upload_model(echo_model(tmp_path))
        running.connect().disconnect()


def test_a_second_client_is_told_who_is_served(agent, tmp_path):
    first = agent.connect()
    with pytest.raises(TargetError, match="in use by a test .* for \\d+ s") as caught:
        agent.connect()
    assert "busy" == caught.value.code
    first.upload_model(echo_model(tmp_path))
    first.run_sample(sample())
    first.disconnect()


def test_a_second_client_waits_in_line_where_it_asks(agent, tmp_path):
    first, reasons, served = agent.connect(), [], threading.Event()

    def wait() -> None:
        second = SampleClient(NetworkProtocol(host=agent.host))
        second.connect(Hello(client="a patient test", wait=True), reasons.append)
        second.upload_model(echo_model(tmp_path))
        second.run_sample(sample())
        second.disconnect()
        served.set()

    thread = threading.Thread(target=wait)
    thread.start()
    while not reasons:
        time.sleep(0.01)
    assert "in use by a test" in reasons[0]
    assert not served.is_set()
    first.disconnect()
    thread.join(30)
    assert served.is_set()


def test_a_waiting_client_that_leaves_is_forgotten(agent, tmp_path):
    first = agent.connect()
    with socket.socket(socket.AF_UNIX) as second:
        second.connect(agent.host)
        hello = encode(Hello(client="an impatient test", wait=True))
        second.sendall(wire.encode_header(Type.HELLO, 0, 0, len(hello)) + hello)
        assert second.recv(wire.HEADER_BYTES)
    first.disconnect()
    assert_serves(agent, tmp_path)


def hello_frame(content: bytes) -> bytes:
    return wire.encode_header(Type.HELLO, 0, 0, len(content)) + content


GARBAGE = {
    "nothing": b"",
    "http": b"GET / HTTP/1.1\r\nHost: target\r\n\r\n",
    "zeros": bytes(4096),
    "half a header": b"EDGT\x01",
    "a bad checksum": wire.encode_header(Type.HELLO, 0, 0, 5)[:-1] + b"?hello",
    "a huge hello": wire.encode_header(Type.HELLO, 0, 0, 1 << 62),
    "no hello": wire.encode_header(Type.STATS, 0, 0, 0),
    "hello that is no text": hello_frame(b"\x81\xa6client\xa1\xff"),
    "hello without end": hello_frame(
        b"\x82\xa6client\xa1x\xafruntime_options\x81\xa1a" + b"\x91" * 60_000
    ),
    "hello that is no msgpack": wire.encode_header(Type.HELLO, 0, 0, 3) + b"\xc1\xc1\xc1",
    "random": np.random.default_rng(7).bytes(100_000),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_garbage_before_hello_ends_only_its_own_connection(agent, tmp_path, garbage):
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(agent.host)
        try:
            stranger.sendall(garbage)
            stranger.shutdown(socket.SHUT_WR)
        except OSError:
            # It may be turned away in mid-sentence.
            assert len(garbage) > wire.HEADER_BYTES
        assert_serves(agent, tmp_path)


GARBAGE_AFTER_HELLO = {
    "random": np.random.default_rng(8).bytes(5000),
    "data before a model": wire.encode_header(Type.DATA, 0, 1, 4) + b"1234",
    "an answer": wire.encode_header(Type.OK, 0, 1, 0),
    "a huge model": wire.encode_header(Type.MODEL, 0, 1, 1 << 50),
    "a model without description": wire.encode_header(Type.MODEL, 0, 1, 2) + b"xx",
    "a second hello": wire.encode_header(Type.HELLO, 0, 1, 0),
    "half a model, then the end": wire.encode_header(Type.MODEL, 0, 1, 1 << 30) + b"\0\0\0\1x",
}


@pytest.mark.parametrize("garbage", GARBAGE_AFTER_HELLO.values(), ids=GARBAGE_AFTER_HELLO)
def test_garbage_after_hello_ends_only_its_own_session(agent, tmp_path, garbage):
    client = agent.connect()
    connection = client.protocol.connection
    connection.sendall(garbage)
    connection.shutdown(socket.SHUT_WR)
    with pytest.raises((TargetError, UnreachableError)):
        client.counters()
    client.disconnect()
    wait_until_free(agent)
    assert_serves(agent, tmp_path)


def wait_until_free(agent) -> None:
    client = Client(NetworkProtocol(host=agent.host))
    client.connect(Hello(client="a test", wait=True))
    client.disconnect()


def test_a_silent_stranger_does_not_keep_others_out(agent, tmp_path):
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(agent.host)
        assert_serves(agent, tmp_path)


def test_an_idle_client_is_ended(tmp_path):
    with running_agent(tmp_path, "--idle-limit-s", "1") as running:
        client = running.connect()
        time.sleep(1.5)
        with pytest.raises(TargetError, match="said nothing for 1 s"):
            client.counters()
        assert_serves(running, tmp_path)


def test_a_model_that_arrives_damaged_is_refused_and_the_session_goes_on(agent, tmp_path):
    good = echo_model(tmp_path)
    client = agent.connect()
    damaged = Artifact(path=good.path, format="echo", size_bytes=good.size_bytes, sha256="0" * 64)
    with pytest.raises(TargetError, match="damaged on its way") as caught:
        client.upload_model(damaged)
    assert "model" == caught.value.code
    client.upload_model(good)
    client.run_sample(sample())
    client.disconnect()


def test_a_wrong_format_is_refused_and_the_session_goes_on(agent, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"x" * 1_000_000)
    client = agent.connect()
    with pytest.raises(TargetError, match="EchoRuntime runs echo models, got 'onnx'"):
        client.upload_model(Artifact.from_file(path))
    client.upload_model(echo_model(tmp_path))
    client.disconnect()


def test_wrong_sizes_name_both(agent, tmp_path):
    client = agent.connect()
    client.upload_model(echo_model(tmp_path))
    for wrong in (np.zeros((1, 3), np.uint8), np.zeros((1, 4), np.uint32)):
        with pytest.raises(TargetError, match=r"\(1, 4\) uint8"):
            client.run_sample([wrong])
        client.run_sample(sample())
    client.disconnect()


def test_what_belongs_to_the_owner_of_the_target_stays_as_it_is(agent, tmp_path):
    path = tmp_path / "kept"
    client = agent.connect(runtime="echo", runtime_options={"save_model_path": str(path)})
    assert client.welcome.runtime_options["save_model_path"] is None
    client.upload_model(echo_model(tmp_path))
    client.disconnect()
    assert not path.exists()
    wait_until_free(agent)


def test_what_the_runtime_does_not_have_is_refused(agent):
    with pytest.raises(TargetError, match="has no option 'threads'"):
        agent.connect(runtime="echo", runtime_options={"threads": 2})
    wait_until_free(agent)
    with pytest.raises(TargetError, match="The agent runs echo; the client asked for 'os.system'"):
        agent.connect(runtime="os.system")
    wait_until_free(agent)


def test_the_model_is_kept_where_the_owner_says_and_never_elsewhere(tmp_path):
    kept = tmp_path / "models" / "kept.echo"
    with running_agent(tmp_path, "--save-model-path", str(kept)) as running:
        assert_serves(running, tmp_path)
    assert echo_model(tmp_path).path.read_bytes() == kept.read_bytes()


def test_a_killed_agent_is_noticed_by_its_client(tmp_path):
    with running_agent(tmp_path) as running:
        client = running.connect()
        client.upload_model(echo_model(tmp_path))
        children = open(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read()
        session = int(children.split()[0])
        running.process.kill()
        with pytest.raises((UnreachableError, TargetError)):
            while True:
                client.run_sample(sample())
        wait_for_end(session)
        running.process.wait()
        running.process.returncode = 0  # It was us.


def test_a_stopped_agent_leaves_no_process_and_no_socket(tmp_path):
    with running_agent(tmp_path) as running:
        children = open(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read()
        session = int(children.split()[0])
        running.process.send_signal(signal.SIGINT)
        assert 0 == running.process.wait(30)
    wait_for_end(session)


def wait_for_end(pid: int) -> None:
    for _ in range(500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        with open(f"/proc/{pid}/stat") as stat:
            if stat.read().split()[2] == "Z":
                return
        time.sleep(0.02)
    raise AssertionError(f"process {pid} still runs")


def test_a_client_does_not_take_anything_for_an_agent(tmp_path):
    path = tmp_path / "web"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(RemoteProtocolError, match="does not speak the edge_tester protocol"):
            Client(NetworkProtocol(host=str(path))).connect(Hello(client="a test"))
        thread.join()


def test_a_target_that_ends_a_session_is_heard_even_if_the_client_was_just_speaking(agent):
    description = encode(ModelDescription(format="x" * (2 << 20), size_bytes=0, sha256="0" * 64))
    content = len(description).to_bytes(4, "big") + description
    client = agent.connect()
    with pytest.raises(TargetError, match="too long"):
        client.conversation.answer(client.conversation.request(Type.MODEL, [content]), 0)
    client.disconnect()
