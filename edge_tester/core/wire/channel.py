"""Frames over a connection: what both sides do alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

from edge_tester.core.errors import (
    LocalProtocolError,
    RemoteProtocolError,
    UnreachableError,
)
from edge_tester.core.wire.connections import BUFFERS_AT_ONCE, Connection
from edge_tester.core.wire.frames import (
    CHECKSUM_BYTES,
    HEADER_BYTES,
    KNOWN_FLAGS,
    MAC_BYTES,
    Buffer,
    Flag,
    Message,
    RunningChecksum,
    decode_header,
    encode_header,
    require_unknown,
)
from edge_tester.core.wire.trailers import Trailers, require_same
from edge_tester.core.wire.writing import lost, write, write_file

if TYPE_CHECKING:
    from edge_tester.core.wire.macs import RunningMac

_SPARE_BYTES = 1 << 16
_EMPTY = memoryview(b"")
# The members of a class cost a second look; these are needed for every message.
_MORE, _MAC = Flag.MORE, Flag.MAC
_TRAILERS = Flag.CHECKSUM | _MAC
# A payload is given this much memory at once, and this much if it is expected; more comes as
# its bytes do.
_AT_ONCE_BYTES, _EXPECTED_BYTES = 1 << 20, 1 << 26


class Channel:
    """Sends and receives whole messages, without copying what they carry.

    Parameters
    ----------
    connection : Connection
    limits : dict of int to int
        Largest payload allowed now per message type [bytes]; a type that is not
        there is a violation. Looked up as soon as a header is there, before
        anything is allocated for its payload. The owner exchanges it when its
        state changes.
    address : str
        Whose connection it is, for messages.
    checksums : bool
        Whether payloads need a checksum on this link.
    packet_size : int
        Most bytes to take by one receive.
    streamed : collection of int
        Message types whose payload is not received with the message, but taken after it.

    Attributes
    ----------
    held : bool
        Whether the payloads that were received stay valid until this is reset;
        otherwise each one does until the next message is received.
    unknown_limit_bytes : int
        Payload of a message of a type that nobody knows, which passes; 0 lets none pass.
    message_limit_s : float or None
        Time that a message may take from its first byte to its last.
    trailers : Trailers
        What follows payloads.
    flush_bytes : int or None
        Let messages of a flight leave before its end when they are so many bytes.
    """

    def __init__(
        self,
        connection: Connection,
        limits: dict[int, int],
        address: str = "the other side",
        *,
        checksums: bool = False,
        packet_size: int = 1 << 20,
        streamed: Collection[int] = (),
    ) -> None:
        self.limits = limits
        self.held = False
        self._at_once_bytes = _AT_ONCE_BYTES
        self.unknown_limit_bytes = 0
        self.message_limit_s: float | None = None
        self.flush_bytes: int | None = None
        self._streamed = frozenset(streamed)
        self._connection = connection
        self._address = address
        self.trailers = Trailers(checksums=checksums)
        self._packet_size = packet_size
        # The functions of a socket themselves: one of Python's around each, called
        # when a wait has left it cold, costs more than a microsecond.
        self._sendmsg = connection.sendmsg
        self._recv_into = connection.recv_into
        self._waiting: list[Buffer] = []
        self._waiting_bytes = 0
        self._buffer = memoryview(bytearray(_SPARE_BYTES))
        self._front = self._buffer[:packet_size]
        self._start = 0
        self._end = 0
        self._streaming = 0
        self._check: RunningChecksum | RunningMac | None = None
        self._leaving: RunningMac | None = None

    def send(self, type: int, flags: int, sequence: int, payload: Sequence[Buffer] = ()) -> None:
        """Send a message; one with the flag MORE waits for the first without it.

        Raises
        ------
        UnreachableError
            The other side is gone.
        """
        length = 0
        for piece in payload:
            length += len(piece) if isinstance(piece, bytes) else piece.nbytes
        header = encode_header(type, flags | self.trailers.flag, sequence, length)
        buffers, size_bytes = [header, *payload], HEADER_BYTES + length
        if self.trailers.flag:
            trailer = self.trailers.over(header, payload)
            buffers.append(trailer)
            size_bytes += len(trailer)
        if flags & _MORE or self._waiting:
            self._waiting += buffers
            self._waiting_bytes += size_bytes
            if flags & _MORE:
                if self.flush_bytes is not None and self._waiting_bytes >= self.flush_bytes:
                    self.flush()
                return
            self.flush()
            return
        self._send_all(buffers, size_bytes)

    def flush(self) -> None:
        """Send what waits for the end of its flight.

        Raises
        ------
        UnreachableError
            The other side is gone.
        """
        buffers, size_bytes = self._waiting, self._waiting_bytes
        self._waiting, self._waiting_bytes = [], 0
        for first in range(0, len(buffers), BUFFERS_AT_ONCE):
            some = buffers[first : first + BUFFERS_AT_ONCE]
            whole = len(some) == len(buffers)
            self._send_all(some, size_bytes if whole else sum(memoryview(b).nbytes for b in some))

    def _send_all(self, buffers: Sequence[Buffer], size_bytes: int) -> None:
        try:
            sent = self._sendmsg(buffers)
        except OSError as error:
            raise self._lost(error) from error
        if sent != size_bytes:
            self._send_rest(buffers, sent)

    def begin(self, type: int, sequence: int, length: int, head: bytes) -> None:
        """Send the beginning of a message; the rest of its payload is sent outside.

        ``length`` is that of the whole payload, of which ``head`` is the beginning.
        """
        flags = _MAC if self.trailers.authentic else 0
        header = encode_header(type, flags, sequence, length)
        self._leaving = self.trailers.begin(header)
        if self._leaving is not None:
            self._leaving.update(head)
        self._send_rest([header, head], 0)

    def send_file(self, file: BinaryIO, count: int, progress: Callable[[int], None]) -> bool:
        """Send the rest of the payload from a file; False where that can be done outside.

        Raises
        ------
        ModelError, UnreachableError
            As :func:`write_file`.
        """
        leaving, self._leaving = self._leaving, None
        if leaving is None:
            return False
        write_file(self._connection, self._address, file, count, progress, leaving.update)
        self._send_rest([leaving.finish()], 0)
        return True

    def receive(self) -> Message | None:
        """Wait for the next message; None if the other side closed between messages.

        Raises
        ------
        UnreachableError
            The other side closed in the middle of a message.
        RemoteProtocolError
            It broke the protocol; the connection cannot go on.
        """
        # Every message passes here. After a wait the code is cold, and each further
        # call of a function then costs more than the work it does: hence one function.
        start = self._start
        if start == self._end and not self.held and not self._streaming:
            try:
                self._end = count = self._recv_into(self._front)
            except OSError as error:
                raise self._lost(error) from error
            self._start = start = 0
            if not count:
                return None
        if self._end - start < HEADER_BYTES:
            if not self._gather(HEADER_BYTES):
                return None
            start = self._start
        begin = start + HEADER_BYTES
        type, flags, sequence, length = decode_header(bytes(self._buffer[start:begin]))
        limit = self.limits.get(type)
        if limit is None or length > limit:
            require_unknown(self.limits, self.unknown_limit_bytes, type, length)
        if flags & ~KNOWN_FLAGS:
            raise RemoteProtocolError(f"Flags {flags:#06x} have no meaning.")
        check = None
        if flags & _TRAILERS or self.trailers.strict:
            check = self.trailers.check_of(type, flags, bytes(self._buffer[start:begin]))
        if type in self._streamed:
            self._start, self._streaming, self._check = begin, length, check
            return Message(type, flags, sequence, length, _EMPTY)
        wanted = HEADER_BYTES + length
        if check is not None:
            wanted += MAC_BYTES if flags & _MAC else CHECKSUM_BYTES
        if self._end - start < wanted:
            self._gather(wanted)
            start = self._start
            begin = start + HEADER_BYTES
        self._start = start + wanted
        end = begin + length
        payload = self._buffer[begin:end]
        if check is not None:
            check.update(payload)
            require_same(check.finish(), self._buffer[end : start + wanted])
        return Message(type, flags, sequence, length, payload)

    def pieces(self) -> Iterator[memoryview]:
        """Receive what is left of the payload of the streamed message that came last.

        A piece is valid until the next one is taken.

        Raises
        ------
        UnreachableError
            The other side closed in the middle of it.
        RemoteProtocolError
            It was damaged on its way.
        """
        while self._streaming:
            if self._start == self._end:
                self._receive_more(1)
            count = min(self._streaming, self._end - self._start)
            piece = self._buffer[self._start : self._start + count]
            self._start += count
            self._taken(piece)
            yield piece

    def take_into(self, space: memoryview) -> int:
        """Receive the next bytes of a streamed payload; return how many, at least one if any.

        Raises
        ------
        UnreachableError, RemoteProtocolError
            As :meth:`pieces`.
        """
        wanted = min(self._streaming, len(space))
        if not wanted:
            return 0
        have = min(self._end - self._start, wanted)
        if have:
            space[:have] = self._buffer[self._start : self._start + have]
            self._start += have
        else:
            try:
                have = self._recv_into(space[: min(wanted, self._packet_size)])
            except OSError as error:
                raise self._lost(error) from error
            if not have:
                raise self._cut_off()
        self._taken(space[:have])
        return have

    def take(self, count: int) -> bytearray:
        """Receive the next ``count`` bytes of a streamed payload; memory grows as they come.

        Raises
        ------
        UnreachableError, RemoteProtocolError
            As :meth:`pieces`, or fewer are left.
        """
        if count > self._streaming:
            raise RemoteProtocolError(
                f"A payload ends too early: {self._streaming} bytes are left, {count} are needed."
            )
        content = bytearray(min(count, self._at_once_bytes))
        filled = 0
        while filled < count:
            if filled == len(content):
                content += bytes(min(count - filled, len(content)))
            with memoryview(content) as view:
                filled += self.take_into(view[filled:])
        return content

    def skip(self) -> None:
        """Receive what is left of a streamed payload and forget it."""
        for _ in self.pieces():
            continue

    def _taken(self, piece: memoryview) -> None:
        self._streaming -= len(piece)
        if self._check is None:
            return
        self._check.update(piece)
        if not self._streaming:
            expected = self._check.finish()
            self._gather(len(expected))
            said = self._buffer[self._start : self._start + len(expected)]
            self._start += len(expected)
            require_same(expected, said)

    def expect(self, size_bytes: int) -> None:
        """Give payloads of this size their memory at once."""
        self._at_once_bytes = min(max(_AT_ONCE_BYTES, size_bytes), _EXPECTED_BYTES)

    def preload(self, data: bytes) -> None:
        """Put bytes that were received elsewhere in front of what comes next."""
        self._space(len(data))[: len(data)] = data
        self._end += len(data)

    def _gather(self, wanted: int) -> bool:
        """Receive until so many bytes are here; False if the end came before the first."""
        if self._streaming:
            raise LocalProtocolError("A streamed payload must be taken before what follows.")
        begin_s = time.monotonic()
        while self._end - self._start < wanted:
            if not self._receive_more(wanted):
                return False
            # What comes drop by drop never lets a single receive take too long.
            if self.message_limit_s and time.monotonic() - begin_s > self.message_limit_s:
                raise lost(self._address, TimeoutError())
        return True

    def _receive_more(self, wanted: int) -> bool:
        space = self._space(wanted)
        try:
            count = self._recv_into(space[: self._packet_size])
        except OSError as error:
            raise self._lost(error) from error
        self._end += count
        if not count and (self._streaming or self._start != self._end):
            raise self._cut_off()
        return bool(count)

    def _cut_off(self) -> UnreachableError:
        return UnreachableError(
            f"The connection to {self._address} was closed in the middle of a message."
        )

    def _space(self, wanted: int) -> memoryview:
        """Return where the next bytes go, in a buffer that will have room for ``wanted`` in all.

        It grows as they come: what a header says is no reason to take memory.
        """
        start, end, buffer = self._start, self._end, self._buffer
        if start == end and not self.held:
            start = end = 0
        wanted = min(wanted, max(2 * (end - start), self._at_once_bytes))
        if start + wanted > len(buffer):
            pending = buffer[start:end]
            if self.held or wanted > len(buffer):
                # A new buffer, not a grown one: payloads given out stay valid.
                buffer = self._buffer = memoryview(bytearray(wanted + _SPARE_BYTES))
                self._front = buffer[: self._packet_size]
                buffer[: len(pending)] = pending
            else:
                buffer[: len(pending)] = bytes(pending)
            start, end = 0, len(pending)
        self._start, self._end = start, end
        return buffer[end:]

    def _send_rest(self, buffers: Sequence[Buffer], sent: int) -> None:
        try:
            write(self._connection, buffers, sent)
        except OSError as error:
            raise self._lost(error) from error

    def _lost(self, error: OSError) -> UnreachableError:
        return lost(self._address, error)
