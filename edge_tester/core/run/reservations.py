"""Which targets this user has reserved: what the agents gave for it, kept between commands."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from edge_tester.core.errors import OptionError
from edge_tester.core.system.files import write_atomically

_FILE = "edge_tester/reservations.json"


class Reservation(msgspec.Struct, frozen=True):
    """What an agent gave for a time.

    Attributes
    ----------
    ticket : str
    until_s : float
        By :func:`time.time`.
    """

    ticket: str
    until_s: float


def ticket_for(address: str) -> str:
    """Return what to show to the target at an address; empty if nothing is reserved there."""
    found = _valid().get(address)
    return found.ticket if found else ""


def keep(address: str, ticket: str, lasting_s: float) -> None:
    """Keep what an agent gave; without a ticket, forget it.

    Raises
    ------
    OptionError
        It cannot be written.
    """
    kept = _valid()
    kept.pop(address, None)
    if ticket:
        kept[address] = Reservation(ticket, time.time() + lasting_s)
    path = _path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(path, msgspec.json.encode(kept))
    except OSError as error:
        raise OptionError(f"The reservation cannot be kept in {path}: {error.strerror}.") from error


def _valid() -> dict[str, Reservation]:
    try:
        kept = msgspec.json.decode(_path().read_bytes(), type=dict[str, Reservation])
    except (OSError, msgspec.DecodeError):
        # There is none, or somebody has damaged it: then the target says who has reserved it.
        return {}
    return {address: one for address, one in kept.items() if one.until_s > time.time()}


def _path() -> Path:
    """Return the file, where programs keep what must survive them (XDG base directories)."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
    return Path(state) / _FILE
