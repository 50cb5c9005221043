"""TLS 1.3 (RFC 8446) over a socket, with certificates of the user's own authority."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

from edge_tester.core.errors import OptionError, UnreachableError
from edge_tester.core.wire.frames import Buffer

# What one call encrypts; small pieces of a message leave in one record.
_PIECE_BYTES = 1 << 18
_SMALL_BYTES = 1 << 14
_WANTED = (
    "it wants a certificate of its own authority: --tls-certificate, as `edge-tester keys` makes "
    "it for a host, and not one that has expired (openssl x509 -noout -enddate -in FILE)"
)


def server_context(certificate: Path, authority: Path | None) -> ssl.SSLContext:
    """Return what a target needs to be known, and to know its clients if there is an authority.

    Raises
    ------
    OptionError
        A file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    _load(context, certificate, authority)
    if authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(authority: Path, certificate: Path | None) -> ssl.SSLContext:
    """Return what a host needs to know a target, and to be known if it has a certificate.

    Raises
    ------
    OptionError
        A file cannot be used.
    """
    # Verifies the certificate and the name in it.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    _load(context, certificate, authority)
    return context


def _load(context: ssl.SSLContext, certificate: Path | None, authority: Path | None) -> None:
    for path, what, load in (
        (certificate, "--tls-certificate", context.load_cert_chain),
        (authority, "--tls-ca", context.load_verify_locations),
    ):
        if path is None:
            continue
        try:
            load(path)
        except (OSError, ValueError) as error:
            # A file that is none gives no word of its own.
            reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
            wanted = "certificate and key" if what == "--tls-certificate" else "certificate"
            raise OptionError(
                f"{what} {path} cannot be used ({reason}): it must be a PEM file with the "
                f"{wanted}, as `edge-tester keys` makes it."
            ) from error


class TLSConnection:
    """A connection that nobody reads or changes on its way.

    Parameters
    ----------
    connection : socket
        Connected; belongs to it from now on.
    context : SSLContext
    name : str
        What the target's certificate must be made out to.
    limit_s : float
        Time that the handshake may take.

    Raises
    ------
    UnreachableError
        The other side speaks no TLS, or is not the one meant.
    """

    def __init__(
        self, connection: socket.socket, context: ssl.SSLContext, name: str, limit_s: float
    ) -> None:
        connection.settimeout(limit_s)
        try:
            self._socket = context.wrap_socket(connection, server_hostname=name)
        except ssl.SSLCertVerificationError as error:
            connection.close()
            raise UnreachableError(
                f"The certificate of the target was refused for {name!r}: "
                f"{error.verify_message.rstrip('.')}. "
                "It must be of the authority of --tls-ca, and made out to that name "
                "(--tls-name says another one)."
            ) from error
        except OSError as error:
            connection.close()
            reason = getattr(error, "reason", None) or error.strerror or error
            raise UnreachableError(
                f"No TLS could be agreed on with the target ({reason}): it may have been started "
                "without --tls-certificate."
            ) from error
        self._heard = False

    def descriptors(self) -> tuple[int, ...]:
        """Return that of the socket."""
        return (self._socket.fileno(),)

    def limit_wait(self, limit_s: float) -> None:
        """Let every call fail that waits longer."""
        self._socket.settimeout(limit_s)

    def sendmsg(self, buffers: Sequence[Buffer], /) -> int:
        """Encrypt and send what comes first: small buffers together, of a large one a piece."""
        small = bytearray()
        for buffer in buffers:
            view = memoryview(buffer).cast("B")
            if len(view) > _SMALL_BYTES:
                return self._socket.send(small or view[:_PIECE_BYTES])
            small += view
            if len(small) > _SMALL_BYTES:
                break
        return self._socket.send(small) if small else 0

    def recv_into(self, buffer: memoryview, /) -> int:
        """Receive and decrypt."""
        try:
            count = self._socket.recv_into(buffer)
        except ssl.SSLWantReadError as error:
            raise TimeoutError from error
        except ssl.SSLError as error:
            # In TLS 1.3 a host hears that its certificate is refused after the handshake.
            if any(word in (error.reason or "") for word in ("CERTIFICATE", "UNKNOWN_CA")):
                raise ConnectionError(_WANTED) from error
            raise ConnectionError(f"TLS: {error.reason}") from error
        if not count and not self._heard:
            raise ConnectionError(f"the target closed it at once: most likely {_WANTED}")
        self._heard = True
        return count

    def close(self) -> None:
        """Close it; may be called twice."""
        self._socket.close()
