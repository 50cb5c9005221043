"""Answer who asks how the agent fares, or wants the target for himself."""

from __future__ import annotations

import logging
import os
import shutil
import statistics
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import msgspec

import edge_tester
from edge_tester.core.agent.handshake import Peer
from edge_tester.core.agent.sessions import Sessions
from edge_tester.core.registry import name_of
from edge_tester.core.runtime import Runtime
from edge_tester.core.wire.standing import (
    ASKED,
    RESERVATION_LIMIT_S,
    Offer,
    Reserved,
    Served,
    Standing,
)
from edge_tester.core.wire.states import FEATURES

logger = logging.getLogger(__name__)

_TICKET_BYTES = 16
_REMEMBERED = 20


class Desk:
    """What is known of an agent beside its sessions.

    Parameters
    ----------
    runtimes : sequence of Runtime
        What clients may use.
    store : Path
        Where models are kept.
    unprotected : sequence of str
        What this platform cannot forbid to models.
    """

    def __init__(
        self,
        runtimes: Sequence[Runtime] = (),
        store: Path | None = None,
        unprotected: Sequence[str] = (),
    ) -> None:
        self._runtimes = runtimes
        self._store = store
        self._unprotected = list(unprotected)
        self._begun_s = time.monotonic()
        self._offers: list[Offer] | None = None
        self._durations_s: deque[float] = deque(maxlen=_REMEMBERED)
        self._ended = 0
        self._ticket, self._holder, self._until_s = "", "", 0.0
        self.stopping = False

    def ended(self, lasting_s: float) -> None:
        """Remember how long a session was."""
        self._durations_s.append(lasting_s)
        self._ended += 1

    def wait_s(self, position: int, lasting_s: float | None) -> float | None:
        """Return how long the one at this place waits if all is as before; None for no idea.

        Parameters
        ----------
        position : int
            From 1.
        lasting_s : float or None
            How long whoever is served has been; None if nobody is.
        """
        if not self._durations_s:
            return None
        usual_s = statistics.median(self._durations_s)
        left_s = max(0.0, usual_s - lasting_s) if lasting_s is not None else 0.0
        return left_s + (position - 1) * usual_s

    @property
    def reserved_s(self) -> float:
        """For how long the target is still reserved; 0 if it is not."""
        return max(0.0, self._until_s - time.monotonic())

    def kept_from(self, peer: Peer) -> str:
        """Return why somebody is not served though nobody is; empty if he is."""
        # Late: it brings a library of some megabytes.
        from hmac import compare_digest

        left_s = self.reserved_s
        shown = peer.hello.reservation if peer.hello else ""
        if not left_s or compare_digest(shown.encode(), self._ticket.encode()):
            return ""
        return f"The target is reserved by {self._holder} for another {left_s:.0f} s."

    def answer(self, peer: Peer, sessions: Sessions, waiting: int) -> None:
        """Answer a HELLO that asks for something else than a session, and close.

        Raises
        ------
        OSError
            The client is gone.
        """
        hello = peer.hello
        if hello is None or hello.ask not in ASKED:
            peer.refuse("unsupported", f"This target can be asked for {', '.join(ASKED)}.")
        elif hello.ask == "status":
            peer.inform(self._standing(sessions, waiting))
        elif kept := self.kept_from(peer):
            peer.refuse("busy", kept)
        elif hello.ask == "release":
            logger.info("%s has released the target", peer.client)
            self._until_s = 0.0
            peer.inform(Reserved(reservation="", lasting_s=0.0))
        elif not 0 < hello.lasting_s <= RESERVATION_LIMIT_S:
            peer.refuse(
                "refused",
                f"A target can be reserved for up to {RESERVATION_LIMIT_S} s, got "
                f"{hello.lasting_s:g}.",
            )
        else:
            if not self.reserved_s:
                self._ticket = os.urandom(_TICKET_BYTES).hex()
            self._holder = f"{peer.client} ({peer.name})"
            self._until_s = time.monotonic() + hello.lasting_s
            logger.info("%s has reserved the target for %g s", peer.client, hello.lasting_s)
            peer.inform(Reserved(reservation=self._ticket, lasting_s=hello.lasting_s))

    def _standing(self, sessions: Sessions, waiting: int) -> Standing:
        from edge_tester.core.system.machine import available_memory_bytes, describe_machine

        if self._offers is None:
            self._offers = [
                Offer(
                    name=name_of(type(one)),
                    input_formats=list(one.input_formats),
                    versions=describe_machine(one.distributions).versions,
                )
                for one in self._runtimes
            ]
        return Standing(
            version=edge_tester.__version__,
            features=[*FEATURES, *ASKED],
            runtimes=self._offers,
            machine=msgspec.to_builtins(describe_machine()),
            uptime_s=time.monotonic() - self._begun_s,
            served=[
                Served(client=client, address=address, lasting_s=lasting_s)
                for client, address, lasting_s in sessions.served()
            ],
            waiting=waiting,
            sessions=self._ended,
            memory_available_bytes=available_memory_bytes(),
            disk_free_bytes=_free_bytes(self._store),
            store_bytes=_size_bytes(self._store),
            reserved_by=self._holder if self.reserved_s else "",
            reserved_s=self.reserved_s,
            unprotected=self._unprotected,
            stopping=self.stopping,
        )


def _free_bytes(store: Path | None) -> int | None:
    """Return what is free where models are kept, or will be."""
    for folder in (store, *store.parents) if store else ():
        try:
            return shutil.disk_usage(folder).free
        except OSError:
            continue
    return None


def _size_bytes(store: Path | None) -> int | None:
    """Return what the files of the store take: a folder without folders."""
    if store is None:
        return None
    try:
        with os.scandir(store) as found:
            return sum(one.stat(follow_symlinks=False).st_size for one in found if one.is_file())
    except OSError:
        return 0
