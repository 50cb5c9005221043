"""Read a client's HELLO without trusting it: little time, few bytes, no detail."""

from __future__ import annotations

import socket
import time

from edge_tester.core.errors import RemoteProtocolError
from edge_tester.core.wire import frames as wire
from edge_tester.core.wire import payloads
from edge_tester.core.wire.frames import HEADER_BYTES, Type
from edge_tester.core.wire.payloads import Failure, Hello

TIME_LIMIT_S = 5.0


class Peer:
    """A client that has connected and is not served yet.

    Attributes
    ----------
    connection : socket
        Non-blocking until it is handed over.
    name : str
        Where it comes from.
    hello : Hello or None
        Its first message, once that has arrived.
    """

    def __init__(self, connection: socket.socket, name: str) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.name = name
        self.hello: Hello | None = None
        self.frame = bytearray()
        self.deadline_s = time.monotonic() + TIME_LIMIT_S

    def receive(self) -> bool:
        """Read what is there; return whether HELLO is complete.

        Never reads beyond HELLO: what follows belongs to the session process.

        Raises
        ------
        RemoteProtocolError
            It is no HELLO, or the client closed the connection.
        OSError
            The connection failed.
        """
        while (missing := self._missing_bytes()) > 0:
            try:
                piece = self.connection.recv(missing)
            except BlockingIOError:
                return False
            if not piece:
                raise RemoteProtocolError("it closed the connection")
            self.frame += piece
        self.hello = payloads.decode(bytes(self.frame[HEADER_BYTES:]), Hello)
        return True

    def answer(self, payload: bytes, type: int = Type.OK) -> None:
        """Send an answer to HELLO; what the connection cannot take at once is dropped."""
        sequence = wire.decode_header(bytes(self.frame[:HEADER_BYTES]))[2]
        self.connection.send(wire.encode_header(type, 0, sequence, len(payload)) + payload)

    def has_left(self) -> bool:
        """Tell whether the client has closed the connection and all it said was read."""
        try:
            return not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def refuse(self, code: str, message: str) -> None:
        """Answer ERROR and close."""
        try:
            self.answer(payloads.encode(Failure(code, message)), Type.ERROR)
        finally:
            self.connection.close()

    def _missing_bytes(self) -> int:
        have = len(self.frame)
        if have < HEADER_BYTES:
            return HEADER_BYTES - have
        type, flags, _, length = wire.decode_header(bytes(self.frame[:HEADER_BYTES]))
        if type != Type.HELLO or flags or length > wire.HELLO_LIMIT_BYTES:
            raise RemoteProtocolError("its first message is no HELLO")
        return HEADER_BYTES + length - have
