"""The standard input and output of a process: of one on this machine, or behind ``ssh``."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading

from edge_tester.core.errors import UnreachableError
from edge_tester.core.options import option
from edge_tester.core.runtimeprotocol import Listener
from edge_tester.runtimeprotocols._child import ChildLink

_EXAMPLE = "ssh pi@raspberrypi edge-tester server --stdio"
_PIECE_BYTES = 1 << 18


class StdioProtocol(ChildLink):
    """The host starts the agent and speaks through its standard input and output.

    Such an agent serves this one client, and ends with it.
    """

    command: str = option(
        "", help=f"Command that starts the agent, without a shell; for example '{_EXAMPLE}'"
    )

    @property
    def address(self) -> str:
        """The command."""
        return self.command or type(self).__name__

    def start_server(self) -> Listener:
        """Take standard input and output for the one client that is there already."""
        return _StandardListener()

    def start_client(self) -> None:
        """Start the command; what it writes to standard error is for the user."""
        words = self._words()
        try:
            # A group of its own: Ctrl-C reaches the client, which ends it in order.
            process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise UnreachableError(
                f"The command of StdioProtocol, {self.command!r}, cannot be started: "
                f"{error.strerror}. It shall start an agent, such as: {_EXAMPLE}"
            ) from error
        self.hold(process)

    def _words(self) -> list[str]:
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise UnreachableError(
                f"The command of StdioProtocol, {self.command!r}, cannot be read: {error}."
            ) from error
        if not words:
            raise UnreachableError(
                "StdioProtocol.command must say what starts the agent, such as "
                f"--command '{_EXAMPLE}', got ''."
            )
        return words


class _StandardListener:
    """Has one client, from the beginning on.

    What else is printed goes to standard error meanwhile, so that nothing gets between the
    messages.
    """

    def __init__(self) -> None:
        sys.stdout.flush()
        self._ends = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        self._bell, self._ring = socket.socketpair()
        self._ring.send(b"!")

    def fileno(self) -> int:
        """Return what can be read until the client was accepted."""
        return self._bell.fileno()

    def accept(self) -> tuple[socket.socket, str]:
        """Return a socket to the client, which a session process can be given."""
        self._bell.recv(1)
        ours, theirs = socket.socketpair()
        for carry in (self._carry_in, self._carry_out):
            threading.Thread(target=carry, args=(ours,), daemon=True).start()
        return theirs, ""

    def close(self) -> None:
        """Give standard input and output back."""
        sys.stdout.flush()
        for standard, end in enumerate(self._ends):
            os.dup2(end, standard)
            os.close(end)
        self._bell.close()
        self._ring.close()

    def _carry_in(self, ours: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := os.read(self._ends[0], _PIECE_BYTES):
                ours.sendall(piece)
        # The client has left, or the session ended: then there is nothing to shut down.
        with contextlib.suppress(OSError):
            ours.shutdown(socket.SHUT_WR)

    def _carry_out(self, ours: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := memoryview(ours.recv(_PIECE_BYTES)):
                while piece:
                    piece = piece[os.write(self._ends[1], piece) :]
        # Nobody else will come.
        os.kill(os.getpid(), signal.SIGTERM)
