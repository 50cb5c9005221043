"""Accept clients, give each that is served to a session process, and watch these.

Nothing here waits for a client or for a session process: a model may do anything to what it
shares with the supervisor, and a client may stop in the middle of a word.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import signal
import socket
import time
from collections.abc import Callable

from edge_tester.core.agent.descendants import Adopted
from edge_tester.core.agent.desk import Desk
from edge_tester.core.agent.gate import Gate
from edge_tester.core.agent.process import SessionProcess
from edge_tester.core.agent.reception import Reception
from edge_tester.core.agent.scratch import Scratch
from edge_tester.core.agent.service import Limits, Service
from edge_tester.core.agent.sessions import TICKET_REFUSED, Sessions
from edge_tester.core.errors import OptionError, RuntimeStateError
from edge_tester.core.runtimeprotocol import Listener, ProcessListener
from edge_tester.core.system.interrupts import heed

logger = logging.getLogger(__name__)

_RESTART_PAUSE_S = 1.0
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
    several : bool
        Whether one client may have more than one session.
    on_ready : callable
        Called once, when the first client can be served.
    gate : Gate
        What clients have to prove.
    desk : Desk
        Answers those who ask for something else than a session.
    """

    def __init__(
        self,
        listener: Listener,
        start_session: Callable[[], SessionProcess],
        scratch: Scratch,
        *,
        limits: Limits,
        several: bool,
        on_ready: Callable[[], None],
        gate: Gate,
        desk: Desk,
    ) -> None:
        self._scratch = scratch
        self._on_ready: Callable[[], None] | None = on_ready
        self._selector = selectors.DefaultSelector()
        own = (lambda: listener.pids) if isinstance(listener, ProcessListener) else set
        self._adopted = Adopted(scratch.path, own)
        self._sessions = Sessions(
            start_session, self._selector, limits, self._adopted, several=several
        )
        self._reception = Reception(listener, self._selector, self._sessions, gate, desk)
        self._gate, self._desk, self._listener = gate, desk, listener
        self._start_s, self._failures = 0.0, 0
        self._stopping = self._reloading = False

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, or until a session has ended after SIGQUIT.

        Raises
        ------
        RuntimeStateError
            The first session process could not start; later ones are tried again.
        """
        woken, wake = socket.socketpair()
        woken.setblocking(False)
        wake.setblocking(False)
        previous = [(s, signal.signal(s, self._stop)) for s in (signal.SIGTERM, signal.SIGINT)]
        previous.append((signal.SIGQUIT, signal.signal(signal.SIGQUIT, self._ask_to_leave)))
        previous.append((signal.SIGHUP, signal.signal(signal.SIGHUP, self._ask_to_reload)))
        # Whoever started this may have ignored it, and then no exit status would be kept.
        previous.append((signal.SIGCHLD, signal.signal(signal.SIGCHLD, signal.SIG_DFL)))
        # One byte wakes as well as many do; Python may deadlock where it warns of too many.
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._selector.register(woken, selectors.EVENT_READ, lambda: woken.recv(64))
        try:
            # It may have been asked to end while it started.
            heed()
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

    def _ask_to_reload(self, number: int, frame: object) -> None:
        self._reloading = True

    def _ask_to_leave(self, number: int, frame: object) -> None:
        self._desk.stopping = True

    def _reload(self) -> None:
        """Read tokens and certificates again; clients that were let in stay."""
        self._reloading = False
        try:
            count = self._gate.reload()
        except OptionError as error:
            logger.error("the old keys stay valid: %s", error)
            return
        if reload := getattr(self._listener, "reload", None):
            reload()
        logger.info("keys were read again: %d token%s", count, "" if count == 1 else "s")

    def _turn(self) -> None:
        """Do once what there is to do, or wait for it."""
        if self._reloading:
            self._reload()
        if self._desk.stopping:
            self._reception.stop()
            if not self._sessions.in_use:
                self._stopping = True
                return
        sessions, reception = self._sessions, self._reception
        if time.monotonic() >= self._start_s and sessions.wanted(reception.waits_beside):
            self._begin_session()
        registered = self._selector.get_map()
        for key, _ in self._selector.select(self._pause_s()):
            # What was called before may have closed it.
            if registered.get(key.fd) is key:
                key.data()
        reception.check()
        for service in sessions.check():
            self._conclude(service)
        if self._on_ready is not None and sessions.ready() is not None:
            self._on_ready()
            self._on_ready = None
        self._serve_next()

    def _serve_next(self) -> None:
        """Serve whoever waits, if a process is ready: beside the owner, or as the next owner."""
        sessions, reception = self._sessions, self._reception
        if not sessions.owned:
            reception.refuse_beside("ticket", TICKET_REFUSED)
        if not sessions.in_use:
            sessions.dismiss_spare()
        service = sessions.ready()
        if service is None:
            return
        self._failures = 0
        peer = reception.next(beside=sessions.in_use)
        if peer is not None:
            logger.info("serving %s (%s)", peer.client, peer.name)
            sessions.serve(service, peer)

    def _pause_s(self) -> float | None:
        now_s = time.monotonic()
        pauses = [self._sessions.pause_s()]
        if (next_s := self._reception.next_check_s()) is not None:
            pauses.append(next_s - now_s)
        if self._sessions.wanted(self._reception.waits_beside):
            pauses.append(self._start_s - now_s)
        return min((max(0.0, pause) for pause in pauses if pause is not None), default=None)

    def _begin_session(self) -> None:
        try:
            self._sessions.begin()
        except OSError as error:
            self._not_started(f"No session process can be started: {error.strerror}.")

    def _not_started(self, reason: str, *, known: bool = True) -> None:
        """Take it that no session process could start, and try again.

        Parameters
        ----------
        reason : str
        known : bool
            Whether it will be so again; one that ended without a word may have been killed.
        """
        self._failures += 1
        if not known and self._failures < _ATTEMPTS:
            logger.error("%s Another one is started.", reason)
            return
        self._start_s = time.monotonic() + _RESTART_PAUSE_S
        if self._on_ready is not None:
            raise RuntimeStateError(reason)
        logger.error("%s", reason)
        # Who has sessions may end one to have room; who waits in line has nothing to end.
        self._reception.refuse_beside("busy", reason)

    def _conclude(self, service: Service) -> None:
        """Let go of a session of which nothing is left."""
        peer, lasting_s = service.peer, service.lasting_s
        reason, untouched = service.conclude()
        if not service.ready and not service.dismissed:
            self._not_started(
                service.failure or reason or "The session process ended while it started.",
                known=service.failure is not None,
            )
        if peer is not None and untouched:
            if peer.attempts < _ATTEMPTS:
                self._reception.put_back(peer, beside=self._sessions.in_use)
                return
            # It may have left meanwhile, or read nothing.
            with contextlib.suppress(OSError):
                peer.refuse("crashed", reason or "The session process ended before it served.")
        elif peer is not None and not self._sessions.in_use:
            self._desk.ended(lasting_s)

    def _close(self) -> None:
        self._reception.close()
        self._sessions.close()
        self._adopted.close()
        self._selector.close()
        self._scratch.close()
