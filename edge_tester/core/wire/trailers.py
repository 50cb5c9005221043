"""What follows the payload of a frame: nothing, a checksum, or a code that authenticates it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_tester.core.errors import RemoteProtocolError
from edge_tester.core.wire.frames import (
    Buffer,
    Flag,
    Message,
    RunningChecksum,
    Type,
    checksum,
)

if TYPE_CHECKING:
    from edge_tester.core.wire.macs import Mac, RunningMac

_CHECKSUM, _MAC = Flag.CHECKSUM, Flag.MAC


class Trailers:
    """Those of one connection, in both directions.

    Parameters
    ----------
    checksums : bool
        Whether payloads need a checksum on this link.

    Attributes
    ----------
    flag : int
        Of frames that are sent, which says what follows them; 0 for nothing.
    strict : bool
        Whether only authentic frames are taken.
    """

    def __init__(self, *, checksums: bool) -> None:
        self.flag = _CHECKSUM if checksums else 0
        self.strict = False
        self._sent: Mac | None = None
        self._received: Mac | None = None

    @property
    def authentic(self) -> bool:
        """Whether a key was agreed on."""
        return self._received is not None

    def authenticate(self, key: bytes, *, host: bool) -> None:
        """Authenticate every frame that is sent from now on, and all that say to be authentic.

        After :meth:`require_authentic` no others are taken but an ERROR.

        Raises
        ------
        BackendMissingError
            The package ``cryptography`` is not installed.
        """
        from edge_tester.core.wire.macs import both

        self._sent, self._received = both(key, host=host)
        self.flag = _MAC

    def require_authentic(self, message: Message | None = None) -> None:
        """Take authentic frames alone from now on, where a key was agreed on.

        Raises
        ------
        RemoteProtocolError
            This message, from which on they are to be, is not.
        """
        if self._received is None:
            return
        if message is not None and not message.flags & _MAC:
            raise RemoteProtocolError(
                "The other side does not authenticate its frames, which was asked for by --mac."
            )
        self.strict = True

    def over(self, header: bytes, payload: Sequence[Buffer]) -> bytes:
        """Return what follows a frame that is sent."""
        return self._sent.over(header, payload) if self._sent else checksum(payload)

    def begin(self, header: bytes) -> RunningMac | None:
        """Return the code of a frame whose payload is sent piece by piece, None for no code.

        A payload that is sent in this way, a model, has a checksum of its own.
        """
        return self._sent.begin(header) if self._sent else None

    def check_of(self, type: int, flags: int, header: bytes) -> RunningChecksum | RunningMac | None:
        """Return what must follow the payload of a frame that came, None for nothing.

        Raises
        ------
        RemoteProtocolError
            It is not authentic, and has to be.
        """
        if flags & _MAC and self._received is not None:
            return self._received.begin(header)
        if flags & _MAC:
            raise RemoteProtocolError("A frame is authenticated with a key that nobody agreed on.")
        # How a session ended is said by who does not have its key; it misleads nobody by more
        # than the end of the connection does.
        if self.strict and type != Type.ERROR:
            raise RemoteProtocolError("A frame came that is not authenticated.")
        return RunningChecksum() if flags & _CHECKSUM else None


def require_same(expected: bytes, said: Buffer) -> None:
    """See that what follows a payload is what belongs there.

    Raises
    ------
    RemoteProtocolError
        It is not.
    """
    # Whoever forges one breaks the connection by it: how alike they were is of no use to him.
    if expected != said:
        raise RemoteProtocolError("A frame was damaged or changed on its way: wrong checksum.")
