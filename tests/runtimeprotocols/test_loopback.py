import tempfile
from pathlib import Path

import pytest

from edge_tester.core.errors import LocalProtocolError, TargetError
from edge_tester.core.wire.payloads import Hello
from edge_tester.runtimeprotocols.loopback import LoopbackProtocol
from edge_tester.runtimes.echo import EchoRuntime
from edge_tester.testing import RuntimeProtocolConformance
from edge_tester.testing.runtimeprotocol import Link
from tests.agents import echo_model, sample


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
def protocol():
    protocol = LoopbackProtocol()
    protocol.runtime = EchoRuntime()
    yield protocol
    protocol.disconnect()


def test_a_whole_session(protocol, tmp_path):
    for _ in range(2):
        welcome = protocol.connect(Hello(client="a test"))
        assert "edge_tester.runtimes.echo.EchoRuntime" == welcome.runtime
        protocol.upload_model(echo_model(tmp_path))
        for count in (1, 2):
            answer = protocol.run_sample(sample(4, 3, 2, 1))
            assert [[4, 3, 2, 1]] == answer.outputs[0].tolist()
            assert count == answer.statistics.inferences
        protocol.disconnect()


def test_it_goes_on_after_an_error(protocol, tmp_path):
    protocol.connect(Hello(client="a test"))
    protocol.upload_model(echo_model(tmp_path))
    with pytest.raises(TargetError, match=r"\(1, 4\) uint8, got shape \(1, 3\)"):
        protocol.run_sample(sample(1, 2, 3))
    assert [[1, 2, 3, 4]] == protocol.run_sample(sample(1, 2, 3, 4)).outputs[0].tolist()


def test_nothing_is_left_on_disk(protocol, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    Path(tempfile.gettempdir()).mkdir()
    protocol.connect(Hello(client="a test"))
    protocol.upload_model(echo_model(tmp_path))
    assert list((tmp_path / "scratch").iterdir())
    protocol.disconnect()
    assert [] == list((tmp_path / "scratch").iterdir())


def test_it_has_no_server():
    with pytest.raises(LocalProtocolError, match="has no server"):
        LoopbackProtocol().start_server()


def test_it_needs_a_runtime():
    with pytest.raises(LocalProtocolError, match="runtime was not set"):
        LoopbackProtocol().connect(Hello(client="a test"))
