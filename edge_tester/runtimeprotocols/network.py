"""TCP and Unix sockets."""

from __future__ import annotations

import errno
import ipaddress
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from edge_tester.core.errors import ModelError, OptionError, UnreachableError
from edge_tester.core.options import option
from edge_tester.core.runtimeprotocol import Listener
from edge_tester.core.wire.connections import SocketConnection, connected
from edge_tester.core.wire.tokens import TokenProtocol
from edge_tester.core.wire.writing import lost

if TYPE_CHECKING:
    from ssl import SSLContext

_CONNECT_LIMIT_S = 5.0
_SENDFILE_BYTES = 1 << 20
# A peer that vanished without a word is noticed after 10 + 3 * 5 seconds.
_KEEPALIVE = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))


class NetworkProtocol(TokenProtocol):
    """TCP, or a Unix socket if the host is a path."""

    several = True
    scheme = ""
    address_forms = ("host:port", "/path/of/socket")

    host: str = option("127.0.0.1", help="Address of the target, or path of a Unix socket")
    port: int = option(12345, minimum=0, maximum=65535, help="TCP port; 0 takes a free one")
    tls_certificate: Path | None = option(
        None, help="PEM file with the certificate and key of this side: the target then speaks TLS"
    )
    tls_ca: Path | None = option(
        None,
        help="PEM file of the authority of the other side's certificate: the host then speaks "
        "TLS, and the target lets only hosts in that have one",
    )
    tls_name: str = option(
        "", help="What the target's certificate is made out to; its --host by default"
    )
    packet_size: int = option(
        1 << 20, minimum=1024, unit="bytes", help="Most bytes taken by one receive"
    )

    @property
    def mutual(self) -> bool:
        """Whether hosts need a certificate."""
        return bool(self.tls_certificate and self.tls_ca)

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

    @property
    def if_no_answer(self) -> str:
        """Say what a target with TLS wants, which does not understand who has none."""
        plain = self.tls_ca is None and not self._is_path
        return " If it was started with --tls-certificate, give --tls-ca." if plain else ""

    @classmethod
    def from_address(cls, address: str) -> NetworkProtocol:
        """Return a link to ``host:port``, or to the Unix socket of a path."""
        if "/" in address:
            return cls.from_options({"host": address})
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise OptionError("It needs a host and a port, such as 192.168.1.7:12345.")
        return cls.from_options({"host": host.strip("[]"), "port": int(port)})

    def start_server(self) -> Listener:
        """Listen; a free port that was asked for with 0 is then in ``port``."""
        if self.tls_ca and not self.tls_certificate:
            raise OptionError(
                "NetworkProtocol.tls_ca on a target lets hosts in that have a certificate, and "
                "needs --tls-certificate, by which they know the target."
            )
        if self.tls_certificate and self._is_path:
            raise OptionError(
                f"{self.host} is a Unix socket, which no other user can open: it takes no TLS."
            )
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
        if self.tls_certificate is None:
            return listener
        from edge_tester.core.agent.greeter import TLSListener

        return TLSListener(listener, self.tls_certificate, self.tls_ca)

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
        context = self._host_context()
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
        if context is None:
            self.attach(connection)
            return
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Late, as above: the library of TLS has some megabytes.
        from edge_tester.core.wire.tls import TLSConnection

        name = self.tls_name or self.host
        self.connection = TLSConnection(connection, context, name, _CONNECT_LIMIT_S)

    def send_file(self, file: BinaryIO, count: int, progress: Callable[[int], None]) -> None:
        """Let the kernel send the file; it never passes through this process."""
        connection, begin, sent = self.connection, file.tell(), 0
        if not isinstance(connection, SocketConnection):
            super().send_file(file, count, progress)
            return
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

    def _host_context(self) -> SSLContext | None:
        if self.tls_ca is None:
            if self.tls_certificate:
                raise OptionError(
                    "NetworkProtocol.tls_certificate on a host needs --tls-ca, by which it knows "
                    "the target."
                )
            return None
        from edge_tester.core.wire.tls import client_context

        return client_context(self.tls_ca, self.tls_certificate)

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
