"""All session processes of an agent: those of the one owner, and one that waits for a client.

An owner is a client with every session that it has opened beside its first one. The target is in
use until the last of them has ended.
"""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable

from edge_tester.core.agent.descendants import Adopted
from edge_tester.core.agent.handshake import Peer
from edge_tester.core.agent.process import SessionProcess
from edge_tester.core.agent.service import Limits, Service

# Of one owner, since each is a process with a runtime and a model in memory.
SESSIONS_AT_ONCE = 8
_TICKET_BYTES = 16
_WATCH_INTERVAL_S = 0.25
_ENDING_INTERVAL_S = 0.01
_CLOSE_LIMIT_S = 5.0

TICKET_REFUSED = (
    "The session beside which this one was to be has ended, or never was: its ticket is not valid."
)
_TOO_MANY = (
    "One client may have {} sessions on the target, and has them: each is a process with a model "
    "in memory. End one of them first."
)


class Sessions:
    """The services that there are, and whom each is for.

    Parameters
    ----------
    start : callable
        Starts a session process.
    selector : selector
        Whose keys have a function to call as their data.
    limits : Limits
    adopted : Adopted
        What models may have started and left to the supervisor.
    several : bool
        Whether an owner may have more than one; the link must take more than one connection.
    """

    def __init__(
        self,
        start: Callable[[], SessionProcess],
        selector: selectors.BaseSelector,
        limits: Limits,
        adopted: Adopted,
        *,
        several: bool,
    ) -> None:
        self._start = start
        self._selector = selector
        self._limits = limits
        self._adopted = adopted
        self._several = several
        self._all: list[Service] = []
        self._active_s = 0.0
        self._in_advance = False

    @property
    def in_use(self) -> bool:
        """Whether something is left of a session, so that nobody but its owner can be served."""
        return any(one.peer is not None for one in self._all)

    @property
    def owned(self) -> bool:
        """Whether the owner has a session that lives."""
        return any(one.lives for one in self._all)

    def served(self) -> list[tuple[str, str, float]]:
        """Return who is served, from where and for how long [s]."""
        return [found for one in self._all if (found := one.who())]

    def refusal(self, ticket: str, waiting: int) -> tuple[str, str] | None:
        """Return code and reason if nobody can be served beside the session with this ticket.

        Parameters
        ----------
        ticket : str
        waiting : int
            How many wait for a process already.
        """
        shown = ticket.encode()
        # A list: where the right one stands takes no less time either.
        if not any([one.has_ticket(shown) for one in self._all]):
            return "ticket", TICKET_REFUSED
        if sum(one.lives for one in self._all) + waiting >= SESSIONS_AT_ONCE:
            return "busy", _TOO_MANY.format(SESSIONS_AT_ONCE)
        return None

    def wanted(self, waiting: bool) -> bool:
        """Tell whether to begin another process.

        For the next client one is begun when nobody is served. For an owner, one is begun in
        advance when its first session begins, if it asked for a ticket, and further ones when
        there is somebody to serve: an idle process takes memory that models may need.

        Parameters
        ----------
        waiting : bool
            Whether somebody waits to be served beside the owner's sessions.
        """
        if any(one.peer is None for one in self._all):
            return False
        has_room = len(self._all) < SESSIONS_AT_ONCE
        return not self._all or (has_room and (waiting or self._in_advance))

    def begin(self) -> None:
        """Begin another process.

        Raises
        ------
        OSError
            It cannot be started.
        """
        self._in_advance = False
        process = self._start()
        self._all.append(
            Service(process, self._selector, self._limits, self._adopted, spare=self.in_use)
        )

    def ready(self) -> Service | None:
        """Return the process that can serve the next client at once, None if there is none."""
        for one in self._all:
            if one.ready and not one.ending and one.peer is None:
                return one
        return None

    def serve(self, service: Service, peer: Peer) -> None:
        """Give a process its client, and the client a ticket if it asks for one."""
        with_ticket, beside = self._several and peer.asks_for_ticket, self.in_use
        if not beside:
            self._in_advance = with_ticket
        service.serve(peer, os.urandom(_TICKET_BYTES).hex() if with_ticket else "")
        if beside:
            for one in self._all:
                one.share()

    def dismiss_spare(self) -> None:
        """End what was begun for an owner who has left: models ran beside it."""
        for one in self._all:
            if one.spare and one.peer is None and not one.ending:
                one.dismiss()

    def check(self) -> list[Service]:
        """End what takes too long; return those of which nothing is left, which are let go."""
        self._active_s = max([self._active_s, *(o.active_s() for o in self._all if o.lives)])
        self._adopted.reap()
        for one in self._all:
            one.check(self._active_s)
        gone = [one for one in self._all if one.is_gone()]
        self._all = [one for one in self._all if one not in gone]
        return gone

    def pause_s(self) -> float | None:
        """Return after which time to :meth:`check` again, None if that depends on others."""
        if any(one.ending for one in self._all):
            return _ENDING_INTERVAL_S
        return _WATCH_INTERVAL_S if any(one.needs_watching for one in self._all) else None

    def close(self) -> None:
        """End all, and tell those who are served."""
        for one in self._all:
            quiet = one.peer is None or one.peer.has_hung_up()
            one.end(reason="The agent was stopped.", quiet=quiet)
        end_s = time.monotonic() + _CLOSE_LIMIT_S
        while self._all and time.monotonic() < end_s:
            for one in [one for one in self._all if one.is_gone()]:
                self._all.remove(one)
                one.conclude()
            time.sleep(_ENDING_INTERVAL_S)
        for one in self._all:
            one.conclude()
