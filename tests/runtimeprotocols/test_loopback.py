import tempfile
from pathlib import Path

import pytest

from edge_tester.core.errors import LocalProtocolError, TargetError
from edge_tester.core.wire.client import Client
from edge_tester.core.wire.payloads import Hello
from edge_tester.runtimeprotocols.loopback import LoopbackProtocol
from edge_tester.runtimes.echo import EchoRuntime
from edge_tester.testing import RuntimeProtocolConformance
from edge_tester.testing.runtimeprotocol import Link
from tests.agents import SampleClient, echo_model, sample


class TestConformance(RuntimeProtocolConformance):
    cls = LoopbackProtocol

    @pytest.fixture
    def link(self):
        host = LoopbackProtocol()

        def connect():
            target = LoopbackProtocol()
            target.attach(host)
            host.attach(target)
            return target

        yield Link(host, connect)
        host.disconnect()


@pytest.fixture
def client():
    protocol = LoopbackProtocol()
    protocol.runtime = EchoRuntime()
    client = SampleClient(protocol)
    yield client
    client.disconnect()


def test_a_whole_session(client, tmp_path):
    for _ in range(2):
        welcome = client.connect(Hello(client="a test"))
        assert "echo" == welcome.runtime
        client.upload_model(echo_model(tmp_path))
        for count in (1, 2):
            answer = client.run_sample(sample(4, 3, 2, 1))
            assert [[4, 3, 2, 1]] == answer.outputs[0].tolist()
            assert count == answer.counters.inferences
        client.disconnect()


def test_it_goes_on_after_an_error(client, tmp_path):
    client.connect(Hello(client="a test"))
    client.upload_model(echo_model(tmp_path))
    with pytest.raises(TargetError, match=r"\(1, 4\) uint8, got shape \(1, 3\)"):
        client.run_sample(sample(1, 2, 3))
    assert [[1, 2, 3, 4]] == client.run_sample(sample(1, 2, 3, 4)).outputs[0].tolist()


def test_nothing_is_left_on_disk(client, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    Path(tempfile.gettempdir()).mkdir()
    client.connect(Hello(client="a test"))
    client.upload_model(echo_model(tmp_path))
    assert list((tmp_path / "scratch").iterdir())
    client.disconnect()
    assert [] == list((tmp_path / "scratch").iterdir())


def test_it_is_one_connection_and_offers_no_further_session(client):
    welcome = client.connect(Hello(client="a test", features=["beside"]))
    assert ["offer", "schedule"] == welcome.features
    assert "" == client.ticket


def test_it_has_no_server():
    with pytest.raises(LocalProtocolError, match="has no server"):
        LoopbackProtocol().start_server()


def test_it_needs_a_runtime():
    with pytest.raises(LocalProtocolError, match="runtime was not set"):
        Client(LoopbackProtocol()).connect(Hello(client="a test"))
