"""Somebody between host and target who changes frames is found out."""

import contextlib
import itertools
import socket
import threading

import pytest

from edge_tester.core.errors import (
    OptionError,
    ProtocolError,
    TargetError,
)
from edge_tester.core.wire import frames as wire
from edge_tester.core.wire import tokens
from edge_tester.core.wire.frames import Flag, Type
from edge_tester.runtimeprotocols.network import NetworkProtocol
from tests.agents import echo_model, running_agent, sample
from tests.core.agent.guarded import assert_runs, connected


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
            try:
                for number in itertools.count():
                    head = source.recv(wire.HEADER_BYTES, socket.MSG_WAITALL)
                    if len(head) < wire.HEADER_BYTES:
                        break
                    _, flags, _, length = wire.decode_header(head)
                    rest = length + (wire.MAC_BYTES if flags & Flag.MAC else 0)
                    found = head + (source.recv(rest, socket.MSG_WAITALL) if rest else b"")
                    sink.sendall(change(direction, number, found))
            finally:
                # Also where one side left with something unread, which resets the connection.
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
        if kind == "without" and flags & Flag.MAC and direction == "there":
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
