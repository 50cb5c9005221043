"""A serial line: UART, RS-232, USB adapters, the console of a board."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_tester.core.backends import backend
from edge_tester.core.errors import UnreachableError
from edge_tester.core.options import option, state
from edge_tester.core.runtimeprotocol import Listener
from edge_tester.core.wire.connections import connected
from edge_tester.core.wire.tokens import TokenProtocol

if TYPE_CHECKING:
    from edge_tester.core.wire.serialline import SerialLine

logger = logging.getLogger(__name__)


class SerialProtocol(TokenProtocol):
    """A serial line, whose own layer sends again what was lost or damaged (``docs/serial.rst``).

    One client at a time; a new one takes the place of one that has gone without a word.
    """

    packages = ("serial",)

    serial_port: Path = option(
        Path("/dev/ttyUSB0"), help="Serial device of this machine, such as /dev/ttyUSB0"
    )
    baud: int = option(
        115200, minimum=9600, unit="bit/s", help="Speed of the line, the same on both sides"
    )
    hardware_flow: bool = option(
        False, help="Both sides have, and are connected by, the lines RTS and CTS"
    )

    _port: Any = state()
    _line: SerialLine | None = state()

    @property
    def address(self) -> str:
        """Device and speed."""
        return f"{self.serial_port} at {self.baud} baud"

    def start_server(self) -> Listener:
        """Wait for clients on the line."""
        return _SerialListener(*self._opened(), self._opened_port)

    def attach(self, connection: Any) -> None:
        """Use a socket to the line, or the descriptor of one."""
        self.connection = connected(connection)

    def start_client(self) -> None:
        """Open the line, and a connection over it."""
        port, line = self._opened()
        try:
            self.attach(line.connect())
        except UnreachableError as error:
            line.close()
            port.close()
            raise UnreachableError(
                f"No agent answers on {self.address}: {error} Start one there, with the same "
                "--baud: edge-tester server serial tflite --serial-port DEVICE"
            ) from error
        self._port, self._line = port, line

    def disconnect(self) -> None:
        """Close the connection, and give the device back."""
        if self.connection is not None:
            self.connection.close()
        line, self._line = self._line, None
        port, self._port = self._port, None
        if line is not None:
            line.close()
        if port is not None:
            port.close()

    def _opened(self) -> tuple[Any, SerialLine]:
        # Late: it needs what only systems with terminals have.
        from edge_tester.core.wire.serialline import SerialLine

        port = self._opened_port()
        return port, SerialLine(port.fileno(), self.baud)

    def _opened_port(self) -> Any:
        serial: Any = backend("serial", self)
        try:
            return serial.Serial(
                port=str(self.serial_port),
                baudrate=self.baud,
                timeout=0,
                rtscts=self.hardware_flow,
                exclusive=True,
            )
        except (OSError, ValueError) as error:
            # Its own error is an OSError, and has the reason in its text.
            raise UnreachableError(
                f"SerialProtocol cannot open {self.address}: {error.args[-1]}. Is it plugged "
                "in, and may this user open it (group dialout)?"
            ) from error


class _SerialListener:
    """Gives a client for each connection that is opened over the line."""

    def __init__(self, port: Any, line: SerialLine, open_port: Callable[[], Any]) -> None:
        self._port, self._line, self._open_port = port, line, open_port
        self._bell, self._ring = socket.socketpair()
        self._clients: list[socket.socket] = []
        line.listen(self._open, self._reopened)

    def fileno(self) -> int:
        """Return what can be read when a client has come."""
        return self._bell.fileno()

    def accept(self) -> tuple[socket.socket, str]:
        """Return a socket to the client, which a session process can be given."""
        self._bell.recv(1)
        return self._clients.pop(0), ""

    def close(self) -> None:
        """Give the device back."""
        self._line.close()
        self._port.close()
        for client in self._clients:
            client.close()
        self._bell.close()
        self._ring.close()

    def _reopened(self) -> int | None:
        with contextlib.suppress(OSError):
            self._port.close()
        try:
            self._port = self._open_port()
        except UnreachableError as error:
            logger.debug("%s", error)
            return None
        logger.info("the serial device is there again")
        return int(self._port.fileno())

    def _open(self, client: socket.socket) -> None:
        self._clients.append(client)
        with contextlib.suppress(OSError):
            self._ring.send(b"!")
