import socket
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from edge_tester.core.agent.agent import Agent
from edge_tester.core.errors import OptionError, ProtocolError, UnreachableError
from edge_tester.core.wire import greeting
from edge_tester.core.wire.client import Client
from edge_tester.core.wire.payloads import Hello
from edge_tester.runtimeprotocols.network import NetworkProtocol
from edge_tester.testing import RuntimeProtocolConformance
from tests.agents import running_agent


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")


class TestTCP(RuntimeProtocolConformance):
    cls = NetworkProtocol
    options = {"port": 0}


class TestSmallPackets(RuntimeProtocolConformance):
    cls = NetworkProtocol
    options = {"port": 0, "packet_size": 1024}


@needs_ipv6
class TestIPv6(RuntimeProtocolConformance):
    cls = NetworkProtocol
    options = {"host": "::1", "port": 0}


class TestUnixSocket(RuntimeProtocolConformance):
    cls = NetworkProtocol

    @pytest.fixture
    def server_options(self, tmp_path):
        return {"host": str(tmp_path / "agent")}


@pytest.fixture
def listening():
    """A server on a free port."""
    server = NetworkProtocol(port=0)
    listener = server.start_server()
    yield server
    listener.close()


def test_port_0_takes_a_free_port(listening):
    assert listening.port > 0
    assert f"127.0.0.1:{listening.port}" == listening.address
    client = NetworkProtocol(port=listening.port)
    client.start_client()
    client.disconnect()


def test_a_port_in_use_is_named(listening):
    with pytest.raises(UnreachableError) as caught:
        NetworkProtocol(port=listening.port).start_server()
    assert (
        f"127.0.0.1:{listening.port} is in use, perhaps by another agent: stop it or choose "
        "another --port." == str(caught.value)
    )


def test_a_port_can_be_taken_again_at_once():
    server = NetworkProtocol(port=0)
    listener = server.start_server()
    client = NetworkProtocol(port=server.port)
    client.start_client()
    connection, _ = listener.accept()
    # The side that closes first keeps the port in TIME_WAIT.
    connection.close()
    client.disconnect()
    listener.close()
    NetworkProtocol(port=server.port).start_server().close()


@pytest.mark.parametrize("method", ["start_server", "start_client"])
def test_an_unknown_host_is_named(method):
    with pytest.raises(UnreachableError, match="no-such-host.invalid"):
        getattr(NetworkProtocol(host="no-such-host.invalid"), method)()


def test_an_address_of_another_machine_cannot_be_listened_on():
    # Of the block that documentation uses, RFC 5737.
    with pytest.raises(UnreachableError, match="cannot listen on 192.0.2.1:12345"):
        NetworkProtocol(host="192.0.2.1").start_server()


def test_who_connects_to_nobody_learns_what_to_start():
    server = NetworkProtocol(port=0)
    server.start_server().close()
    with pytest.raises(UnreachableError) as caught:
        NetworkProtocol(port=server.port).start_client()
    expected = f"edge-tester server network tflite --host 127.0.0.1 --port {server.port}"
    assert str(caught.value).endswith(expected)
    assert "Connection refused" in str(caught.value)


def test_who_connects_to_no_socket_learns_what_to_start(tmp_path):
    path = tmp_path / "agent"
    with pytest.raises(UnreachableError) as caught:
        NetworkProtocol(host=str(path)).start_client()
    expected = f"edge-tester server network tflite --host {path}"
    assert str(caught.value).endswith(expected)


def test_a_stale_unix_socket_is_replaced(tmp_path):
    path = tmp_path / "agent"
    NetworkProtocol(host=str(path)).start_server().close()
    assert path.exists()
    listener = NetworkProtocol(host=str(path)).start_server()
    client = NetworkProtocol(host=str(path))
    client.start_client()
    client.disconnect()
    listener.close()


def test_a_living_unix_socket_is_kept(tmp_path):
    path = tmp_path / "agent"
    listener = NetworkProtocol(host=str(path)).start_server()
    with pytest.raises(UnreachableError, match=f"{path} is in use"):
        NetworkProtocol(host=str(path)).start_server()
    client = NetworkProtocol(host=str(path))
    client.start_client()
    client.disconnect()
    listener.close()


