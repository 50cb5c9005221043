"""Links through the standard input and output of a process that the host starts."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import Any

from edge_tester.core.errors import UnreachableError
from edge_tester.core.options import state
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.wire.connections import PipeConnection, connected

ENDING_LIMIT_S = 5.0


class ChildLink(RuntimeProtocol):
    """A subclass must start a process and hand it to ``hold``; it ends with the connection."""

    _process: subprocess.Popen[bytes] | None = state()

    def attach(self, connection: Any) -> None:
        """Use a socket, the descriptor of one, or a pair of descriptors to read and to write."""
        if isinstance(connection, tuple):
            self.connection = PipeConnection(*connection)
        else:
            self.connection = connected(connection)

    def hold(self, process: subprocess.Popen[bytes]) -> None:
        """Speak to a process with pipes as its standard input and output."""
        if process.stdin is None or process.stdout is None:
            raise UnreachableError(f"{self.address} has no standard input and output.")
        # Duplicates, which the objects of Python around the pipes do not close.
        ends = os.dup(process.stdout.fileno()), os.dup(process.stdin.fileno())
        process.stdin.close()
        process.stdout.close()
        self._process = process
        self.attach(ends)

    def disconnect(self) -> None:
        """Close both, and see that the command ends."""
        if self.connection is not None:
            self.connection.close()
        process, self._process = self._process, None
        if process is not None:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Wait a while for the end of a process, then bring it about."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(ENDING_LIMIT_S)
    for stop in (process.terminate, process.kill):
        if process.poll() is None:
            stop()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(ENDING_LIMIT_S)
