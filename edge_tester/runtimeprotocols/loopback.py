"""Host and target in one process: for host-only measurements and for tests."""

from __future__ import annotations

import mmap
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from edge_tester.core.errors import LocalProtocolError, ModelError, UnreachableError
from edge_tester.core.options import state
from edge_tester.core.runtimeprotocol import Listener, RuntimeProtocol
from edge_tester.core.system.temporary import TemporaryFolder
from edge_tester.core.wire.frames import Buffer

if TYPE_CHECKING:
    from edge_tester.core.agent.session import Session


class LoopbackProtocol(RuntimeProtocol):
    """Runs the model in this very process, without threads, sockets or supervision.

    The target's side answers when the host's side wants to receive, so that
    every run has one order of events.
    """

    in_process = True

    _arrived: deque[memoryview] = state(default_factory=deque)
    _peer: LoopbackProtocol | None = state()
    _session: Session | None = state()
    _scratch: TemporaryFolder | None = state()

    def start_server(self) -> Listener:
        """Refuse: nothing outside this process can reach it."""
        raise LocalProtocolError(
            "LoopbackProtocol has no server: the client's process is the target too."
        )

    def attach(self, connection: Any) -> None:
        """Become the target's side of another LoopbackProtocol."""
        self._peer = connection
        self.connection = self

    def start_client(self) -> None:
        """Make the target's side."""
        from edge_tester.core.agent.session import Session
        from edge_tester.core.agent.session_process import welcome_of

        if self.runtime is None:
            raise LocalProtocolError("LoopbackProtocol.runtime was not set.")
        self._scratch = TemporaryFolder()
        self._peer = LoopbackProtocol()
        self._peer.attach(self)
        self.connection = self
        scratch = Path(self._scratch.name)
        self._session = Session(self._peer, [self.runtime], welcome_of, scratch, shared=True)

    def sendmsg(self, buffers: Sequence[Buffer]) -> int:
        """Put copies where the other side receives, as a socket does."""
        peer, sent = self._connected_peer(), 0
        for buffer in buffers:
            # A copy: a real link has sent the bytes before the sender changes them.
            if piece := memoryview(memoryview(buffer).tobytes()):
                peer._arrived.append(piece)
                sent += len(piece)
        return sent

    def recv_into(self, buffer: memoryview) -> int:
        """Take what has arrived; the host's side lets the target's side work first."""
        if not self._arrived and self._session is not None:
            self._session.serve()
        if not self._arrived:
            return 0
        first = self._arrived[0]
        count = min(len(first), len(buffer))
        buffer[:count] = first[:count]
        if count == len(first):
            self._arrived.popleft()
        else:
            self._arrived[0] = first[count:]
        return count

    def send_file(self, file: BinaryIO, count: int, progress: Callable[[int], None]) -> None:
        """Let the other side read the file itself, so that no copy lies in memory."""
        peer = self._connected_peer()
        begin = file.tell()
        if count:
            try:
                mapped = mmap.mmap(file.fileno(), begin + count, access=mmap.ACCESS_READ)
            except ValueError as error:
                raise ModelError(f"{file.name} became shorter while it was sent.") from error
            peer._arrived.append(memoryview(mapped)[begin:])
        progress(count)

    def descriptors(self) -> tuple[int, ...]:
        """Return none: nobody outside of this process writes to it."""
        return ()

    def limit_wait(self, limit_s: float) -> None:
        """Do nothing: the other side answers before this one waits."""

    def close(self) -> None:
        """End the connection, which this side is itself."""
        self.disconnect()

    def disconnect(self) -> None:
        """Part from the other side, which still hears what was sent before."""
        if self._peer is not None:
            self._peer._peer = None
        self._peer = self._session = None
        self._arrived.clear()
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def _connected_peer(self) -> LoopbackProtocol:
        if self._peer is None:
            raise UnreachableError("LoopbackProtocol is not connected.")
        return self._peer
