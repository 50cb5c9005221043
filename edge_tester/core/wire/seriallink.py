"""Bytes, whole and in order, over a line that loses, doubles and damages packets.

Both sides number their packets and send up to a window of them without an answer. Every
packet tells what its sender has: all before ``expected``, and which later ones. What the other
side lacks is sent again: at once, where something sent later has arrived, since a line does
not overtake; otherwise when a time is over. No input, output or clock is here.
"""

from __future__ import annotations

from collections import deque

from edge_tester.core.wire.serialpackets import Kind, Packet

_NUMBERS = 1 << 16
WINDOW = 32
# Of a packet in which a bit is wrong all is sent again; of a small one more is overhead.
DATA_BYTES = 512
_OVERHEAD_BYTES = 24
_BITS_PER_BYTE = 10
# Beyond what the line itself takes: buffers of both systems and adapters, two processes.
_ANSWER_S = 0.2
_LONGEST_ANSWER_S = 2.0
# Who says nothing is asked; who does not answer is gone.
ASK_S = 2.0
LOST_S = 15.0


class _Sent:
    """A packet of ours that the other side may lack."""

    __slots__ = ("data", "kind", "order", "sent_s", "travel_s")

    def __init__(self, kind: int, data: bytes) -> None:
        self.kind, self.data = kind, data
        self.order, self.sent_s, self.travel_s = -1, 0.0, 0.0


