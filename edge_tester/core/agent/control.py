"""Packets between supervisor and session process, over one Unix socket.

The session process says once that it is ready, or why it is not; the supervisor once
gives it a client's connection, with the HELLO that it has read. After that the session
process says nothing: that it shuts its side down means that it is done. The supervisor says one
byte more if there are other sessions.

A model runs in the session process, holds this socket and may write anything to it, or half
of something. So the supervisor's side never waits, and takes neither descriptors nor more
bytes than a report has.
"""

from __future__ import annotations

import array
import contextlib
import socket

import msgspec

from edge_tester.core.errors import RemoteProtocolError, UnreachableError
from edge_tester.core.wire import payloads

REPORT_LIMIT_BYTES = 1 << 16
_HAND_OVER_LIMIT_BYTES = 1 << 20
_LENGTH_BYTES = 4


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The session process can serve."""

    runtimes: list[str]


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The session process cannot serve, and why."""

    reason: str


class Control:
    """The supervisor's side; no call waits.

    Parameters
    ----------
    connection : socket
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._received = bytearray()
        self._reported = False

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return self._connection.fileno()

    def receive(self) -> Ready | Failed | None:
        """Return the report, None as long as it is not here as a whole.

        Raises
        ------
        RemoteProtocolError
            What came is none, or is longer than one may be.
        UnreachableError
            The other side has ended, or has shut down its side.
        """
        try:
            piece = self._connection.recv(REPORT_LIMIT_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            raise UnreachableError(f"The session process is gone: {error.strerror}.") from error
        if not piece:
            raise UnreachableError("The session process has shut down its control socket.")
        if self._reported:
            raise RemoteProtocolError("The model wrote to a socket that is not its own.")
        self._received += piece
        if len(self._received) < _LENGTH_BYTES:
            return None
        length = int.from_bytes(self._received[:_LENGTH_BYTES], "big")
        have = len(self._received) - _LENGTH_BYTES
        if length > REPORT_LIMIT_BYTES or have > length:
            raise RemoteProtocolError(
                f"The session process sent {have} bytes of a report of {length}; it has to send "
                f"one report, of at most {REPORT_LIMIT_BYTES}."
            )
        if have < length:
            return None
        self._reported, content = True, bytes(self._received[_LENGTH_BYTES:])
        return payloads.decode(content, Ready | Failed)  # type: ignore[arg-type]

    def hand_over(self, client: socket.socket, hello: bytes, frame_key: bytes) -> None:
        """Give the other side a client, what was read of it, and the key of its frames if any.

        Raises
        ------
        UnreachableError
            It is gone, or takes nothing.
        """
        content = len(frame_key).to_bytes(1, "big") + frame_key + hello
        packet = len(content).to_bytes(_LENGTH_BYTES, "big") + content
        rights = array.array("i", [client.fileno()])
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
        try:
            sent = self._connection.sendmsg([packet], ancillary)
        except OSError as error:
            raise UnreachableError(f"The session process is gone: {error.strerror}.") from error
        if sent < len(packet):
            raise UnreachableError("The session process does not take its client.")

    def share(self) -> None:
        """Tell the other side that it is not alone; one that is gone need not hear it."""
        with contextlib.suppress(OSError):
            self._connection.send(b"+")

    def close(self) -> None:
        """Close this side, which tells the other one to end."""
        self._connection.close()


def report(control: socket.socket, what: Ready | Failed) -> None:
    """Tell the supervisor, from the session process."""
    content = payloads.encode(what)
    control.sendall(len(content).to_bytes(_LENGTH_BYTES, "big") + content)


def receive_client(control: socket.socket) -> tuple[bytes, bytes, int] | None:
    """Wait for a client, in the session process; None if the supervisor is gone.

    Returns
    -------
    hello : bytes
        The frame that the supervisor has read.
    frame_key : bytes
        By which all later frames are authenticated; empty if they are not.
    descriptor : int
        The connection.
    """
    content, descriptors, _, _ = socket.recv_fds(control, _HAND_OVER_LIMIT_BYTES, 1)
    if not content or not descriptors:
        return None
    while len(content) < _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "big"):
        more = control.recv(_HAND_OVER_LIMIT_BYTES)
        if not more or len(content) > _HAND_OVER_LIMIT_BYTES:
            return None
        content += more
    content = content[_LENGTH_BYTES:]
    end = 1 + content[0]
    return content[end:], content[1:end], descriptors[0]
