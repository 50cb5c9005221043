"""Nobody gets in who should not: tokens and certificates, with real agents."""

import contextlib
import itertools
import os
import re
import signal
import socket
import threading
import time

import pytest

from edge_tester.core.agent.handshake import TIME_LIMIT_S
from edge_tester.core.errors import (
    OptionError,
    ProtocolError,
    RemoteProtocolError,
    TargetError,
    UnreachableError,
)
from edge_tester.core.wire import frames as wire
from edge_tester.core.wire import tokens
from edge_tester.core.wire.frames import Flag, Type
from edge_tester.core.wire.payloads import Challenge, Hello, Proof, decode, encode
from edge_tester.core.wire.tokens import Proofs, new_nonce
from edge_tester.runtimeprotocols.network import NetworkProtocol
from edge_tester.scenarios import keys
from tests.agents import SampleClient, echo_model, running_agent, sample, wait_until


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Tokens and certificates, made by the command."""
    folder = tmp_path_factory.mktemp("lab")
    for name in ("token", "other"):
        keys.main(["token", str(folder / name)])
    wanted = ["--target", "localhost,127.0.0.1", "--target", "elsewhere", "--host", "alice"]
    keys.main(["certificates", str(folder), *wanted])
    keys.main(["certificates", str(folder / "others"), "--host", "mallory"])
    return folder


@pytest.fixture(scope="module")
def guarded(lab, tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    with running_agent(folder, "--token-file", str(lab / "token")) as running:
        yield running


def connected(host="", port=0, **options) -> SampleClient:
    address = {"host": host} if host else {"host": "127.0.0.1", "port": port}
    client = SampleClient(NetworkProtocol(**address, **options))
    client.connect(Hello(client="a test", wait=True))
    return client


def assert_runs(client, tmp_path):
    with_model = client.upload_model(echo_model(tmp_path))
    assert 1 <= with_model.slots
    (output,) = client.run_sample(sample(1, 2, 3, 4)).outputs
    assert [[1, 2, 3, 4]] == output.tolist()
    client.disconnect()


def stranger(agent) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(agent.host)
    connection.settimeout(20)
    return connection


def frame(type: int, payload: bytes, sequence: int = 0) -> bytes:
    return wire.encode_header(type, 0, sequence, len(payload)) + payload


def everything_from(connection: socket.socket) -> bytes:
    """All that comes until the end, which is a reset where something was left unread."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(1 << 16):
            found += piece
    return found


def challenge_of(connection: socket.socket, hello: bytes) -> str:
    connection.sendall(frame(Type.HELLO, hello))
    header = connection.recv(wire.HEADER_BYTES, socket.MSG_WAITALL)
    type, _, _, length = wire.decode_header(header)
    assert Type.OK == type
    return decode(connection.recv(length, socket.MSG_WAITALL), Challenge).nonce


def test_who_has_the_token_is_served(guarded, lab, tmp_path):
    assert_runs(connected(guarded.host, token_file=lab / "token"), tmp_path)


def test_the_token_may_come_from_the_environment(guarded, lab, tmp_path, monkeypatch):
    monkeypatch.setenv(tokens.VARIABLE, (lab / "token").read_text())
    assert_runs(connected(guarded.host), tmp_path)


def test_who_has_another_token_is_told_why(guarded, lab):
    with pytest.raises(UnreachableError, match="its token is another one than the one here"):
        connected(guarded.host, token_file=lab / "other")


def test_who_has_none_is_told_where_to_put_it(guarded, monkeypatch):
    monkeypatch.delenv(tokens.VARIABLE, raising=False)
    with pytest.raises(OptionError, match="asks for a token: name the file"):
        connected(guarded.host)


def test_a_host_with_a_token_wants_a_target_with_it(lab, tmp_path):
    with (
        running_agent(tmp_path) as agent,
        pytest.raises(RemoteProtocolError, match="does not ask for the token"),
    ):
        connected(agent.host, token_file=lab / "token")


HELLO = encode(Hello(client="a stranger", nonce=new_nonce()))


