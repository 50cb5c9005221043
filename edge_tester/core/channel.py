"""Frames over a transport: what both sides of a connection do alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from edge_tester.core import wire
from edge_tester.core.errors import UnreachableError
from edge_tester.core.wire import Buffer, Flag, Inbox, Message


class Transport(Protocol):
    """The part of a runtime protocol that moves bytes."""

    @property
    def checksums(self) -> bool:
        """Whether payloads need a checksum on this link."""

    def send(self, buffers: Sequence[Buffer], size_bytes: int) -> None:
        """Send all bytes of all buffers, in order; ``size_bytes`` is their sum."""

    def receive_into(self, buffer: memoryview) -> int:
        """Receive at least one byte; 0 says that the other side has closed."""


class Channel:
    """Sends and receives whole messages.

    Parameters
    ----------
    transport : Transport
    limits : dict of int to int
        See :class:`edge_tester.core.wire.Inbox`.
    """

    def __init__(self, transport: Transport, limits: dict[int, int]) -> None:
        self.inbox = Inbox(limits)
        self._send = transport.send
        self._receive_into = transport.receive_into
        self._outgoing: list[Buffer] = []
        self.outgoing_bytes = 0
        self._checksum = Flag.CHECKSUM if transport.checksums else 0

    def put(self, type: int, flags: int, sequence: int, payload: Sequence[Buffer] = ()) -> None:
        """Add a message to those that :meth:`flush` sends; buffers are not copied."""
        length = 0
        for piece in payload:
            length += len(piece) if isinstance(piece, bytes) else piece.nbytes
        outgoing = self._outgoing
        outgoing.append(wire.encode_header(type, flags | self._checksum, sequence, length))
        self.outgoing_bytes += wire.HEADER_BYTES + length
        outgoing.extend(payload)
        if self._checksum:
            outgoing.append(wire.checksum(payload))
            self.outgoing_bytes += wire.CHECKSUM_BYTES

    def put_header(self, type: int, sequence: int, length: int) -> None:
        """Begin a message whose payload is sent piece by piece outside the channel."""
        self._outgoing.append(wire.encode_header(type, 0, sequence, length))
        self.outgoing_bytes += wire.HEADER_BYTES

    def flush(self) -> None:
        """Send every message that was put, in one go."""
        outgoing, size_bytes = self._outgoing, self.outgoing_bytes
        if outgoing:
            self._outgoing, self.outgoing_bytes = [], 0
            self._send(outgoing, size_bytes)

    def receive(self) -> Message | None:
        """Wait for the next message; None if the other side closed between messages.

        Raises
        ------
        UnreachableError
            The other side closed in the middle of a message.
        RemoteProtocolError
            It broke the protocol.
        """
        inbox = self.inbox
        message = inbox.take(0) if inbox.pending else None
        while message is None:
            count = self._receive_into(inbox.space())
            if count == 0:
                if inbox.pending:
                    raise UnreachableError("The connection was closed in the middle of a message.")
                return None
            message = inbox.take(count)
        return message

    def pieces(self) -> Iterator[memoryview]:
        """Receive the payload of the streamed message that :meth:`receive` gave."""
        inbox = self.inbox
        while (piece := inbox.next_piece()) is not None:
            if piece:
                yield piece
            else:
                count = self._receive_into(inbox.space())
                if count == 0:
                    raise UnreachableError("The connection was closed in the middle of a model.")
                inbox.add(count)
