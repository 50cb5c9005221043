"""What carries bytes between host and target: sockets, pipes, whatever acts like one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edge_tester.core.wire.frames import Buffer


class Connection(Protocol):
    """What a channel needs of a link; a socket is one.

    Bytes arrive whole and in order; what fails raises OSError, also a wait beyond the limit.
    """

    def sendmsg(self, buffers: Sequence[Buffer], /) -> int:
        """Send bytes of these buffers, in order; return how many, perhaps not all."""

    def recv_into(self, buffer: memoryview, /) -> int:
        """Put at least one byte at the beginning of a buffer; 0 says that the end came."""