@pytest.mark.parametrize(
    "said",
    [
        frame(Type.MODEL, b"\0\0\0\0"),
        frame(Type.PROOF, encode(Proof("0" * 64))),
        frame(Type.HELLO, b"\xc1"),
        b"GET / HTTP/1.1\r\n\r\n" + bytes(32),
        wire.encode_header(Type.HELLO, 0, 0, 1 << 40),
    ],
    ids=["model", "proof", "no map", "http", "long"],
)
def test_who_has_proven_nothing_hears_nothing(guarded, said):
    with stranger(guarded) as connection:
        connection.sendall(said)
        assert b"" == everything_from(connection)


@pytest.mark.parametrize(
    "answer",
    [
        frame(Type.PROOF, encode(Proof("0" * 64))),
        frame(Type.PROOF, b"\xc1"),
        frame(Type.PROOF, bytes(1 << 11)),
        frame(Type.MODEL, b"\0\0\0\0"),
        frame(Type.STATS, b""),
        b"EDGT",
    ],
    ids=["wrong", "no map", "long", "model", "stats", "half"],
)
def test_who_is_challenged_hears_nothing_before_the_proof(guarded, answer):
    with stranger(guarded) as connection:
        challenge_of(connection, HELLO)
        connection.sendall(answer)
        assert b"" == everything_from(connection)


def test_a_proof_that_was_heard_is_of_no_use_again(guarded, lab):
    token = (lab / "token").read_text().strip()
    with stranger(guarded) as connection:
        nonce = challenge_of(connection, HELLO)
        heard = frame(Type.PROOF, encode(Proof(Proofs(token, HELLO, nonce).host)), 1)
        connection.sendall(heard)
        assert Type.OK == connection.recv(wire.HEADER_BYTES)[5]
    with stranger(guarded) as connection:
        assert nonce != challenge_of(connection, HELLO)
        connection.sendall(heard)
        assert b"" == everything_from(connection)


def test_the_proof_of_the_target_is_none_of_a_host(guarded, lab):
    token = (lab / "token").read_text().strip()
    with stranger(guarded) as connection:
        proofs = Proofs(token, HELLO, challenge_of(connection, HELLO))
        connection.sendall(frame(Type.PROOF, encode(Proof(proofs.target))))
        assert b"" == everything_from(connection)