class Link:
    """One side of a connection over a line.

    Parameters
    ----------
    session : int
    baud : int
        Bits per second of the line.
    now_s : float
        The time, on any clock that goes on evenly.

    Attributes
    ----------
    reset : bool
        Whether the other side knows nothing of this connection.
    """

    def __init__(self, session: int, baud: int, now_s: float) -> None:
        self.session = session
        self.reset = False
        self._byte_s = _BITS_PER_BYTE / baud
        # What we send: the packets from number _first on, of which _window may be on their way.
        self._first = 0
        self._sent: deque[_Sent] = deque()
        self._again: deque[int] = deque()
        self._waiting = bytearray()
        self._window = 1
        self._order = 0
        self._patience = 1.0
        self._finishing = self._finished = False
        # What we receive: all before _expected is in _arrived, until somebody takes it.
        self._expected = 0
        self._later: dict[int, Packet] = {}
        self._arrived: deque[bytes] = deque()
        self._ended = False
        self._told_window = WINDOW
        self._tell = True
        self._ask_s = now_s + ASK_S
        self._heard_s = now_s

    @property
    def room_bytes(self) -> int:
        """How many bytes to give to :meth:`send` now; the rest waits better elsewhere."""
        return max(0, WINDOW * DATA_BYTES - len(self._waiting))

    @property
    def ended(self) -> bool:
        """Whether the other side has said all that it had to say, and all of it was taken."""
        return self._ended and not self._arrived

    @property
    def holds(self) -> bool:
        """Whether something of the other side was not taken yet."""
        return bool(self._arrived)

    @property
    def delivered(self) -> bool:
        """Whether the other side has all that we had to say, and the end."""
        return self._finished and not self._sent and not self._waiting

    def send(self, data: bytes) -> None:
        """Put bytes where the next packets are made of."""
        self._waiting += data

    def finish(self) -> None:
        """Say that no more bytes will come."""
        self._finishing = True

    def take(self) -> bytes:
        """Return the next bytes of the other side, nothing if none are here."""
        return self._arrived.popleft() if self._arrived else b""

    def lost(self, now_s: float) -> bool:
        """Tell whether the other side is gone."""
        return self.reset or now_s - self._heard_s > LOST_S

    def receive(self, packet: Packet, now_s: float) -> None:
        """Take a packet of this session."""
        self._heard_s, self._ask_s = now_s, now_s + ASK_S
        if packet.kind == Kind.RESET:
            self.reset = True
            return
        self._learn(packet)
        if packet.kind in (Kind.DATA, Kind.END):
            self._accept(packet)
        elif packet.kind == Kind.ASK:
            self._tell = True

    def next_packet(self, now_s: float) -> Packet | None:
        """Return what to send now, None if there is nothing.

        To be asked whenever the line can take a packet: what is asked for is sent.
        """
        self._find_late(now_s)
        while self._again:
            number = self._again.popleft()
            place = (number - self._first) % _NUMBERS
            if place < len(self._sent):
                return self._packet_of(place, now_s)
        if len(self._sent) < min(self._window, WINDOW) and (self._waiting or self._to_finish()):
            data = bytes(self._waiting[:DATA_BYTES])
            del self._waiting[: len(data)]
            self._finished = not data
            self._sent.append(_Sent(Kind.DATA if data else Kind.END, data))
            return self._packet_of(len(self._sent) - 1, now_s)
        if self._tell or self._told_window < WINDOW // 2 <= self._room():
            return self._said(Kind.STATE)
        if now_s >= self._ask_s:
            self._ask_s = now_s + ASK_S
            return self._said(Kind.ASK)
        return None

    def next_s(self) -> float:
        """Return when to ask for the next packet, if nothing happens before."""
        times = [self._ask_s]
        if self._again or self._tell:
            return 0.0
        if self._sent:
            times.append(min(self._due_s(one) for one in self._sent))
        return min(times)

    def _to_finish(self) -> bool:
        return self._finishing and not self._finished

    def _learn(self, packet: Packet) -> None:
        """See what the other side has of ours."""
        gone = (packet.expected - self._first) % _NUMBERS
        if gone > len(self._sent):
            # From before what we know, or no number of ours.
            return
        newest = -1
        for _ in range(gone):
            newest = max(newest, self._sent.popleft().order)
        self._first = packet.expected
        if gone:
            self._patience = 1.0
        for place, one in enumerate(self._sent):
            if place and packet.later >> (place - 1) & 1:
                newest = max(newest, one.order)
                # There, but not all before it: never to be sent again.
                one.sent_s = float("inf")
        self._window = packet.window
        for place, one in enumerate(self._sent):
            number = (self._first + place) % _NUMBERS
            if one.order < newest and one.sent_s != float("inf") and number not in self._again:
                self._again.append(number)

    def _accept(self, packet: Packet) -> None:
        self._tell = True
        ahead = (packet.sequence - self._expected) % _NUMBERS
        if ahead >= self._room():
            # Had already, or more than there is room for.
            return
        self._later[packet.sequence] = packet
        while (following := self._later.pop(self._expected, None)) is not None:
            self._expected = (self._expected + 1) % _NUMBERS
            if following.kind == Kind.END:
                self._ended = True
            elif following.data:
                self._arrived.append(following.data)

    def _find_late(self, now_s: float) -> None:
        """Send again what has not been answered for too long; each time with more patience."""
        late = [
            (self._first + place) % _NUMBERS
            for place, one in enumerate(self._sent)
            if one.order >= 0 and now_s > self._due_s(one)
        ]
        new = [number for number in late if number not in self._again]
        if new:
            self._patience = min(2 * self._patience, _LONGEST_ANSWER_S / _ANSWER_S)
            self._again.extend(new)

    def _due_s(self, one: _Sent) -> float:
        """Return until when an answer may come: what was on its way has left, and comes back."""
        return one.sent_s + one.travel_s + self._patience * _ANSWER_S

    def _packet_of(self, place: int, now_s: float) -> Packet:
        one = self._sent[place]
        one.order, one.sent_s = self._order, now_s
        on_their_way = sum(len(each.data) + _OVERHEAD_BYTES for each in self._sent)
        one.travel_s = 2 * on_their_way * self._byte_s
        self._order += 1
        return self._said(one.kind, (self._first + place) % _NUMBERS, one.data)

    def _said(self, kind: int, sequence: int | None = None, data: bytes = b"") -> Packet:
        """Return a packet with what we have of the other side's."""
        self._tell = False
        self._told_window = self._room()
        later = 0
        for number in self._later:
            bit = (number - self._expected - 1) % _NUMBERS
            later |= 1 << bit
        following = (self._first + len(self._sent)) % _NUMBERS
        number = following if sequence is None else sequence
        return Packet(kind, self.session, number, self._expected, self._told_window, later, data)

    def _room(self) -> int:
        """Return how many packets from the next one on can be taken."""
        return max(0, WINDOW - len(self._arrived))
