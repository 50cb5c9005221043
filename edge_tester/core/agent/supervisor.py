"""Accept clients, give one at a time to a session process, and watch it."""

from __future__ import annotations

import logging
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable

from edge_tester.core.agent.handshake import Peer
from edge_tester.core.agent.process import Failed, Ready, SessionProcess
from edge_tester.core.agent.status import Activity
from edge_tester.core.errors import EdgeTesterError, RuntimeStateError, UnreachableError
from edge_tester.core.runtimeprotocol import Listener
from edge_tester.core.wire import frames as wire
from edge_tester.core.wire import payloads
from edge_tester.core.wire.frames import Type
from edge_tester.core.wire.payloads import Failure, Queued

logger = logging.getLogger(__name__)

_PEERS_AT_ONCE = 64
_START_LIMIT_S = 120.0
_RESTART_PAUSE_S = 1.0
_WATCH_INTERVAL_S = 0.25
_ENDING_GRACE_S = 2.0


class Supervisor:
    """Serves session after session until it is told to stop.

    No error of one client or of one model ends it.

    Parameters
    ----------
    listener : Listener
    start_session : callable
        Starts a session process.
    time_limit_s : float
        Time that one load or one inference may take.
    idle_limit_s : float
        Time that a client may say nothing.
    on_ready : callable
        Called once, when the first client can be served.
    """

    def __init__(
        self,
        listener: Listener,
        start_session: Callable[[], SessionProcess],
        *,
        time_limit_s: float,
        idle_limit_s: float,
        on_ready: Callable[[], None],
    ) -> None:
        self._listener = listener
        self._start_session = start_session
        self._time_limit_s = time_limit_s
        self._idle_limit_s = idle_limit_s
        self._on_ready = on_ready
        self._selector = selectors.DefaultSelector()
        self._peers: list[Peer] = []
        self._queue: deque[Peer] = deque()
        self._session: SessionProcess | None = None
        self._session_ready = False
        self._start_s = 0.0
        self._served: Peer | None = None
        self._served_since_s = 0.0
        self._stopping = False

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises
        ------
        RuntimeStateError
            The first session process could not start; later ones are tried again.
        """
        woken, wake = socket.socketpair()
        woken.setblocking(False)
        wake.setblocking(False)
        previous = [(s, signal.signal(s, self._stop)) for s in (signal.SIGTERM, signal.SIGINT)]
        # One byte wakes as well as many do; Python may deadlock where it warns of too many.
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._selector.register(woken, selectors.EVENT_READ, lambda: woken.recv(64))
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        try:
            while not self._stopping:
                if self._session is None and time.monotonic() >= self._start_s:
                    self._begin_session()
                for key, _ in self._selector.select(self._pause_s()):
                    key.data()
                self._check_deadlines()
                self._serve_next()
        finally:
            signal.set_wakeup_fd(-1)
            # A second signal must not end what cleans up after the first one.
            self._close()
            for number, handler in previous:
                signal.signal(number, handler)
            woken.close()
            wake.close()

    def _stop(self, number: int, frame: object) -> None:
        self._stopping = True

    def _pause_s(self) -> float | None:
        if self._served is not None or not self._session_ready:
            return _WATCH_INTERVAL_S
        if self._peers:
            return max(0.0, min(p.deadline_s for p in self._peers) - time.monotonic())
        return None

    def _accept(self) -> None:
        try:
            connection, address = self._listener.accept()
        except OSError as error:
            logger.warning("a client could not be accepted: %s", error)
            return
        name = ":".join(map(str, address[:2])) if isinstance(address, tuple) else "local client"
        if len(self._peers) >= _PEERS_AT_ONCE:
            connection.close()
            return
        peer = Peer(connection, name)
        self._peers.append(peer)
        self._watch(peer, lambda: self._receive_hello(peer))

    def _receive_hello(self, peer: Peer) -> None:
        try:
            if not peer.receive():
                return
        except (EdgeTesterError, OSError) as error:
            logger.info("%s was turned away: %s", peer.name, error)
            self._forget(peer)
            return
        self._selector.unregister(peer.connection)
        self._peers.remove(peer)
        leaving = self._served is None or self._served.has_left()
        if leaving and not self._queue:
            self._queue.append(peer)
            if not self._session_ready:
                self._say_wait(peer)
        else:
            self._answer_busy(peer)

    def _say_wait(self, peer: Peer) -> None:
        """Let a client know that an agent is here, whose next session process still starts."""
        try:
            peer.answer(payloads.encode(Queued()))
        except OSError as error:
            logger.info("%s left: %s", peer.name, error)

    def _answer_busy(self, peer: Peer) -> None:
        reason = self._busy_reason()
        try:
            if peer.hello is not None and peer.hello.wait:
                peer.answer(payloads.encode(Queued(reason)))
                self._queue.append(peer)
                # A client that says more, or leaves, before its turn loses its place.
                self._watch(peer, lambda: self._forget(peer))
            else:
                peer.refuse("busy", reason)
        except OSError as error:
            logger.info("%s left: %s", peer.name, error)
            peer.connection.close()

    def _busy_reason(self) -> str:
        served = self._served or self._queue[0]
        who = served.hello.client if served.hello else "another client"
        since_s = time.monotonic() - self._served_since_s if self._served else 0.0
        return f"The target is in use by {who} ({served.name}) for {since_s:.0f} s."

    def _serve_next(self) -> None:
        if self._served is not None or self._session is None or not self._session_ready:
            return
        if not self._queue:
            return
        peer = self._queue.popleft()
        self._unwatch(peer)
        peer.connection.setblocking(True)
        self._served, self._served_since_s = peer, time.monotonic()
        logger.info("serving %s (%s)", peer.hello.client if peer.hello else "", peer.name)
        try:
            self._session.hand_over(peer.connection, bytes(peer.frame))
        except UnreachableError:
            self._end_session()

    def _begin_session(self) -> None:
        try:
            self._session = session = self._start_session()
        except OSError as error:
            self._start_s = time.monotonic() + _RESTART_PAUSE_S
            self._session_failed(f"No session process can be started: {error.strerror}.")
            return
        self._start_s = time.monotonic()
        self._selector.register(session.control, selectors.EVENT_READ, self._receive_report)

    def _receive_report(self) -> None:
        if self._session is None:
            return
        report = self._session.receive_report()
        if isinstance(report, Ready):
            self._session_ready = True
            self._on_ready()
            self._on_ready = _nothing
        elif isinstance(report, Failed):
            self._session_failed(report.reason)
        else:
            self._end_session()

    def _session_failed(self, reason: str) -> None:
        if self._on_ready is not _nothing:
            raise RuntimeStateError(reason)
        logger.error("%s", reason)
        self._end_session()

    def _end_session(self, code: str = "crashed", reason: str | None = None) -> None:
        """End the session process, tell its client if it went wrong, make room for the next."""
        session, peer = self._session, self._served
        if session is None:
            return
        activity, _ = session.activity()
        self._selector.unregister(session.control)
        how = session.end(grace_s=0.0 if reason else _ENDING_GRACE_S)
        reason = reason or how
        if reason:
            logger.error("%s", reason)
        started = self._session_ready
        self._session, self._session_ready, self._served = None, False, None
        if not started:
            if self._on_ready is not _nothing:
                raise RuntimeStateError(reason or "The session process ended while it started.")
            self._start_s = time.monotonic() + _RESTART_PAUSE_S
        if peer is not None:
            # In the middle of an answer an ERROR would be taken for its rest.
            if reason and activity != Activity.ANSWERING:
                _tell(peer, Failure(code, reason))
            peer.connection.close()
            logger.info("session of %s ended", peer.name)

    def _check_deadlines(self) -> None:
        now_s = time.monotonic()
        for peer in [p for p in self._peers if p.deadline_s <= now_s]:
            logger.info("%s was turned away: it said nothing", peer.name)
            self._forget(peer)
        if self._session is None:
            return
        if not self._session_ready:
            if now_s - self._start_s > _START_LIMIT_S:
                self._end_session("timeout", "The session process did not start in time.")
            return
        if self._served is None:
            return
        activity, since_s = self._session.activity()
        lasting_s = now_s - max(since_s, self._served_since_s)
        if activity in (Activity.LOADING, Activity.RUNNING):
            if lasting_s > self._time_limit_s:
                what = "Loading" if activity == Activity.LOADING else "An inference"
                self._end_session(
                    "timeout",
                    f"{what} took longer than the target's limit of {self._time_limit_s:g} s "
                    "(--time-limit-s of the agent).",
                )
        elif lasting_s > self._idle_limit_s:
            self._end_session(
                "timeout",
                f"The client said nothing for {self._idle_limit_s:g} s "
                "(--idle-limit-s of the agent).",
            )

    def _watch(self, peer: Peer, callback: Callable[[], None]) -> None:
        self._selector.register(peer.connection, selectors.EVENT_READ, callback)

    def _unwatch(self, peer: Peer) -> None:
        if peer.connection.fileno() in self._selector.get_map():
            self._selector.unregister(peer.connection)

    def _forget(self, peer: Peer) -> None:
        self._unwatch(peer)
        if peer in self._peers:
            self._peers.remove(peer)
        if peer in self._queue:
            self._queue.remove(peer)
        peer.connection.close()

    def _close(self) -> None:
        for peer in [*self._peers, *self._queue]:
            self._forget(peer)
        if self._session is not None:
            session, self._session = self._session, None
            session.end()
        if self._served is not None:
            _tell(self._served, Failure("crashed", "The agent was stopped."))
            self._served.connection.close()
        self._selector.close()
        self._listener.close()


def _tell(peer: Peer, failure: Failure) -> None:
    content = payloads.encode(failure)
    try:
        peer.connection.setblocking(False)
        peer.connection.send(wire.encode_header(Type.ERROR, 0, 0, len(content)) + content)
    except OSError as error:
        logger.info("%s could not be told: %s", peer.name, error)


def _nothing() -> None:
    """Stand in for a callback that was called already."""