def test_a_target_without_the_token_is_found_out(lab, tmp_path):
    """It asks for a proof, takes any, and cannot give one."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "agent"))
    listener.listen()

    def pretend() -> None:
        with listener, listener.accept()[0] as connection:
            for answer in (encode(Challenge(new_nonce())), encode(Proof("0" * 64))):
                header = connection.recv(wire.HEADER_BYTES, socket.MSG_WAITALL)
                _, _, sequence, length = wire.decode_header(header)
                connection.recv(length, socket.MSG_WAITALL)
                connection.sendall(frame(Type.OK, answer, sequence))
            assert b"" == connection.recv(1), "it went on"

    thread = threading.Thread(target=pretend)
    thread.start()
    with pytest.raises(RemoteProtocolError, match="does not have the token"):
        connected(str(tmp_path / "agent"), token_file=lab / "token")
    thread.join(10)
    assert not thread.is_alive()


def test_guessing_gets_slow_and_keeps_nobody_out(lab, tmp_path):
    with running_agent(tmp_path, "--token-file", str(lab / "token")) as agent:

        def guess() -> None:
            with stranger(agent) as connection:
                challenge_of(connection, HELLO)
                connection.sendall(frame(Type.PROOF, encode(Proof("0" * 64))))
                assert b"" == everything_from(connection)

        for _ in range(10):
            guess()
        begin_s = time.monotonic()
        guess()
        # A lower bound: no machine is too slow for it.
        assert 0.45 <= time.monotonic() - begin_s
        assert_runs(connected(agent.host, token_file=lab / "token"), tmp_path)
        assert 11 == agent.log.count("it has no valid token")


def test_a_stranger_who_is_challenged_and_silent_is_turned_away(guarded):
    with stranger(guarded) as connection:
        challenge_of(connection, HELLO)
        begin_s = time.monotonic()
        assert b"" == everything_from(connection)
        assert TIME_LIMIT_S - 0.5 <= time.monotonic() - begin_s


def test_tokens_are_exchanged_without_an_end(lab, tmp_path):
    path = tmp_path / "tokens"
    path.write_text((lab / "token").read_text())
    path.chmod(0o600)
    with running_agent(tmp_path, "--token-file", str(path)) as agent:
        serving = connected(agent.host, token_file=lab / "token")
        path.write_text((lab / "other").read_text())
        agent.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "1 token" in agent.log)
        # Who was let in stays.
        assert_runs(serving, tmp_path)
        with pytest.raises(UnreachableError, match="another one"):
            connected(agent.host, token_file=lab / "token")
        path.write_text("")
        agent.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "the old keys stay valid" in agent.log)
        assert_runs(connected(agent.host, token_file=lab / "other"), tmp_path)


def test_no_session_process_has_the_token(lab, tmp_path, monkeypatch):
    monkeypatch.setenv(tokens.VARIABLE, (lab / "token").read_text().strip())
    with running_agent(tmp_path) as agent:
        client = connected(agent.host)
        for path in os.scandir("/proc"):
            if path.name.isdigit() and _parent_of(path.name) == agent.process.pid:
                environment = open(f"/proc/{path.name}/environ", "rb").read()
                assert b"EDGE_TESTER_SESSION_FOLDER" in environment
                assert tokens.VARIABLE.encode() not in environment
        client.disconnect()


def _parent_of(pid: str) -> int:
    try:
        text = open(f"/proc/{pid}/stat").read()
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[1])


@contextlib.contextmanager
def somebody_between(agent, folder, change):
    """Give an address where each frame to the target, and then each to the host, is changed.

    ``change`` gets the direction, the number of the frame and the frame; it returns bytes.
    """
    path = str(folder / "between")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    listener.settimeout(20)

    def carry(source, sink, direction):
        with contextlib.suppress(OSError), source, sink:
            for number in itertools.count():
                head = source.recv(wire.HEADER_BYTES, socket.MSG_WAITALL)
                if len(head) < wire.HEADER_BYTES:
                    break
                _, flags, _, length = wire.decode_header(head)
                rest = length + (wire.MAC_BYTES if flags & Flag.MAC else 0)
                found = head + (source.recv(rest, socket.MSG_WAITALL) if rest else b"")
                sink.sendall(change(direction, number, found))
            sink.shutdown(socket.SHUT_RDWR)

    def serve():
        with listener, contextlib.suppress(OSError):
            host = listener.accept()[0]
            target = socket.socket(socket.AF_UNIX)
            target.connect(agent.host)
            back = threading.Thread(target=carry, args=(target.dup(), host.dup(), "back"))
            back.start()
            carry(host, target, "there")
            back.join()

    thread = threading.Thread(target=serve)
    thread.start()
    yield path
    listener.close()
    thread.join(20)
    assert not thread.is_alive()


def test_with_a_mac_all_is_as_without(guarded, lab, tmp_path):
    client = connected(guarded.host, token_file=lab / "token", mac=True)
    assert "mac" in client.welcome.features
    client.upload_model(echo_model(tmp_path))
    many = [sample(i, i, i, i) for i in range(min(client.slots, 16))]
    answer = client.run_block(many)
    assert [one[0].tolist() for one in many] == [one[0].tolist() for one in answer.outputs]
    client.disconnect()


def flipped(frame: bytes, place: int) -> bytes:
    found = bytearray(frame)
    found[place] ^= 1
    return bytes(found)


@pytest.mark.parametrize("mac", [True, False], ids=["mac", "no mac"])
@pytest.mark.parametrize("kind", ["inputs", "outputs", "again", "without", "model"])
def test_who_is_in_between_changes_nothing(guarded, lab, tmp_path, kind, mac):
    """HELLO, PROOF, OFFER, MODEL, DATA, PROCESS, OUTPUT, STATS go there, in this order."""

    def change(direction, number, found):
        type, flags, sequence, length = wire.decode_header(found[: wire.HEADER_BYTES])
        tail = wire.MAC_BYTES if mac else 0
        if kind == "inputs" and type == Type.DATA and direction == "there":
            return flipped(found, len(found) - 1 - tail)
        if kind == "outputs" and direction == "back" and length == 12 and type == Type.OK:
            return flipped(found, len(found) - 1 - tail)
        if kind == "again" and type == Type.OUTPUT:
            return found + found
        if kind == "without" and type == Type.DATA and direction == "there":
            head = wire.encode_header(type, flags & ~Flag.MAC, sequence, length)
            return head + found[wire.HEADER_BYTES : len(found) - tail]
        if kind == "model" and type == Type.MODEL:
            # What is said of it: the name.
            return found.replace(b"4-0.echo", b"4-1.echo")
        return found

    with somebody_between(guarded, tmp_path, change) as address:
        client = connected(address, token_file=lab / "token", mac=mac)
        try:
            if not mac and kind != "again":
                client.upload_model(echo_model(tmp_path))
                output = client.run_sample(sample(1, 2, 3, 4)).outputs[0].tolist()
                # It shows that what is between is able to.
                assert (kind in ("model", "without")) == ([[1, 2, 3, 4]] == output)
            elif mac:
                with pytest.raises((ProtocolError, TargetError)):
                    client.upload_model(echo_model(tmp_path))
                    client.run_sample(sample(1, 2, 3, 4))
                    client.run_sample(sample(1, 2, 3, 4))
        finally:
            client.disconnect()


def test_a_target_that_wants_macs_takes_no_others(lab, tmp_path):
    with running_agent(tmp_path, "--token-file", str(lab / "token"), "--mac") as agent:
        assert_runs(connected(agent.host, token_file=lab / "token", mac=True), tmp_path)
        with pytest.raises(TargetError, match="say --mac"):
            connected(agent.host, token_file=lab / "token")


def test_macs_need_a_token(tmp_path, monkeypatch):
    monkeypatch.delenv(tokens.VARIABLE, raising=False)
    with pytest.raises(OptionError, match="give --token-file"):
        NetworkProtocol(mac=True).tokens()


@pytest.fixture(scope="module")
def mutual(lab, tmp_path_factory):
    """An agent that other machines could reach, and the port of it."""
    folder = tmp_path_factory.mktemp("mutual")
    certificate = str(lab / "target-localhost.pem")
    words = ["--host", "0.0.0.0", "--port", "0", "--tls-certificate", certificate]
    with running_agent(folder, *words, "--tls-ca", str(lab / "ca.pem")) as running:
        running.port = int(re.search(r":(\d+) ", running.greeting)[1])
        yield running


def tls(lab, **more):
    wanted = {"tls_ca": lab / "ca.pem", "tls_certificate": lab / "host-alice.pem"}
    return {**wanted, **more}


def test_who_has_a_certificate_is_served(mutual, lab, tmp_path):
    for _ in range(2):
        assert_runs(connected(port=mutual.port, **tls(lab)), tmp_path)
    client = connected(port=mutual.port, **tls(lab))
    large = echo_model(tmp_path, size=3_000_000)
    client.upload_model(large)
    values = [sample(*range(250))[0].repeat(12_000, axis=1)]
    assert (values[0] == client.run_sample(values).outputs[0]).all()
    client.disconnect()


def test_a_client_over_tls_has_sessions_beside_its_first(mutual, lab, tmp_path):
    first = SampleClient(NetworkProtocol(port=mutual.port, **tls(lab)))
    first.connect(Hello(client="a test", wait=True, features=["beside"]))
    second = first.beside(Hello(client="a test"))
    assert_runs(second, tmp_path)
    assert_runs(first, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tls_certificate": None}, "certificate of its own authority"),
        ({"tls_certificate": "others/host-mallory.pem"}, "certificate of its own authority"),
        ({"tls_ca": "others/ca.pem", "tls_certificate": None}, "was refused for '127.0.0.1'"),
        ({"tls_name": "elsewhere"}, "was refused for 'elsewhere'"),
    ],
    ids=["none", "of others", "target unknown", "other name"],
)
def test_who_has_none_that_fits_is_told_why(mutual, lab, options, message):
    paths = ("tls_ca", "tls_certificate")
    found = {k: lab / v if v and k in paths else v for k, v in options.items()}
    with pytest.raises(UnreachableError, match=message):
        connected(port=mutual.port, **tls(lab, **found))


def test_without_tls_nobody_is_understood(mutual, lab, tmp_path):
    with pytest.raises(UnreachableError):
        connected(port=mutual.port)
    with running_agent(tmp_path, "--host", "127.0.0.1", "--port", "0") as agent:
        port = int(re.search(r":(\d+) ", agent.greeting)[1])
        with pytest.raises(UnreachableError, match="started without --tls-certificate"):
            connected(port=port, **tls(lab))


def test_silent_strangers_before_tls_shut_nobody_out(mutual, lab, tmp_path):
    strangers = [socket.create_connection(("127.0.0.1", mutual.port)) for _ in range(100)]
    try:
        assert_runs(connected(port=mutual.port, **tls(lab)), tmp_path)
    finally:
        for one in strangers:
            one.close()


def test_the_process_that_ends_tls_is_replaced(lab, tmp_path):
    certificate = str(lab / "target-localhost.pem")
    words = ["--host", "127.0.0.1", "--port", "0", "--tls-certificate", certificate]
    with running_agent(tmp_path, *words) as agent:
        port = int(re.search(r":(\d+) ", agent.greeting)[1])
        (master,) = _children_named(agent.process.pid, "greeter")
        (worker,) = _children_named(master, "greeter")
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: set(_children_named(master, "greeter")) - {worker})
        assert_runs(connected(port=port, tls_ca=lab / "ca.pem"), tmp_path)


def _children_named(pid: int, word: str) -> list[int]:
    found = []
    for path in os.scandir("/proc"):
        if path.name.isdigit() and _parent_of(path.name) == pid:
            with open(f"/proc/{path.name}/cmdline", "rb") as file:
                if word.encode() in file.read():
                    found.append(int(path.name))
    return found


def test_off_loopback_an_agent_wants_one_of_them(lab, tmp_path):
    everywhere = ["--host", "0.0.0.0", "--port", "0"]
    with pytest.raises(AssertionError, match="Give --token-file or --tls-ca"):
        with running_agent(tmp_path, *everywhere, status=None):
            pass
    certificate = ["--tls-certificate", str(lab / "target-localhost.pem")]
    with pytest.raises(AssertionError, match="Give --token-file or --tls-ca"):
        with running_agent(tmp_path, *everywhere, *certificate, status=None):
            pass
    with running_agent(tmp_path, *everywhere, "--token-file", str(lab / "token")) as agent:
        assert "WARNING" not in agent.log


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tls-certificate", "ca.pem"], "must be a PEM file with the certificate and key"),
        (["--tls-certificate", "nowhere.pem"], "No such file"),
        (["--tls-ca", "ca.pem"], "needs --tls-certificate"),
    ],
)
def test_certificates_that_cannot_be_used_are_said(lab, tmp_path, words, message):
    words = [words[0], str(lab / words[1])]
    with pytest.raises(AssertionError, match=message):
        with running_agent(tmp_path, "--host", "127.0.0.1", "--port", "0", *words, status=None):
            pass


def test_keys_are_never_replaced_and_for_their_owner_alone(lab):
    for path in lab.glob("*.pem"):
        assert (0o644 if path.name == "ca.pem" else 0o600) == path.stat().st_mode & 0o777
    with pytest.raises(OptionError, match="exists already"):
        keys.main(["token", str(lab / "token")])
    with pytest.raises(OptionError, match="exists already"):
        keys.main(["certificates", str(lab), "--host", "alice"])
