"""What an agent says of itself, who may use it for a time, and how it takes its leave."""

import signal

import pytest

from edge_tester.core.agent.desk import Desk
from edge_tester.core.errors import TargetError, UnreachableError
from edge_tester.core.run import reservations
from edge_tester.core.wire.conversation import Conversation
from edge_tester.core.wire.greeting import ask
from edge_tester.core.wire.payloads import Hello
from edge_tester.runtimeprotocols.network import NetworkProtocol
from edge_tester.scenarios.agent import asked
from tests.agents import SampleClient, echo_model, running_agent, sample, wait_until
from tests.core.agent.guarded import connected


@pytest.fixture
def agent(tmp_path):
    with running_agent(tmp_path) as running:
        yield running


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Reservations of a user of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def link(agent) -> NetworkProtocol:
    return NetworkProtocol(host=agent.host)


def served(agent, **hello) -> SampleClient:
    client = SampleClient(link(agent))
    client.connect(Hello(client="a test", **hello))
    return client


def test_it_tells_who_is_served_while_it_serves(agent, tmp_path):
    client = connected(agent.host)
    client.upload_model(echo_model(tmp_path))
    found = asked(link(agent), "status")
    assert [("a test", "local client")] == [(one.client, one.address) for one in found.served]
    assert ["echo"] == [one.name for one in found.runtimes]
    assert 0 < found.memory_available_bytes and 0 < found.disk_free_bytes
    assert echo_model(tmp_path).size_bytes == found.store_bytes
    assert (0, 0, "") == (found.waiting, found.sessions, found.reserved_by)
    # The one who is served notices nothing of it.
    assert [[1, 2, 3, 4]] == client.run_sample(sample(1, 2, 3, 4)).outputs[0].tolist()
    client.disconnect()
    wait_until(lambda: asked(link(agent), "status").sessions == 1)
    assert [] == asked(link(agent), "status").served


def test_who_has_no_token_learns_nothing(guarded, lab):
    conversation = Conversation(link(guarded))
    with pytest.raises(Exception, match="asks for a token"):
        ask(conversation, Hello(client="a stranger", ask="status"))
    conversation.end()
    with_token = NetworkProtocol(host=guarded.host, token_file=lab / "token")
    assert ["echo"] == [one.name for one in asked(with_token, "status").runtimes]


def test_what_it_does_not_know_it_says(agent):
    with pytest.raises(TargetError, match="can be asked for status, reserve, release"):
        asked(link(agent), "weather")


def test_a_reservation_keeps_others_out_and_lets_its_holder_in(agent, tmp_path, monkeypatch):
    answer = asked(link(agent), "reserve", 600.0)
    assert reservations.ticket_for(agent.host) == answer.reservation
    with pytest.raises(TargetError, match=r"is reserved by edge_tester on .* for another \d+ s"):
        served(agent)
    for _ in range(2):
        served(agent, reservation=answer.reservation).disconnect()
    assert asked(link(agent), "status").reserved_by.startswith("edge_tester on ")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "of another user"))
    for what in ("reserve", "release"):
        with pytest.raises(TargetError, match="is reserved by"):
            asked(link(agent), what, 600.0)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    asked(link(agent), "release")
    assert "" == reservations.ticket_for(agent.host)
    served(agent).disconnect()


def test_who_waits_is_served_when_a_reservation_ends_by_itself(agent, tmp_path):
    asked(link(agent), "reserve", 1.0)
    client = SampleClient(link(agent))
    said = []
    client.connect(Hello(client="a test", wait=True), said.append)
    assert "reserved by" in said[0] and "Number 1 in line." in said[0]
    client.upload_model(echo_model(tmp_path))
    client.disconnect()


def test_a_reservation_has_a_limit(agent):
    with pytest.raises(TargetError, match="up to 604800 s"):
        asked(link(agent), "reserve", 1e9)
    with pytest.raises(TargetError, match="up to 604800 s"):
        asked(link(agent), "reserve", float("nan"))


def test_who_waits_in_line_hears_his_place(agent):
    import threading

    first = connected(agent.host)
    told = [[], []]
    clients = [SampleClient(link(agent)) for _ in told]

    def wait(number):
        hello = Hello(client=f"number {number}", wait=True)
        clients[number].connect(hello, told[number].append)

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(2)]
    for number, thread in enumerate(threads):
        thread.start()
        wait_until(lambda number=number: asked(link(agent), "status").waiting == number + 1)
    first.disconnect()
    threads[0].join(30)
    wait_until(lambda: len(told[1]) == 2)
    clients[0].disconnect()
    threads[1].join(30)
    clients[1].disconnect()
    assert 1 == len(told[0]) and told[0][0].endswith("Number 1 in line.")
    assert "Number 2 in line." in told[1][0]
    # By then one session has told how long one takes.
    assert "in use by number 0" in told[1][1] and "Number 1 in line, for about" in told[1][1]


def test_a_wait_is_that_of_the_sessions_before():
    desk = Desk()
    assert desk.wait_s(1, 5.0) is None
    for lasting_s in (10.0, 30.0, 20.0):
        desk.ended(lasting_s)
    assert [15.0, 35.0, 0.0, 40.0] == [
        desk.wait_s(1, 5.0),
        desk.wait_s(2, 5.0),
        desk.wait_s(1, 50.0),
        desk.wait_s(3, None),
    ]


def test_asked_to_leave_it_lets_the_session_end(agent, tmp_path):
    client = SampleClient(link(agent))
    client.connect(Hello(client="a test", features=["beside"]))
    client.upload_model(echo_model(tmp_path))
    agent.process.send_signal(signal.SIGQUIT)
    wait_until(lambda: asked(link(agent), "status").stopping)
    with pytest.raises(TargetError, match="ends after the session"):
        served(agent, wait=True)
    beside = client.beside(Hello(client="a test"))
    beside.disconnect()
    assert [[4, 3, 2, 1]] == client.run_sample(sample(4, 3, 2, 1)).outputs[0].tolist()
    assert agent.process.poll() is None
    client.disconnect()
    assert 0 == agent.process.wait(30)


def test_asked_to_leave_with_nobody_there_it_leaves(agent):
    agent.process.send_signal(signal.SIGQUIT)
    assert 0 == agent.process.wait(30)
    with pytest.raises(UnreachableError):
        served(agent)
