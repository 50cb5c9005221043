"""Bytes for the agent's own code, in this process: what a stranger says, and what a client says.

Every input is one conversation. Its first byte chooses whose code reads the rest: that of the
supervisor, which reads HELLO and PROOF of strangers, or that of a session, with a small echo model;
and whether the rest is said as it is, or as messages with the right headers, which nobody guesses.
"""

import contextlib
import socket
import tempfile
import threading
from pathlib import Path

from edge_tester.core.agent import bench
from edge_tester.core.agent.handshake import Peer
from edge_tester.core.agent.session import Session
from edge_tester.core.errors import EdgeTesterError, RemoteProtocolError
from edge_tester.core.wire import frames, payloads
from edge_tester.core.wire.frames import Type
from edge_tester.core.wire.payloads import Welcome
from edge_tester.runtimeprotocols.network import NetworkProtocol
from edge_tester.runtimes.echo import EchoRuntime

CORPUS = Path(__file__).parent / "corpus"
STRANGER, CLIENT = 0, 1
FRAMED = 2
# Only so that a defect does not stop the fuzzer for ever.
_LIMIT_S = 10.0


def converse(content: bytes) -> bytes:
    """Hold one conversation; return all that was answered.

    Raises
    ------
    Exception
        The agent's code does something else than to answer or to close.
    """
    if not content:
        return b""
    said = framed(content[1:]) if content[0] & FRAMED else content[1:]
    return (_stranger if content[0] % 2 == STRANGER else _client)(said)


def framed(content: bytes) -> bytes:
    """Return messages: of each a byte for type and flags, two for the length, and the payload."""
    found = b""
    while len(content) > 2:
        length = int.from_bytes(content[1:3], "big")
        payload, head = content[3 : 3 + length], content[0]
        type, flags = head & 31, (head >> 5) & frames.KNOWN_FLAGS
        found += frames.encode_header(type, flags, len(found) % 997, len(payload)) + payload
        content = content[3 + length :]
    return found


def _stranger(said: bytes) -> bytes:
    """Let the supervisor's side read HELLO, ask for a proof, and read that."""
    ours, theirs = socket.socketpair()
    with ours:
        peer = Peer(theirs, "")
        with contextlib.suppress(OSError):
            ours.sendall(said[: 1 << 17])
            ours.shutdown(socket.SHUT_WR)
        # What is no HELLO or no PROOF is turned away by whoever reads it.
        with contextlib.suppress(EdgeTesterError, OSError):
            if peer.receive():
                peer.challenge()
                peer.receive_proof()
        peer.close()
        return _everything(ours)


def _client(said: bytes) -> bytes:
    """Let a session answer, as behind the supervisor."""
    ours, theirs = socket.socketpair()
    ours.settimeout(_LIMIT_S)
    with tempfile.TemporaryDirectory() as folder, ours:
        protocol = NetworkProtocol()
        protocol.attach(theirs)
        session = Session(protocol, [EchoRuntime()], _welcome, Path(folder), shared=True)
        answers: list[bytes] = []
        hearing = threading.Thread(target=lambda: answers.append(_everything(ours)))
        hearing.start()
        writing = threading.Thread(target=_say, args=(ours, said))
        writing.start()
        # A host may have inferences begin in a year; the supervisor ends what takes too long.
        waiting, bench._wait_until = bench._wait_until, lambda when_ns: 0
        try:
            session.serve()
        finally:
            bench._wait_until = waiting
            protocol.disconnect()
            hearing.join(_LIMIT_S)
            writing.join(_LIMIT_S)
        return answers[0]


def _say(connection: socket.socket, said: bytes) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(said)
        connection.shutdown(socket.SHUT_WR)


def _everything(connection: socket.socket) -> bytes:
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(1 << 16):
            found += piece
    return found


def _welcome(runtime: EchoRuntime) -> Welcome:
    return Welcome(
        version="0", runtime="echo", input_formats=["echo"], runtime_options={}, machine={}
    )


def assert_answers(answered: bytes) -> None:
    """Whatever was said, what comes back is whole frames, of OK and ERROR."""
    while answered:
        type, _, _, length = frames.decode_header(answered[: frames.HEADER_BYTES])
        assert type in (Type.OK, Type.ERROR)
        payload = answered[frames.HEADER_BYTES : frames.HEADER_BYTES + length]
        assert length == len(payload)
        if type == Type.ERROR:
            payloads.decode(payload, payloads.Failure)
        answered = answered[frames.HEADER_BYTES + length :]


def require_defined(content: bytes) -> None:
    """Hold a conversation and see that the answers are some."""
    try:
        assert_answers(converse(content))
    except RemoteProtocolError as error:
        raise AssertionError(f"the agent answers what is no frame: {error}") from error
