"""TCP and Unix sockets."""

from __future__ import annotations

import errno
import ipaddress
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from edge_tester.core.errors import ModelError, UnreachableError
from edge_tester.core.options import option, state
from edge_tester.core.runtimeprotocol import Listener, RuntimeProtocol
from edge_tester.core.wire.channel import lost
from edge_tester.core.wire.connections import SocketConnection, connected

_CONNECT_LIMIT_S = 5.0
_SENDFILE_BYTES = 1 << 20
# A peer that vanished without a word is noticed after 10 + 3 * 5 seconds.
_KEEPALIVE = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))


class NetworkProtocol(RuntimeProtocol):
    """TCP, or a Unix socket if the host is a path."""

    several = True

    host: str = option("127.0.0.1", help="Address of the target, or path of a Unix socket")
    port: int = option(12345, minimum=0, maximum=65535, help="TCP port; 0 takes a free one")
    packet_size: int = option(
        1 << 20, minimum=1024, unit="bytes", help="Most bytes taken by one receive"
    )

    connection: SocketConnection = state()

    @property
    def address(self) -> str:
        """Path, or host and port."""
        return self.host if self._is_path else f"{self.host}:{self.port}"

    @property
    def exposed(self) -> bool:
        """Whether the address is not of the loopback range."""
        if self._is_path or self.host == "localhost":
            return False
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return True

    def start_server(self) -> Listener:
        """Listen; a free port that was asked for with 0 is then in ``port``."""
        family = socket.AF_UNIX if self._is_path else self._family()
        listener = socket.socket(family)
        try:
            if self._is_path:
                self._remove_stale_socket()
                Path(self.host).parent.mkdir(parents=True, exist_ok=True)
                listener.bind(self.host)
                Path(self.host).chmod(0o600)
            else:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((self.host, self.port))
                self.port = listener.getsockname()[1]
            listener.listen()
        except OSError as error:
            listener.close()
            if error.errno == errno.EADDRINUSE:
                raise UnreachableError(
                    f"{self.address} is in use, perhaps by another agent: "
                    "stop it or choose another --port."
                ) from error
            raise UnreachableError(
                f"NetworkProtocol cannot listen on {self.address}: {error.strerror or error}."
            ) from error
        return listener

    def attach(self, connection: Any) -> None:
        """Use a connected socket, or the descriptor of one."""
        connection = connected(connection)
        if connection.family != socket.AF_UNIX:
            # Without it Nagle's algorithm and delayed acknowledgement add 40 ms.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEPALIVE:
                if number := getattr(socket, name, None):
                    connection.setsockopt(socket.IPPROTO_TCP, number, value)
        self.connection = connection

    def start_client(self) -> None:
        """Connect to an agent."""
        try:
            if self._is_path:
                connection = socket.socket(socket.AF_UNIX)
                connection.connect(self.host)
            else:
                connection = socket.create_connection((self.host, self.port), _CONNECT_LIMIT_S)
        except OSError as error:
            where = f"--host {self.host}" + ("" if self._is_path else f" --port {self.port}")
            raise UnreachableError(
                f"No agent answers at {self.address} ({error.strerror or error}). "
                f"Start one there: edge-tester server network tflite {where}"
            ) from error
        self.attach(connection)

    def send_file(self, file: BinaryIO, count: int, progress: Callable[[int], None]) -> None:
        """Let the kernel send the file; it never passes through this process."""
        connection, begin, sent = self.connection, file.tell(), 0
        try:
            while sent < count:
                piece = connection.sendfile(file, begin + sent, min(_SENDFILE_BYTES, count - sent))
                if piece == 0:
                    raise ModelError(f"{file.name} became shorter while it was sent.")
                sent += piece
                progress(piece)
        except OSError as error:
            raise lost(self.address, error) from error

    def disconnect(self) -> None:
        """Close the connection."""
        if self.connection is not None:
            self.connection.close()

    @property
    def _is_path(self) -> bool:
        return "/" in self.host

    def _family(self) -> socket.AddressFamily:
        try:
            return socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0][0]
        except OSError as error:
            raise UnreachableError(f"Host {self.host} is unknown: {error.strerror}.") from error

    def _remove_stale_socket(self) -> None:
        """Remove the socket of an agent that is gone; a living one keeps its own."""
        path = Path(self.host)
        if not path.exists() or not stat.S_ISSOCK(path.stat().st_mode):
            return
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(self.host) == errno.ECONNREFUSED:
                path.unlink()
