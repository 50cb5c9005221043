"""Authentic frames by AES-256-GMAC (NIST SP 800-38D): none is changed, left out, added or repeated.

Each side counts its frames, and the count is in the nonce; the key is of one conversation. What
the frames say can still be read: that takes TLS.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edge_tester.core.backends import backend
from edge_tester.core.wire.frames import MAC_BYTES, Buffer

_HOST, _TARGET = b"host", b"targ"


class Mac:
    """The frames of one direction, in their order.

    Parameters
    ----------
    key : bytes
        32 bytes that only the two sides have.
    side : bytes
        Four bytes that name who sends.

    Raises
    ------
    BackendMissingError
        The package ``cryptography`` is not installed.
    """

    def __init__(self, key: bytes, side: bytes) -> None:
        ciphers: Any = backend("cryptography.hazmat.primitives.ciphers", self)
        self._cipher, self._modes = ciphers.Cipher, ciphers.modes
        self._algorithm = ciphers.algorithms.AES(key)
        self._side, self._count = side, 0

    def begin(self, header: bytes) -> RunningMac:
        """Begin with the next frame, whose payload may come piece by piece."""
        nonce = self._side + self._count.to_bytes(8, "big")
        self._count += 1
        running = RunningMac(self._cipher(self._algorithm, self._modes.GCM(nonce)).encryptor())
        running.update(header)
        return running

    def over(self, header: bytes, payload: Iterable[Buffer]) -> bytes:
        """Return what goes behind the next frame."""
        running = self.begin(header)
        for piece in payload:
            running.update(piece)
        return running.finish()


class RunningMac:
    """That of one frame while its payload passes."""

    def __init__(self, encryptor: Any) -> None:
        self._encryptor = encryptor

    def update(self, piece: Buffer) -> None:
        """Take in what comes next."""
        self._encryptor.authenticate_additional_data(piece)

    def finish(self) -> bytes:
        """Return the code of all that was taken in."""
        self._encryptor.finalize()
        tag: bytes = self._encryptor.tag
        return tag[:MAC_BYTES]


def both(key: bytes, *, host: bool) -> tuple[Mac, Mac]:
    """Return those of what this side sends, and of what it receives."""
    sides = (_HOST, _TARGET) if host else (_TARGET, _HOST)
    return Mac(key, sides[0]), Mac(key, sides[1])
