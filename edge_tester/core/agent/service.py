"""One session process, the client that it serves, and how both come to an end."""

from __future__ import annotations

import logging
import selectors
import time
from collections.abc import Callable

import msgspec

from edge_tester.core.agent.control import Failed, Ready
from edge_tester.core.agent.descendants import Adopted
from edge_tester.core.agent.handshake import Peer
from edge_tester.core.agent.process import SessionProcess
from edge_tester.core.agent.status import Activity
from edge_tester.core.errors import RemoteProtocolError, UnreachableError

logger = logging.getLogger(__name__)

_START_LIMIT_S = 120.0
# For a session process that says that it is done; nobody has to wait for slow libraries.
_ENDING_GRACE_S = 2.0
# A client that has closed its side and is still heard: it may have sent all it had to say.
_LEFT_GRACE_S = 2.0
# Where only the model keeps the session from noticing.
_LEFT_MODEL_GRACE_S = 0.2
# A killed process that does not end hangs in the kernel.
_KILL_LIMIT_S = 10.0
# For as long nobody else is looked after.
_ATTEMPT_S = 0.02
_WITH_MODEL = (Activity.LOADING, Activity.RUNNING)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long things may take [s]: one load or inference, silence, a model standing still."""

    time_limit_s: float
    idle_limit_s: float
    stall_limit_s: float


class Service:
    """A session process from its start until nothing is left of it.

    Parameters
    ----------
    process : SessionProcess
    selector : selector
        Whose keys have a function to call as their data.
    limits : Limits
    adopted : Adopted
        What models may have started and left to the supervisor.
    spare : bool
        Whether it is for a client who is served already, and nobody else.

    Attributes
    ----------
    ready : bool
        Whether the process has said that it can serve.
    failure : str or None
        Why it cannot.
    peer : Peer or None
        The client.
    ending : bool
        Whether the process has ended or was killed.
    dismissed : bool
        Whether nobody wanted it any more.
    """

    def __init__(
        self,
        process: SessionProcess,
        selector: selectors.BaseSelector,
        limits: Limits,
        adopted: Adopted,
        *,
        spare: bool = False,
    ) -> None:
        self.ready = False
        self.failure: str | None = None
        self.peer: Peer | None = None
        self.ending = self.dismissed = False
        self.spare = spare
        self._ticket, self._shares = b"", False
        self._process = process
        self._selector = selector
        self._limits = limits
        self._adopted = adopted
        self._begin_s = self._served_since_s = time.monotonic()
        self._done_s: float | None = None
        self._left_s: float | None = None
        self._kill_s = 0.0
        self._code = "crashed"
        self._reason: str | None = None
        self._quiet = False
        self._watched: set[int] = set()
        adopted.begin(process.pid, process.folder)
        self._watch(process.control.fileno(), self._receive_report)
        self._watch(process.output.fileno(), self._drain)
        if process.exit_descriptor is not None:
            self._watch(process.exit_descriptor, self.end)

    @property
    def pid(self) -> int:
        """Process number."""
        return self._process.pid

    @property
    def needs_watching(self) -> bool:
        """Whether :meth:`check` is to be called from time to time."""
        return self.peer is not None or not self.ready or self._process.exit_descriptor is None

    def who(self) -> tuple[str, str, float] | None:
        """Return who is served, from where and for how long [s], None if nobody is."""
        if self.peer is None or self.ending or self.peer.has_left():
            return None
        return self.peer.client, self.peer.name, self.lasting_s

    @property
    def lasting_s(self) -> float:
        """How long its client has been served; since it began if there is none."""
        return time.monotonic() - self._served_since_s

    @property
    def lives(self) -> bool:
        """Whether it has a client who has not left."""
        return self.peer is not None and not self.ending and not self.peer.has_hung_up()

    def has_ticket(self, ticket: bytes) -> bool:
        """Tell whether this is the ticket for sessions beside it, as long as it lives."""
        # Late: it brings a library of some megabytes, for those who have a ticket to show.
        from hmac import compare_digest

        # Compared in any case, and in a time that says nothing of what is alike.
        return compare_digest(self._ticket, ticket) and bool(self._ticket) and self.lives

    def active_s(self) -> float:
        """Return when its client or its model last did something; now, if a model runs."""
        activity, since_s = self._process.activity()
        now_s = time.monotonic()
        return now_s if activity in _WITH_MODEL else max(since_s, self._served_since_s)

    def serve(self, peer: Peer, ticket: str = "") -> None:
        """Hand the process a client; one that it does not take ends it.

        Parameters
        ----------
        peer : Peer
        ticket : str
            Given to the client, and not to the process that runs a model; empty for none.
        """
        peer.attempts += 1
        self.peer, self._served_since_s = peer, time.monotonic()
        self._ticket = ticket.encode()
        try:
            if ticket:
                peer.ask_to_wait(ticket=ticket)
        except OSError as error:
            # Its session will notice.
            logger.info("%s was given no ticket: %s", peer.name, error)
        peer.connection.setblocking(True)
        try:
            self._process.control.hand_over(peer.connection, peer.introduction(), peer.frame_key)
        except UnreachableError as error:
            self.end(reason=str(error))

    def share(self) -> None:
        """Tell the process, once, that the owner has other sessions."""
        if not self._shares:
            self._shares = True
            self._process.control.share()

    def dismiss(self) -> None:
        """End a process that nobody was served by."""
        self.dismissed = True
        self.end(reason="A session process that was started in advance was not needed.", quiet=True)

    def check(self, active_s: float) -> None:
        """End what takes too long, and what has ended by itself.

        Parameters
        ----------
        active_s : float
            When something was last done in any session of the same owner.
        """
        if self.ending:
            return
        if self._process.has_ended():
            self.end()
            return
        if problem := self._process.problem():
            self.end(reason=problem)
            return
        now_s = time.monotonic()
        if self._done_s is not None and now_s - self._done_s > _ENDING_GRACE_S:
            self.end(reason="The session process said that it was done, and did not end.")
        elif self.peer is not None:
            self._check_client(self.peer, now_s, active_s)
        elif not self.ready and now_s - self._begin_s > _START_LIMIT_S:
            self.end("timeout", "The session process did not start in time.")

    def end(self, code: str = "crashed", reason: str | None = None, *, quiet: bool = False) -> None:
        """Kill the process with all that it started, or what is left of one that has ended.

        Parameters
        ----------
        code : str
            Of the ERROR that its client gets.
        reason : str, optional
            What is said then; without it, how the process ended.
        quiet : bool
            Nobody needs to be told, since the client has left.
        """
        if self.ending:
            return
        self.ending, self._kill_s = True, time.monotonic()
        self._code, self._reason, self._quiet = code, reason, quiet
        self._process.activity()
        self._process.kill()
        for descriptor in self._watched:
            self._selector.unregister(descriptor)
        self._watched.clear()

    def is_gone(self) -> bool:
        """Tell whether the process and all that it started have ended; to be asked until then."""
        if not self.ending:
            return False
        end_s = time.monotonic() + _ATTEMPT_S
        # Again and again: what forks and ends at once is seldom met while it lives.
        while (left := self._adopted.end(self.pid)) and time.monotonic() < end_s:
            continue
        if self._process.has_ended() and not left:
            return True
        self._process.kill_again()
        if time.monotonic() - self._kill_s > _KILL_LIMIT_S:
            logger.error("processes that do not end are left behind: %s", {self.pid, *left})
            return True
        return False

    def conclude(self) -> tuple[str | None, bool]:
        """Let go of the process, and tell its client how it ended.

        Returns
        -------
        reason : str or None
            What went wrong.
        untouched : bool
            The process never began to serve its client, who is not told: another can.
        """
        activity, _ = self._process.activity()
        how = self._process.close()
        self._adopted.forget(self.pid)
        reason = self._reason or how
        if reason and not self._quiet and (words := self._process.output.last_words()):
            reason = f"{reason} It had printed: {words}"
        # Why one did not even start is for the supervisor to say, once.
        if reason and self.ready:
            logger.log(logging.INFO if self._quiet else logging.ERROR, "%s", reason)
        peer = self.peer
        if peer is None:
            return reason, False
        if reason and self._code == "crashed" and activity == Activity.STARTING:
            return reason, True
        # In the middle of an answer an ERROR would be taken for its rest.
        if reason and not self._quiet and activity != Activity.ANSWERING:
            try:
                peer.tell(self._code, reason)
            except OSError as error:
                logger.info("%s could not be told: %s", peer.name, error)
        peer.close()
        logger.info("session of %s ended", peer.name)
        return reason, False

    def _check_client(self, peer: Peer, now_s: float, active_s: float) -> None:
        limits = self._limits
        activity, since_s = self._process.activity()
        lasting_s = now_s - max(since_s, self._served_since_s)
        with_model = activity in _WITH_MODEL
        if peer.has_hung_up():
            self._left_s = self._left_s or now_s
            if now_s - self._left_s > (_LEFT_MODEL_GRACE_S if with_model else _LEFT_GRACE_S):
                self.end(reason=f"{peer.name} left before its session ended.", quiet=True)
        elif with_model and lasting_s > limits.time_limit_s:
            what = "Loading" if activity == Activity.LOADING else "An inference"
            self.end(
                "timeout",
                f"{what} took longer than the target's limit of {limits.time_limit_s:g} s "
                "(--time-limit-s of the agent).",
            )
        elif activity == Activity.RECEIVING and lasting_s > limits.stall_limit_s:
            self.end(
                "timeout",
                f"Nothing more of the model came for {limits.stall_limit_s:g} s "
                "(--stall-limit-s of the agent).",
            )
        elif not with_model and now_s - active_s > limits.idle_limit_s:
            self.end(
                "timeout",
                f"The client said nothing for {limits.idle_limit_s:g} s "
                "(--idle-limit-s of the agent).",
            )

    def _receive_report(self) -> None:
        try:
            report = self._process.control.receive()
        except UnreachableError:
            # It has ended, or says that it is about to.
            self._unwatch(self._process.control.fileno())
            self._done_s = time.monotonic()
            return
        except RemoteProtocolError as error:
            self.end(reason=str(error))
            return
        if isinstance(report, Ready):
            self.ready = True
        elif isinstance(report, Failed):
            self.failure = report.reason
            self.end(reason=report.reason)

    def _drain(self) -> None:
        if not self._process.output.drain():
            self._unwatch(self._process.output.fileno())

    def _watch(self, descriptor: int, callback: Callable[[], None]) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, callback)
        self._watched.add(descriptor)

    def _unwatch(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)
        self._watched.discard(descriptor)
