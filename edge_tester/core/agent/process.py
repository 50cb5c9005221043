"""Start a session process, hand it a client, see what it does, and end it.

Supervisor and session process share one Unix socket for these packets:
``ready`` or ``failed`` from the session once, a client's connection to it once.
Its end tells either side that the other is gone.
"""

from __future__ import annotations

import array
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from edge_tester.core.agent import status as status_module
from edge_tester.core.agent.status import Activity, Status
from edge_tester.core.errors import RemoteProtocolError, UnreachableError
from edge_tester.core.wire import payloads

_DOING = {
    Activity.STARTING: "while it started",
    Activity.WAITING: "between two requests",
    Activity.RECEIVING: "while it received a model",
    Activity.LOADING: "while it loaded the model",
    Activity.RUNNING: "during an inference",
    Activity.ANSWERING: "while it sent an answer",
}
_PACKET_LIMIT_BYTES = 1 << 20
SESSION_COMMAND = (sys.executable, "-m", "edge_tester.core.agent.session_process")


class SessionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a session process is told on its command line."""

    control: int
    status: int
    protocol: str
    protocol_options: dict[str, Any]
    runtimes: list[tuple[str, dict[str, Any]]]
    scratch: str
    log_level: int


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The session process can serve."""

    runtimes: list[str]


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The session process cannot serve, and why."""

    reason: str


def send_packet(control: socket.socket, content: bytes, descriptors: Sequence[int] = ()) -> None:
    """Send one packet, and descriptors with it."""
    packet = len(content).to_bytes(4, "big") + content
    ancillary: list[Any] = []
    if descriptors:
        rights = array.array("i", descriptors)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
    sent = control.sendmsg([packet], ancillary)
    control.sendall(packet[sent:])


def receive_packet(control: socket.socket) -> tuple[bytes, list[int]] | None:
    """Receive one packet and its descriptors; None if the other side is gone."""
    content, descriptors, _, _ = socket.recv_fds(control, _PACKET_LIMIT_BYTES, 1)
    if not content:
        return None
    while len(content) < 4 or len(content) < 4 + int.from_bytes(content[:4], "big"):
        more = control.recv(_PACKET_LIMIT_BYTES)
        if not more or len(content) > _PACKET_LIMIT_BYTES:
            return None
        content += more
    return content[4:], list(descriptors)


class SessionProcess:
    """A session process as the supervisor sees it.

    Parameters
    ----------
    protocol : str
        Dotted path of the runtime protocol.
    protocol_options : dict
    runtimes : list of (dotted path, options)
    log_level : int
    command : sequence of str
        Program that becomes the session process.
    """

    def __init__(
        self,
        protocol: str,
        protocol_options: dict[str, Any],
        runtimes: list[tuple[str, dict[str, Any]]],
        log_level: int,
        command: Sequence[str] = SESSION_COMMAND,
    ) -> None:
        self.control, theirs = socket.socketpair()
        descriptor = status_module.create()
        self._status = Status(descriptor)
        self._seen_change, self._seen_since_s = 0, time.monotonic()
        self._scratch = Path(tempfile.mkdtemp(prefix="edge_tester-"))
        settings = SessionSettings(
            control=theirs.fileno(),
            status=descriptor,
            protocol=protocol,
            protocol_options=protocol_options,
            runtimes=runtimes,
            scratch=str(self._scratch),
            log_level=log_level,
        )
        # A process group of its own: Ctrl-C reaches the supervisor, which ends it in order.
        self._process = subprocess.Popen(
            [*command, msgspec.json.encode(settings).decode()],
            pass_fds=(theirs.fileno(), descriptor),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        os.close(descriptor)

    @property
    def pid(self) -> int:
        """Process number."""
        return self._process.pid

    def hand_over(self, connection: socket.socket, hello: bytes) -> None:
        """Give the process a client whose HELLO frame was read already."""
        try:
            send_packet(self.control, hello, [connection.fileno()])
        except OSError as error:
            raise UnreachableError(f"The session process is gone: {error.strerror}.") from error

    def receive_report(self) -> Ready | Failed | None:
        """Return what the process reports, None once it has ended or talks nonsense."""
        try:
            packet = receive_packet(self.control)
            if packet is None:
                return None
            return payloads.decode(packet[0], Ready | Failed)  # type: ignore[arg-type]
        # The model runs in that process and may do anything to its descriptors.
        except (OSError, RemoteProtocolError):
            return None

    def activity(self) -> tuple[int, float]:
        """Return what it does, and since when it was seen to do just this [s].

        Source of the time: :func:`time.monotonic`.
        """
        activity, change = self._status.read()
        if change != self._seen_change:
            self._seen_change, self._seen_since_s = change, time.monotonic()
        return activity, self._seen_since_s

    def end(self, *, grace_s: float = 0.0) -> str | None:
        """Wait up to ``grace_s``, kill the process if it still runs, and clean up.

        Returns
        -------
        str or None
            How it ended, in words; None if it ended by itself and in order.
        """
        killed = False
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)
        if self._process.poll() is None:
            killed = True
            # The whole group: a model may have started processes of its own.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        reason = None if killed else self._reason()
        self.control.close()
        self._status.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
        return reason

    def _reason(self) -> str | None:
        code = self._process.returncode
        if code == 0:
            return None
        doing = _DOING.get(self._status.read()[0], "while it did something unknown")
        if code > 0:
            return f"The model ended the session process with exit status {code} {doing}."
        name = signal.Signals(-code).name
        text = (
            f"The model ended the session process with {name} ({signal.strsignal(-code)}) {doing}"
        )
        if -code == signal.SIGKILL:
            text += "; most likely the target ran out of memory"
        return f"{text}."
