"""What carries bytes between host and target: sockets, pipes, whatever acts like one."""

from __future__ import annotations

import os
import select
from collections.abc import Sequence
from typing import Protocol

from edge_tester.core.wire.frames import Buffer

# Buffers that one call of the system takes (IOV_MAX of Linux and macOS).
BUFFERS_AT_ONCE = 1024


class Connection(Protocol):
    """What a channel needs of a link; a socket is one.

    Bytes arrive whole and in order; what fails raises OSError, also a wait beyond a limit.
    """

    def sendmsg(self, buffers: Sequence[Buffer], /) -> int:
        """Send bytes of these buffers, in order; return how many, perhaps not all."""

    def recv_into(self, buffer: memoryview, /) -> int:
        """Put at least one byte at the beginning of a buffer; 0 says that the end came."""

    def close(self) -> None:
        """End it; may be called twice."""


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
