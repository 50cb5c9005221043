"""Several sessions of one client: each by itself, one block at a time, and nobody else beside."""

import re
import signal
import sys
import threading
import time

import pytest

from edge_tester.core.agent.sessions import SESSIONS_AT_ONCE
from edge_tester.core.errors import LocalProtocolError, TargetError
from edge_tester.core.wire.frames import Type
from edge_tester.core.wire.payloads import Block, Hello
from edge_tester.runtimeprotocols.network import NetworkProtocol
from tests import known_costs
from tests.agents import (
    SampleClient,
    children_of,
    echo_model,
    running_agent,
    sample,
    wait_until,
)
from tests.faults.test_attacks import GOOD, assert_serves

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
MILLISECOND_NS = 1_000_000


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    with running_agent(tmp_path_factory.mktemp("agent")) as running:
        yield running


def assert_answers(client) -> None:
    assert [list(GOOD)] == client.run_sample(sample(*GOOD)).outputs[0].tolist()


@pytest.mark.parametrize("network", ["unix", "tcp"])
def test_two_models_answer_in_turns(opened, tmp_path, network):
    words = ("--host", "127.0.0.1", "--port", "0") if network == "tcp" else ()
    with running_agent(tmp_path, *words) as running:
        port = re.search(r":(\d+) runs", running.greeting)
        first = opened(running, **{"port": int(port[1])} if port else {})
        second = opened(running, first)
        first.upload_model(echo_model(tmp_path))
        second.upload_model(echo_model(tmp_path, 2))
        for number in range(1, 6):
            assert number == first.run_sample(sample(*GOOD)).counters.inferences
            answer = second.run_sample(sample(number, 2))
            assert [[number, 2]] == answer.outputs[0].tolist()
            assert number == answer.counters.inferences


def test_who_waits_in_line_waits_for_the_last_session(agent, opened, tmp_path):
    first = opened(agent)
    reasons, served = [], threading.Event()

    def wait() -> None:
        patient = SampleClient(NetworkProtocol(host=agent.host))
        patient.connect(Hello(client="a patient test", wait=True), reasons.append)
        served.set()
        patient.disconnect()

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(lambda: reasons)
    # A process that was begun in advance is not for him.
    time.sleep(2)
    assert not served.is_set()
    second = opened(agent, first)
    first.disconnect()
    third = opened(agent, second)
    second.disconnect()
    # More than a session that has lost its client may take to end.
    time.sleep(3)
    assert not served.is_set()
    third.upload_model(echo_model(tmp_path))
    assert_answers(third)
    third.disconnect()
    thread.join(30)
    assert served.is_set()


def test_a_client_that_named_no_feature_has_no_ticket(agent):
    client = agent.wait()
    assert "beside" not in client.welcome.features
    with pytest.raises(LocalProtocolError, match="no ticket for a further session"):
        client.beside(Hello(client="a test"))
    client.disconnect()


def test_a_client_has_so_many_sessions_and_no_more(agent, opened):
    first = opened(agent)
    others = [opened(agent, first) for _ in range(SESSIONS_AT_ONCE - 1)]
    with pytest.raises(TargetError, match="may have 8 sessions on the target.*memory") as caught:
        opened(agent, others[-1])
    assert "busy" == caught.value.code
    others[3].disconnect()
    opened(agent, first).counters()
    for one in (first, *others[:3], *others[4:]):
        one.counters()


def test_blocks_never_overlap_and_waiting_is_not_limited(tmp_path, opened):
    """A block that lasts longer than all limits holds up another, which is not ended for it."""
    words = ("--sleep-ns", str(150 * MILLISECOND_NS))
    limits = ("--time-limit-s", "1", "--stall-limit-s", "1")
    with running_agent(tmp_path, *words, *limits, runtime=known_costs.PATH) as running:
        first = opened(running)
        second = opened(running, first)
        model = known_costs.model(tmp_path)
        for client in (first, second):
            client.upload_model(model)
        found = []
        threads = [
            threading.Thread(
                target=lambda c=client: found.append(c.run_block([sample()], count=20))
            )
            for client in (first, second)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        earlier, later = sorted(found, key=lambda block: block.begin_ns)
        assert earlier.end_ns[-1] <= later.begin_ns


def test_a_model_is_loaded_when_no_block_runs(tmp_path, opened):
    words = ("--sleep-ns", str(500 * MILLISECOND_NS))
    with running_agent(tmp_path, *words, runtime=known_costs.PATH) as running:
        first = opened(running)
        second = opened(running, first)
        first.upload_model(known_costs.model(tmp_path))
        first.run_sample(sample())
        talk = first.conversation
        process = talk.request(Type.PROCESS, [Block(0, 1, 3, 0).encoded()])
        # It has begun.
        talk.answer(process, 0)
        second.upload_model(known_costs.model(tmp_path))
        loaded_ns = time.perf_counter_ns()
        assert first._times(process, Block(0, 1, 3, 0))[2][-1] <= loaded_ns


def test_a_host_that_works_in_one_session_keeps_the_others(tmp_path, opened):
    with running_agent(tmp_path, "--idle-limit-s", "3") as running:
        first = opened(running)
        second = opened(running, first)
        second.upload_model(echo_model(tmp_path))
        first.upload_model(echo_model(tmp_path))
        end_s = time.monotonic() + 4
        while time.monotonic() < end_s:
            assert_answers(first)
            time.sleep(0.1)
        # One that has ended was worked with until then.
        first.disconnect()
        time.sleep(0.5)
        assert_answers(second)
        third = opened(running, second)
        time.sleep(4)
        for idle in (second, third):
            with pytest.raises(TargetError, match="said nothing for 3 s"):
                idle.counters()
        assert_serves(running, tmp_path)


def test_an_agent_that_is_stopped_ends_all_sessions(tmp_path, opened):
    with running_agent(tmp_path) as running:
        first = opened(running)
        second = opened(running, first)
        running.process.send_signal(signal.SIGTERM)
        for client in (first, second):
            with pytest.raises(TargetError, match="The agent was stopped"):
                # The signal takes a moment to arrive.
                wait_until(lambda client=client: client.counters() is None)
        assert 0 == running.process.wait(30)


@linux
def test_processes_are_begun_in_advance_for_those_who_ask_and_for_nobody_else(tmp_path, opened):
    with running_agent(tmp_path) as running:
        pid = running.process.pid
        plain = running.connect()
        plain.upload_model(echo_model(tmp_path))
        assert 1 == len(children_of(pid))
        plain.disconnect()

        first = opened(running)
        wait_until(lambda: len(children_of(pid)) == 2)
        in_advance = set(children_of(pid))
        second = opened(running, first)
        assert in_advance == set(children_of(pid))
        third = opened(running, second)
        third.upload_model(echo_model(tmp_path))
        # Nobody has asked for a fourth.
        assert 3 == len(children_of(pid))
        for client in (first, second, third):
            client.disconnect()

        alone = opened(running)
        wait_until(lambda: len(children_of(pid)) == 2)
        owned = set(children_of(pid))
        alone.disconnect()
        following = running.wait()
        # Its process was not there while another client's models could run.
        assert set() == owned & set(children_of(pid))
        following.disconnect()
