"""The thread that stands between a serial line and a socket, on either side of the line.

What knows sockets goes on with sockets: of a connection over the line, one end of a pair of
sockets is what a host speaks through, or what an agent is given as its client.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable

from edge_tester.core.errors import UnreachableError
from edge_tester.core.wire.seriallink import Link
from edge_tester.core.wire.serialpackets import Kind, Packet, Splitter, encode

_PIECE_BYTES = 1 << 16
_OPEN_INTERVAL_S = 0.3
_OPEN_LIMIT_S = 5.0
_CLOSE_LIMIT_S = 3.0
_FAREWELLS = 3
# In the system's own buffer, where nothing can be taken back, as little as keeps the line busy.
_AHEAD_BYTES = 1100
_LONGEST_PAUSE_S = 0.5
# What is sent but not on its way yet; more would hide from its sender how slow the line is.
_BUFFER_BYTES = 1 << 15


class SerialLine:
    """A line that is open, and the one connection over it at a time.

    Parameters
    ----------
    descriptor : int
        Of the device; non-blocking, and still its opener's to close.
    baud : int
        Bits per second.
    """

    def __init__(self, descriptor: int, baud: int) -> None:
        self._line = descriptor
        self._baud = baud
        self._splitter = Splitter()
        self._link: Link | None = None
        self._ours: socket.socket | None = None
        self._reads = False
        self._out = bytearray()
        self._in_hand = b""
        # What is to be answered to others than the connection that there is.
        self._replies: list[Packet] = []
        self._failed = False
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._on_open: Callable[[socket.socket], None] | None = None
        self._reopen: Callable[[], int | None] | None = None
        self._thread = threading.Thread(target=self._serve, name="serial line", daemon=True)
        self._stopping = False

    def connect(self) -> socket.socket:
        """Open a connection to the other side; return what to speak through.

        Raises
        ------
        UnreachableError
            Nobody answers.
        """
        session = int.from_bytes(os.urandom(4), "big")
        end_s = time.monotonic() + _OPEN_LIMIT_S
        while time.monotonic() < end_s:
            self._replies = [Packet(Kind.OPEN, session)]
            next_s = time.monotonic() + _OPEN_INTERVAL_S
            while (left_s := next_s - time.monotonic()) > 0:
                self._write()
                for packet in self._received(left_s):
                    if packet.kind == Kind.ACCEPT and packet.session == session:
                        self._replies, theirs = [], self._begin(session)
                        self._thread.start()
                        return theirs
                if self._failed:
                    raise UnreachableError("The serial device is gone.")
        raise UnreachableError("Nobody answers on the serial line.")

    def listen(
        self, on_open: Callable[[socket.socket], None], reopen: Callable[[], int | None]
    ) -> None:
        """Wait for connections; each is told, in a thread, with what to speak through.

        Parameters
        ----------
        on_open : callable
        reopen : callable
            Gives a descriptor of the device again after it was gone, None as long as it is not
            there: an adapter may be pulled out, and put in again.
        """
        self._on_open, self._reopen = on_open, reopen
        self._thread.start()

    def close(self) -> None:
        """End the connection, once the other side has all that was sent, if it still answers."""
        self._stopping = True
        if self._thread.is_alive():
            with contextlib.suppress(OSError):
                self._wake.send(b"-")
            self._thread.join(_CLOSE_LIMIT_S)
        self._end()
        self._woken.close()
        self._wake.close()

    def _begin(self, session: int) -> socket.socket:
        self._link = Link(session, self._baud, time.monotonic())
        self._ours, theirs = socket.socketpair()
        for end in (self._ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        self._ours.setblocking(False)
        self._reads, self._in_hand = True, b""
        return theirs

    def _end(self) -> None:
        """Let go of the connection; whoever speaks through it sees that it has ended."""
        if self._ours is not None:
            self._ours.close()
        self._link = self._ours = None
        self._in_hand = b""

    def _serve(self) -> None:
        while not self._stopping:
            # What is closed under this thread ends it.
            with contextlib.suppress(OSError, ValueError):
                self._carry()
            self._end()
            if self._reopen is None:
                return
            while self._failed and not self._stopping:
                time.sleep(_LONGEST_PAUSE_S)
                if (descriptor := self._reopen()) is not None:
                    self._line, self._failed = descriptor, False
                    self._splitter, self._out = Splitter(), bytearray()

    def _carry(self) -> None:
        """Serve the line until it is gone, or nobody wants it any more."""
        end_s: float | None = None
        while not self._failed:
            if self._stopping:
                end_s = end_s or time.monotonic() + _CLOSE_LIMIT_S
                if self._parted(time.monotonic() > end_s):
                    return
            self._write()
            for packet in self._received(self._pause_s()):
                self._receive(packet)
            self._pass_on()

    def _parted(self, late: bool) -> bool:
        """Say that nothing more will come; tell whether the other side has all, or it is late."""
        link = self._link
        if link is None:
            return True
        link.finish()
        if not (link.delivered or late):
            return False
        if not link.ended or late:
            # What it still says nobody hears. Several times, since no answer comes to this.
            self._link = None
            self._replies = [Packet(Kind.RESET, link.session)] * _FAREWELLS
            self._write()
        return True

    def _receive(self, packet: Packet) -> None:
        link = self._link
        if link is not None and packet.session == link.session:
            if packet.kind == Kind.OPEN:
                self._replies.append(Packet(Kind.ACCEPT, packet.session))
            elif packet.kind != Kind.ACCEPT:
                link.receive(packet, time.monotonic())
        elif packet.kind == Kind.OPEN and self._on_open is not None:
            # One host has a line for itself: the one before is gone.
            self._end()
            theirs = self._begin(packet.session)
            self._replies = [Packet(Kind.ACCEPT, packet.session)]
            self._on_open(theirs)
        elif packet.kind in (Kind.DATA, Kind.ASK, Kind.END):
            # Of a connection that is no more, which the other side has not heard.
            self._replies.append(Packet(Kind.RESET, packet.session))

    def _pass_on(self) -> None:
        """Move bytes between the connection and the socket."""
        link, ours = self._link, self._ours
        if link is None or ours is None:
            return
        gone = False
        if self._reads and link.room_bytes:
            with contextlib.suppress(BlockingIOError):
                try:
                    piece = ours.recv(link.room_bytes)
                except ConnectionError:
                    piece = b""
                if piece:
                    link.send(piece)
                else:
                    self._reads = False
                    link.finish()
        with contextlib.suppress(BlockingIOError):
            while self._in_hand or (piece := link.take()):
                self._in_hand = self._in_hand or piece
                try:
                    sent = ours.send(self._in_hand)
                except (BrokenPipeError, ConnectionResetError):
                    # Nobody reads it any more.
                    gone, sent = True, len(self._in_hand)
                self._in_hand = self._in_hand[sent:]
        if link.ended and not self._in_hand:
            with contextlib.suppress(OSError):
                ours.shutdown(socket.SHUT_WR)
        finished = link.delivered and (link.ended or gone or not self._reads and _closed(ours))
        unheard = link.reset and not gone and (self._in_hand or link.holds)
        if finished or (link.lost(time.monotonic()) and not unheard):
            if finished:
                # The other side may still ask whether its end has come.
                self._write_now(link)
            self._end()

    def _pause_s(self) -> float:
        link = self._link
        if link is None:
            return _LONGEST_PAUSE_S
        return min(_LONGEST_PAUSE_S, max(0.0, link.next_s() - time.monotonic()))

    def _received(self, pause_s: float) -> list[Packet]:
        """Wait for something to happen; return the packets that have come."""
        poll = select.poll()
        poll.register(self._line, select.POLLIN | (select.POLLOUT if self._out else 0))
        poll.register(self._woken, select.POLLIN)
        link, ours = self._link, self._ours
        if link is not None and ours is not None:
            wanted = select.POLLIN if self._reads and link.room_bytes else 0
            wanted |= select.POLLOUT if self._in_hand else 0
            if wanted:
                poll.register(ours, wanted)
        # The system does not tell when its buffer is nearly empty: it is looked at.
        busy = self._ahead_bytes() >= _AHEAD_BYTES
        limit_s = min(pause_s, _AHEAD_BYTES * 10 / self._baud / 2) if busy else pause_s
        poll.poll(max(1, round(limit_s * 1000)) if limit_s > 0 else 0)
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(64)
        try:
            received = os.read(self._line, _PIECE_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            received = b""
        if not received and self._hung_up():
            self._failed = True
        return list(self._splitter.packets(received))

    def _hung_up(self) -> bool:
        """Tell whether the device is gone, such as an adapter that was pulled out."""
        poll = select.poll()
        poll.register(self._line, select.POLLIN)
        events = dict(poll.poll(0)).get(self._line, 0)
        return bool(events & (select.POLLERR | select.POLLNVAL | select.POLLHUP))

    def _write(self) -> None:
        """Send as much as the line takes now."""
        while True:
            if not self._out:
                if self._ahead_bytes() >= _AHEAD_BYTES:
                    return
                packet = self._next_packet()
                if packet is None:
                    return
                self._out += encode(packet)
            if not self._written():
                return

    def _write_now(self, link: Link) -> None:
        self._out += b"".join(
            encode(packet) for packet in [link.next_packet(time.monotonic())] if packet
        )
        self._written()

    def _written(self) -> bool:
        try:
            del self._out[: os.write(self._line, self._out)]
        except BlockingIOError:
            return False
        except OSError:
            self._failed = True
            return False
        return not self._out

    def _next_packet(self) -> Packet | None:
        if self._replies:
            return self._replies.pop(0)
        return None if self._link is None else self._link.next_packet(time.monotonic())

    def _ahead_bytes(self) -> int:
        """Return how many bytes the system still has to send."""
        with contextlib.suppress(OSError):
            found = fcntl.ioctl(self._line, termios.TIOCOUTQ, bytes(4))
            return int(struct.unpack("i", found)[0])
        return 0


def _closed(ours: socket.socket) -> bool:
    """Tell whether the other end of a pair is closed, and not for writing alone."""
    poll = select.poll()
    poll.register(ours, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))