def test_a_file_is_never_replaced_by_a_socket(tmp_path):
    path = tmp_path / "agent"
    path.write_text("precious")
    with pytest.raises(UnreachableError, match="in use"):
        NetworkProtocol(host=str(path)).start_server()
    assert "precious" == path.read_text()


def test_a_path_that_is_too_long_for_a_socket(tmp_path):
    path = tmp_path / ("x" * 120)
    for method in ("start_server", "start_client"):
        with pytest.raises(UnreachableError, match="too long"):
            getattr(NetworkProtocol(host=str(path)), method)()


def test_only_its_owner_can_use_a_unix_socket(tmp_path):
    path = tmp_path / "new folder" / "agent"
    listener = NetworkProtocol(host=str(path)).start_server()
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    listener.close()


@pytest.mark.parametrize(
    ("host", "exposed"),
    [
        ("127.0.0.1", False),
        ("127.8.9.1", False),
        ("localhost", False),
        ("::1", False),
        ("/run/agent", False),
        ("./agent", False),
        ("0.0.0.0", True),
        ("::", True),
        ("", True),
        ("192.168.1.7", True),
        ("target.local", True),
        ("127.0.0.1.example.org", True),
        ("::ffff:192.168.1.7", True),
    ],
)
def test_who_could_connect(host, exposed):
    protocol = NetworkProtocol(host=host)
    assert exposed == protocol.exposed
    if exposed:
        with pytest.raises(OptionError, match="--insecure"):
            Agent().serve(protocol, [])


def test_small_messages_are_sent_at_once_on_both_sides():
    server = NetworkProtocol(port=0)
    listener = server.start_server()
    client, target = NetworkProtocol(port=server.port), NetworkProtocol()
    client.start_client()
    target.attach(listener.accept()[0])
    for side in (client, target):
        assert side.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert side.connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        # Connecting has a time limit; an inference may take longer.
        assert side.connection.gettimeout() is None
        side.disconnect()
    listener.close()


def test_a_descriptor_can_be_attached(tmp_path):
    ours, theirs = socket.socketpair()
    protocol = NetworkProtocol(host=str(tmp_path))
    protocol.attach(theirs.detach())
    protocol.connection.sendall(b"here")
    assert b"here" == ours.recv(10)
    protocol.disconnect()
    ours.close()


@pytest.mark.parametrize(
    ("answer", "connections", "said"),
    [
        (None, 1, "said nothing for too long"),
        # It might have been a process that was just ending.
        (b"", 2, "connection"),
        (b"HTTP/1.1 400 Bad", 1, "it sent b'HTTP"),
    ],
)
def test_what_listens_but_is_no_agent_is_named_in_time(monkeypatch, answer, connections, said):
    monkeypatch.setattr(greeting, "HELLO_LIMIT_S", 0.2)
    if answer is None:
        monkeypatch.setattr(greeting, "_AT_ONCE_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        kept = []
        listener.settimeout(10)

        def answered():
            for _ in range(connections):
                connection, _ = listener.accept()
                kept.append(connection)
                if answer is not None:
                    connection.sendall(answer.ljust(24 if answer else 0))
                    connection.close()

        done = pool.submit(answered)
        client = Client(NetworkProtocol(port=listener.getsockname()[1]))
        with pytest.raises(ProtocolError, match="no agent of edge_tester answers") as caught:
            client.connect(Hello(client="a test"))
        assert said in str(caught.value)
        done.result()
        for connection in kept:
            connection.close()


def test_a_connection_that_a_process_took_along_which_ended_is_made_once_more(tmp_path):
    """As when what ends TLS was killed a moment before: another process has its place already."""
    place = tmp_path / "place"
    with running_agent(tmp_path) as agent, socket.socket(socket.AF_UNIX) as ending:
        ending.bind(str(place))
        ending.listen()

        def end():
            connection, _ = ending.accept()
            (tmp_path / "next").symlink_to(agent.host)
            (tmp_path / "next").replace(place)
            connection.close()

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(end)
            client = Client(NetworkProtocol(host=str(place)))
            assert "echo" == client.connect(Hello(client="a test")).runtime
            client.disconnect()
            done.result()
