"""Everybody who has connected and is not served yet; no number of them shuts others out."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import selectors
import time
from collections import Counter, deque
from collections.abc import Callable

from edge_tester.core.agent.desk import Desk
from edge_tester.core.agent.gate import Gate
from edge_tester.core.agent.handshake import Peer
from edge_tester.core.agent.sessions import Sessions
from edge_tester.core.errors import EdgeTesterError, ListenerEndedError
from edge_tester.core.runtimeprotocol import Listener, ProcessListener

logger = logging.getLogger(__name__)

PEERS_AT_ONCE = 64
WAITING_AT_ONCE = 32
WAITING_OF_ONE_ORIGIN = 16
_PAUSE_S = 0.5
# What has served for so long has not ended because it cannot.
_LASTING_S = 5.0
_NO_MAC = "This target wants every frame to be authenticated: say --mac."
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


class Reception:
    """Accepts clients, reads their HELLO, and keeps those in line who have to wait.

    There are two lines: for the target, and for a process beside those that the owner has.

    Parameters
    ----------
    listener : Listener
    selector : selector
        Whose keys have a function to call as their data.
    sessions : Sessions
        Who is served, and who may be.
    gate : Gate
        What they have to prove before anything else is said to them.
    desk : Desk
        Answers those who ask for something else than a session.
    """

    def __init__(
        self,
        listener: Listener,
        selector: selectors.BaseSelector,
        sessions: Sessions,
        gate: Gate,
        desk: Desk,
    ) -> None:
        self._listener = listener
        self._selector = selector
        self._sessions = sessions
        self._gate, self._desk = gate, desk
        self._peers: list[Peer] = []
        self._queue: deque[Peer] = deque()
        self._beside: deque[Peer] = deque()
        self._resume_s: float | None = None
        self._ended, self._renewed_s = False, 0.0
        # Given up where there are no others, so that a client can be turned away.
        self._reserve: int | None = os.open(os.devnull, os.O_RDONLY)
        selector.register(listener, selectors.EVENT_READ, self._accept)

    @property
    def waits_beside(self) -> bool:
        """Whether somebody waits for a process beside those that the owner has."""
        return bool(self._beside)

    def next(self, *, beside: bool) -> Peer | None:
        """Take the first of a line who has not left."""
        line = self._beside if beside else self._queue
        for peer in list(line):
            if not beside and self._desk.kept_from(peer):
                continue
            line.remove(peer)
            self._unwatch(peer)
            if not peer.has_left():
                if not beside:
                    self._tell_places(peer)
                return peer
            logger.info("%s left", peer.name)
            peer.close()
        return None

    def put_back(self, peer: Peer, *, beside: bool) -> None:
        """Put somebody in front of a line who could not be served through no fault of his."""
        (self._beside if beside else self._queue).appendleft(peer)
        self._watch(peer, lambda: self._look_at(peer))

    def refuse_beside(self, code: str, reason: str) -> None:
        """Turn away all who wait for a process beside those that the owner has."""
        while (peer := self.next(beside=True)) is not None:
            logger.info("%s was turned away: %s", peer.name, reason)
            # It may leave this very moment.
            with contextlib.suppress(OSError):
                peer.refuse(code, reason)

    def check(self) -> None:
        """Turn away who has said nothing for too long; listen again after a pause."""
        now_s = time.monotonic()
        for peer in [p for p in self._peers if p.deadline_s <= now_s]:
            logger.info("%s was turned away: it said nothing", peer.name)
            self._forget(peer)
        for peer in [p for p in self._peers if p.challenge_s and p.challenge_s <= now_s]:
            self._challenge(peer)
        if self._resume_s is not None and self._resume_s <= now_s:
            self._resume(now_s)

    def next_check_s(self) -> float | None:
        """Return when to :meth:`check` again, None if that depends on others."""
        times = [peer.challenge_s or peer.deadline_s for peer in self._peers]
        if self._queue and self._desk.reserved_s:
            times.append(time.monotonic() + self._desk.reserved_s)
        if self._resume_s is not None:
            times.append(self._resume_s)
        return min(times, default=None)

    def close(self) -> None:
        """Turn everybody away."""
        for peer in [*self._peers, *self._queue, *self._beside]:
            self._forget(peer)
        if self._reserve is not None:
            os.close(self._reserve)
        self._listener.close()

    def _accept(self) -> None:
        try:
            connection, address = self._listener.accept()
        except OSError as error:
            self._not_accepted(error)
            return
        except ListenerEndedError as error:
            logger.error("%s and is started again", error)
            self._ended = True
            # At once, but for one that ends whenever it was started.
            at_once = time.monotonic() - self._renewed_s > _LASTING_S
            self._rest(0.0 if at_once else _PAUSE_S)
            return
        try:
            peer = Peer(connection, address)
        except OSError as error:
            logger.info("a client left at once: %s", error)
            connection.close()
            return
        self._peers.append(peer)
        self._watch(peer, lambda: self._receive_hello(peer))
        if len(self._peers) > PEERS_AT_ONCE:
            self._evict()

    def _not_accepted(self, error: OSError) -> None:
        if error.errno not in _NO_DESCRIPTORS:
            # Whoever it was has left again.
            logger.info("a client could not be accepted: %s", error)
            return
        # It stays in line, so the listener would report it again and again.
        logger.warning("a client is turned away: %s", error)
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None
            try:
                self._listener.accept()[0].close()
            except OSError as again:
                logger.info("a client could not be turned away: %s", again)
        self._rest(_PAUSE_S)

    def _rest(self, pause_s: float) -> None:
        """Listen no more for a time."""
        self._selector.unregister(self._listener)
        self._resume_s = time.monotonic() + pause_s

    def _resume(self, now_s: float) -> None:
        """Listen again, by another process if one has ended."""
        self._resume_s = None
        self._take_reserve()
        if self._ended and isinstance(self._listener, ProcessListener):
            self._renewed_s = now_s
            try:
                self._listener.renew()
            except OSError as error:
                logger.error("no process of TLS can be started: %s", error)
                self._resume_s = now_s + _PAUSE_S
                return
            self._ended = False
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _take_reserve(self) -> None:
        if self._reserve is None:
            try:
                self._reserve = os.open(os.devnull, os.O_RDONLY)
            except OSError as error:
                logger.warning("there is still no descriptor in reserve: %s", error)

    def _evict(self) -> None:
        """Turn away the oldest of those of whom there are most: not a newcomer from elsewhere."""
        counts = Counter(peer.origin for peer in self._peers)
        most = max(counts.values())
        oldest = next(peer for peer in self._peers if counts[peer.origin] == most)
        logger.info("%s was turned away: too many clients say nothing", oldest.name)
        self._forget(oldest)

    def _receive_hello(self, peer: Peer) -> None:
        try:
            if not peer.receive():
                return
        except (EdgeTesterError, OSError) as error:
            logger.info("%s was turned away: %s", peer.name, error)
            self._forget(peer)
            return
        self._selector.unregister(peer.connection)
        if not self._gate.closed:
            self._let_in(peer)
            return
        peer.challenge_s = self._gate.challenge_s(peer.origin)
        if peer.challenge_s <= time.monotonic():
            self._challenge(peer)

    def _challenge(self, peer: Peer) -> None:
        try:
            peer.challenge()
        except OSError as error:
            logger.info("%s left: %s", peer.name, error)
            self._forget(peer)
            return
        if peer.other_version:
            # It sees which version this one speaks, and no more.
            self._forget(peer)
            return
        self._watch(peer, lambda: self._receive_proof(peer))

    def _receive_proof(self, peer: Peer) -> None:
        try:
            proof = peer.receive_proof()
            if proof is None:
                return
            proofs = self._gate.proofs(peer.said, peer.nonce, proof, peer.origin)
            peer.admit(proofs)
        except (EdgeTesterError, OSError) as error:
            # Without a word: who has no token learns nothing.
            logger.warning("%s was turned away: %s", peer.name, error)
            self._forget(peer)
            return
        self._selector.unregister(peer.connection)
        self._let_in(peer)

    def _let_in(self, peer: Peer) -> None:
        self._peers.remove(peer)
        try:
            self._receive_client(peer)
        except OSError as error:
            logger.info("%s left: %s", peer.name, error)
            peer.close()

    def _receive_client(self, peer: Peer) -> None:
        if peer.other_version:
            peer.refuse("version", peer.other_version)
            return
        if self._gate.mac and not peer.authenticates_frames:
            peer.refuse("refused", _NO_MAC)
            return
        if peer.beside:
            self._receive_owner(peer)
            return
        if peer.hello is not None and peer.hello.ask:
            self._desk.answer(peer, self._sessions, len(self._queue))
            return
        if self._desk.stopping:
            peer.refuse("busy", "The agent ends after the session that it serves now.")
            return
        reason = self._desk.kept_from(peer) or self._in_use()
        if not reason:
            if self._sessions.in_use or self._sessions.ready() is None:
                peer.ask_to_wait()
            self._line_up(peer, self._queue)
            return
        if peer.hello is None or not peer.hello.wait:
            peer.refuse("busy", reason)
            return
        of_one = sum(other.origin == peer.origin for other in self._queue)
        if len(self._queue) >= WAITING_AT_ONCE or of_one >= WAITING_OF_ONE_ORIGIN:
            peer.refuse(
                "busy", f"{reason} {len(self._queue)} others wait in line, and no more may."
            )
            return
        position = len(self._queue) + 1
        peer.ask_to_wait(reason, position=position, wait_s=self._wait_s(position))
        self._line_up(peer, self._queue)

    def _in_use(self) -> str:
        """Return who uses the target, or is about to; empty if nobody does."""
        served = self._sessions.served()
        next_ones = [one for one in self._queue if not self._desk.kept_from(one)]
        if not served and not next_ones:
            return ""
        first = next_ones[0] if next_ones else None
        client, name, lasting_s = (
            served[0] if served or first is None else (first.client, first.name, 0.0)
        )
        return f"The target is in use by {client} ({name}) for {lasting_s:.0f} s."

    def _wait_s(self, position: int) -> float | None:
        served = self._sessions.served()
        return self._desk.wait_s(position, served[0][2] if served else None)

    def _tell_places(self, served: Peer) -> None:
        """Tell those who still wait where they are in line now."""
        reason = f"The target is in use by {served.client} ({served.name}) for 0 s."
        for position, peer in enumerate(self._queue, 1):
            # Who has left is found out when it is its turn.
            with contextlib.suppress(OSError):
                why = self._desk.kept_from(peer) or reason
                peer.ask_to_wait(why, position=position, wait_s=self._desk.wait_s(position, 0.0))

    def stop(self) -> None:
        """Turn away all who are no owner, and who come from now on."""
        while self._queue:
            peer = self._queue.popleft()
            self._unwatch(peer)
            with contextlib.suppress(OSError):
                peer.refuse("busy", "The agent ends after the session that it serves now.")

    def _receive_owner(self, peer: Peer) -> None:
        """Line up who says to be the owner, for a process beside the others."""
        if refusal := self._sessions.refusal(peer.beside, len(self._beside)):
            logger.info("%s was turned away: %s", peer.name, refusal[1])
            peer.refuse(*refusal)
            return
        peer.ask_to_wait()
        self._line_up(peer, self._beside)

    def _line_up(self, peer: Peer, line: deque[Peer]) -> None:
        line.append(peer)
        self._watch(peer, lambda: self._look_at(peer))

    def _look_at(self, peer: Peer) -> None:
        """See whether a client in line leaves; what else it says is for its session."""
        if peer.has_left():
            logger.info("%s left", peer.name)
            self._forget(peer)
        else:
            self._unwatch(peer)

    def _watch(self, peer: Peer, callback: Callable[[], None]) -> None:
        self._selector.register(peer.connection, selectors.EVENT_READ, callback)

    def _unwatch(self, peer: Peer) -> None:
        descriptor = peer.connection.fileno()
        if descriptor >= 0 and descriptor in self._selector.get_map():
            self._selector.unregister(peer.connection)

    def _forget(self, peer: Peer) -> None:
        self._unwatch(peer)
        if peer in self._peers:
            self._peers.remove(peer)
        for line in (self._queue, self._beside):
            if peer in line:
                line.remove(peer)
        peer.close()
