"""Accept clients, give one at a time to a session process, and watch it.

Nothing here waits for a client or for a session process: a model may do anything to what it
shares with the supervisor, and a client may stop in the middle of a word.
"""

from __future__ import annotations

import logging
import selectors
import signal
import socket
import time
from collections.abc import Callable

from edge_tester.core.agent.descendants import Adopted
from edge_tester.core.agent.process import SessionProcess
from edge_tester.core.agent.reception import Reception
from edge_tester.core.agent.scratch import Scratch
from edge_tester.core.agent.service import Limits, Service
from edge_tester.core.errors import RuntimeStateError
from edge_tester.core.runtimeprotocol import Listener

logger = logging.getLogger(__name__)

_RESTART_PAUSE_S = 1.0
_WATCH_INTERVAL_S = 0.25
_ENDING_INTERVAL_S = 0.01
_CLOSE_LIMIT_S = 5.0
_ATTEMPTS = 3


class Supervisor:
    """Serves session after session until it is told to stop.

    No error of one client or of one model ends it.

    Parameters
    ----------
    listener : Listener
    start_session : callable
        Starts a session process.
    scratch : Scratch
        Folder of this agent; closed at the end.
    limits : Limits
    on_ready : callable
        Called once, when the first client can be served.
    """

    def __init__(
        self,
        listener: Listener,
        start_session: Callable[[], SessionProcess],
        scratch: Scratch,
        *,
        limits: Limits,
        on_ready: Callable[[], None],
    ) -> None:
        self._start_session = start_session
        self._scratch = scratch
        self._limits = limits
        self._on_ready: Callable[[], None] | None = on_ready
        self._selector = selectors.DefaultSelector()
        self._adopted = Adopted(scratch.path)
        self._reception = Reception(listener, self._selector, self._occupied, self._can_serve)
        self._service: Service | None = None
        self._start_s = 0.0
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
        # Whoever started this may have ignored it, and then no exit status would be kept.
        previous.append((signal.SIGCHLD, signal.signal(signal.SIGCHLD, signal.SIG_DFL)))
        # One byte wakes as well as many do; Python may deadlock where it warns of too many.
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._selector.register(woken, selectors.EVENT_READ, lambda: woken.recv(64))
        try:
            while not self._stopping:
                self._turn()
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

    def _turn(self) -> None:
        """Do once what there is to do, or wait for it."""
        if self._service is None and time.monotonic() >= self._start_s:
            self._begin_session()
        registered = self._selector.get_map()
        for key, _ in self._selector.select(self._pause_s()):
            # What was called before may have closed it.
            if registered.get(key.fd) is key:
                key.data()
        self._reception.check()
        service = self._service
        if service is None:
            return
        service.check()
        if service.ready and self._on_ready is not None:
            self._on_ready()
            self._on_ready = None
        if service.is_gone():
            self._conclude(service)
        elif self._can_serve() and (peer := self._reception.next()) is not None:
            logger.info("serving %s (%s)", peer.client, peer.name)
            service.serve(peer)

    def _pause_s(self) -> float | None:
        service, now_s = self._service, time.monotonic()
        if service is not None and service.ending:
            return _ENDING_INTERVAL_S
        if service is None:
            return min(_WATCH_INTERVAL_S, max(0.0, self._start_s - now_s))
        if service.needs_watching:
            return _WATCH_INTERVAL_S
        next_s = self._reception.next_check_s()
        return None if next_s is None else max(0.0, next_s - now_s)

    def _occupied(self) -> str | None:
        return self._service.who() if self._service else None

    def _can_serve(self) -> bool:
        service = self._service
        return service is not None and service.ready and not service.ending and service.peer is None

    def _begin_session(self) -> None:
        try:
            process = self._start_session()
        except OSError as error:
            self._start_s = time.monotonic() + _RESTART_PAUSE_S
            self._not_started(f"No session process can be started: {error.strerror}.")
            return
        self._service = Service(process, self._selector, self._limits, self._adopted)

    def _not_started(self, reason: str) -> None:
        if self._on_ready is not None:
            raise RuntimeStateError(reason)
        logger.error("%s", reason)

    def _conclude(self, service: Service) -> None:
        """Make room for the next session once nothing is left of one."""
        self._service = None
        peer = service.peer
        reason, untouched = service.conclude()
        if not service.ready:
            self._start_s = time.monotonic() + _RESTART_PAUSE_S
            self._not_started(
                service.failure or reason or "The session process ended while it started."
            )
        if peer is not None and untouched:
            if peer.attempts < _ATTEMPTS:
                self._reception.put_back(peer)
                return
            peer.refuse("crashed", reason or "The session process ended before it served.")

    def _close(self) -> None:
        self._reception.close()
        if self._service is not None:
            service, self._service = self._service, None
            service.end(
                reason="The agent was stopped.",
                quiet=service.peer is None or service.peer.has_hung_up(),
            )
            end_s = time.monotonic() + _CLOSE_LIMIT_S
            while not service.is_gone() and time.monotonic() < end_s:
                time.sleep(_ENDING_INTERVAL_S)
            service.conclude()
        self._adopted.close()
        self._selector.close()
        self._scratch.close()
