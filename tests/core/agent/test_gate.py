"""Nobody gets in who has not the token, and no word gets out: with real agents."""

import contextlib
import os
import signal
import socket
import threading
import time

import pytest

from edge_tester.core.agent.handshake import TIME_LIMIT_S, Peer
from edge_tester.core.errors import (
    OptionError,
    RemoteProtocolError,
    UnreachableError,
)
from edge_tester.core.wire import frames as wire
from edge_tester.core.wire import tokens
from edge_tester.core.wire.frames import Type
from edge_tester.core.wire.payloads import Challenge, Hello, Proof, decode, encode
from edge_tester.core.wire.tokens import Proofs, new_nonce
from edge_tester.scenarios import keys
from tests.agents import running_agent, wait_until
from tests.core.agent.guarded import assert_runs, connected, parent_of


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
    thread.join(30)
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


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        (("192.0.2.7", 5), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 5, 0, 0), "2001:db8:1:2::/64"),
        (("2001:db8:1:2::9", 5, 0, 0), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 5, 0, 2), "fe80::/64"),
        (("::ffff:192.0.2.7", 5, 0, 0), "192.0.2.7"),
    ],
)
def test_who_has_one_address_of_ipv6_has_its_whole_network(address, origin):
    """By which strangers are counted, in the line and where they guess."""
    with socket.socket() as connection:
        assert origin == Peer(connection, address).origin


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
            if path.name.isdigit() and parent_of(path.name) == agent.process.pid:
                environment = open(f"/proc/{path.name}/environ", "rb").read()
                assert b"EDGE_TESTER_SESSION_FOLDER" in environment
                assert tokens.VARIABLE.encode() not in environment
        client.disconnect()


def test_keys_are_never_replaced_and_for_their_owner_alone(lab):
    for path in lab.glob("*.pem"):
        assert (0o644 if path.name == "ca.pem" else 0o600) == path.stat().st_mode & 0o777
    with pytest.raises(OptionError, match="exists already"):
        keys.main(["token", str(lab / "token")])
    with pytest.raises(OptionError, match="exists already"):
        keys.main(["certificates", str(lab), "--host", "alice"])
