"""What carries bytes between host and target: sockets, pipes, whatever acts like one."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Sequence
from typing import Protocol

from edge_tester.core.wire.frames import Buffer

# Buffers that one call of the system takes (IOV_MAX of Linux and macOS).
BUFFERS_AT_ONCE = 1024


class Connection(Protocol):
    """What a link gives once it is made.

    Bytes arrive whole and in order; what fails raises OSError, also a wait beyond the limit.
    """

    def descriptors(self) -> tuple[int, ...]:
        """Return what can be watched for something to read; empty if it has no such thing."""

    def sendmsg(self, buffers: Sequence[Buffer], /) -> int:
        """Send bytes of these buffers, in order; return how many, perhaps not all."""

    def recv_into(self, buffer: memoryview, /) -> int:
        """Put at least one byte at the beginning of a buffer; 0 says that the end came."""

    def limit_wait(self, limit_s: float) -> None:
        """Let every call from now on fail that waits longer; nothing where none can."""

    def close(self) -> None:
        """End it; may be called twice."""


class SocketConnection(socket.socket):
    """A connected socket; what the kernel does by itself costs nothing here."""

    def descriptors(self) -> tuple[int, ...]:
        """Return that of the socket."""
        return (self.fileno(),)

    def sendmsg(self, buffers: Sequence[Buffer], /) -> int:  # type: ignore[override]
        """Write to it: where models run, the call that could send descriptors too is refused."""
        return os.writev(self.fileno(), buffers)

    def limit_wait(self, limit_s: float) -> None:
        """Let the kernel end a call that waits longer; Python's own limit costs a call each."""
        limit = struct.pack("ll", int(limit_s), int(limit_s % 1 * 1e6))
        for name in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.setsockopt(socket.SOL_SOCKET, name, limit)


def connected(connection: socket.socket | int) -> SocketConnection:
    """Return a connection that takes over a connected socket, or the descriptor of one."""
    descriptor = connection if isinstance(connection, int) else connection.detach()
    found = SocketConnection(fileno=descriptor)
    found.settimeout(None)
    return found


class PipeConnection:
    """A pair of pipes, such as the standard input and output of another process.

    Parameters
    ----------
    reading, writing : int
        Descriptors, which belong to it from now on.
    """

    def __init__(self, reading: int, writing: int) -> None:
        self._reading = reading
        self._writing = writing
        self._limit_ms: int | None = None
        self._open = True
        for descriptor in (reading, writing):
            os.set_blocking(descriptor, False)

    def descriptors(self) -> tuple[int, ...]:
        """Return the one that is read."""
        return (self._reading,)

    def limit_wait(self, limit_s: float) -> None:
        """Let every call fail that waits longer."""
        self._limit_ms = max(1, round(limit_s * 1000))

    def sendmsg(self, buffers: Sequence[Buffer], /) -> int:
        """Write to the one."""
        while True:
            try:
                return os.writev(self._writing, buffers[:BUFFERS_AT_ONCE])
            except BlockingIOError:
                self._wait(self._writing, select.POLLOUT)

    def recv_into(self, buffer: memoryview, /) -> int:
        """Read from the other."""
        while True:
            try:
                return os.readv(self._reading, [buffer])
            except BlockingIOError:
                self._wait(self._reading, select.POLLIN)

    def close(self) -> None:
        """Close both."""
        if self._open:
            self._open = False
            os.close(self._reading)
            os.close(self._writing)

    def _wait(self, descriptor: int, event: int) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(self._limit_ms):
            raise TimeoutError
