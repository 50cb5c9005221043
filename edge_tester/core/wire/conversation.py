"""Requests and the answers to them, whatever they are about."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from edge_tester.core.errors import (
    EdgeTesterError,
    LocalProtocolError,
    ProtocolError,
    RemoteProtocolError,
    TargetError,
    UnreachableError,
)
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.system.text import printable
from edge_tester.core.wire import frames, payloads
from edge_tester.core.wire.channel import Channel
from edge_tester.core.wire.frames import Message, Type
from edge_tester.core.wire.payloads import Failure

# Characters of what a target says went wrong.
_MESSAGE_LIMIT = 4000
# Inputs leave before their block is complete, so that the target takes them meanwhile.
_FLUSH_BYTES = 1 << 18


class Conversation:
    """Sends requests over a link, and hears the answers in their order.

    Parameters
    ----------
    protocol : RuntimeProtocol
        Not connected.
    """

    def __init__(self, protocol: RuntimeProtocol) -> None:
        self.protocol = protocol
        self._channel: Channel | None = None
        # What the target may send now, in the one dictionary that the channel looks into.
        self._limits: dict[int, int] = {Type.ERROR: frames.ERROR_LIMIT_BYTES}
        self._sequence = itertools.cycle(range(frames.SEQUENCES))

    @property
    def channel(self) -> Channel:
        """What messages go through.

        Raises
        ------
        LocalProtocolError
            Nothing is connected.
        """
        if self._channel is None:
            raise LocalProtocolError(f"{type(self.protocol).__name__} is not connected.")
        return self._channel

    def begin(self) -> None:
        """Connect.

        Raises
        ------
        UnreachableError
        """
        self.protocol.start_client()
        self._channel = self.protocol.open_channel(self._limits)
        self._channel.flush_bytes = _FLUSH_BYTES

    def end(self) -> None:
        """Close the connection; may be called twice."""
        self._channel = None
        self.protocol.disconnect()

    def wait_up_to(self, limit_s: float) -> None:
        """Let every wait fail that takes longer, and every message that does."""
        self.protocol.connection.limit_wait(limit_s)
        self.channel.message_limit_s = limit_s

    def following(self) -> int:
        """Return the sequence number of the next request."""
        return next(self._sequence)

    def request(self, type: int, payload: Sequence[frames.Buffer] = (), flags: int = 0) -> int:
        """Send a request; return its sequence number."""
        channel, sequence = self.channel, self.following()
        if not flags:
            channel.held = False
        try:
            channel.send(type, flags, sequence, payload)
        except UnreachableError as gone:
            raise self.last_words(gone) from gone
        return sequence

    def answer(self, sequence: int, limit_bytes: int) -> Message:
        """Wait for the next answer, which must be OK and that to this request.

        Raises
        ------
        TargetError
            It is ERROR.
        RemoteProtocolError, UnreachableError
        """
        self._limits[Type.OK] = limit_bytes
        message = self.channel.receive()
        if message is None:
            raise UnreachableError(
                f"The other side, {self.protocol.address}, closed the connection."
            )
        if message.type != Type.OK:
            raise _error_of(message)
        if message.sequence != sequence:
            raise RemoteProtocolError(
                f"The target answered request {message.sequence}, expected {sequence}."
            )
        return message

    def drain(self, last: int, count: int, limit_bytes: int) -> None:
        """Hear all answers of a flight that failed: the target gives one to every request.

        Parameters
        ----------
        last : int
            The last request of the flight.
        count : int
            Most answers that there can be.
        limit_bytes : int
            Largest of them.

        Raises
        ------
        RemoteProtocolError, UnreachableError
        """
        self._limits[Type.OK] = limit_bytes
        for _ in range(count):
            message = self.channel.receive()
            if message is None or message.sequence == last:
                return
        raise RemoteProtocolError(f"The target gave more than {count} answers to one flight.")

    def last_words(self, lost: UnreachableError) -> EdgeTesterError:
        """Return why the target closed the connection, if it said so before."""
        self._limits.setdefault(Type.OK, 0)
        try:
            while (message := self.channel.receive()) is not None:
                if message.type == Type.ERROR:
                    return _error_of(message)
        except RemoteProtocolError as error:
            return error
        except ProtocolError:
            return lost
        return lost


def _error_of(message: Message) -> TargetError:
    failure = payloads.decode(message.payload, Failure)
    # Whoever reads it may do so on a terminal.
    return TargetError(failure.code, printable(" ".join(failure.message.split()), _MESSAGE_LIMIT))
