"""What an agent says of itself, and to whom it belongs for a time.

A HELLO with a field ``ask`` is answered by one of these, whoever is served meanwhile.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edge_tester.core.wire.payloads import Count

ASKED = ("status", "reserve", "release")
# Longer than anybody measures; who forgets to release keeps nobody out for ever.
RESERVATION_LIMIT_S = 7 * 86400


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A runtime that the agent offers.

    Attributes
    ----------
    name : str
    input_formats : list of str
        Model formats that it runs.
    versions : dict of str to str
        Of its packages.
    """

    name: str
    input_formats: list[str]
    versions: dict[str, str] = {}


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """A client that is served.

    Attributes
    ----------
    client, address : str
        What it calls itself, and where it is.
    lasting_s : float
        How long.
    """

    client: str
    address: str
    lasting_s: float


class Standing(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How an agent fares.

    Attributes
    ----------
    version : str
        Of its software.
    features : list of str
        What it can beyond the rest.
    runtimes : list of Offer
        The first is for hosts that name none.
    machine : dict
        As :class:`edge_tester.core.record.Machine`.
    uptime_s : float
        Since when it runs.
    served : list of Served
        Sessions that live.
    waiting : int
        How many wait in line.
    sessions : int
        How many have ended since it began.
    memory_available_bytes, disk_free_bytes, store_bytes : int, optional
        What the machine has left, and what models that are kept take.
    reserved_by : str
        Who has reserved the target; empty if nobody has.
    reserved_s : float
        For how long still.
    unprotected : list of str
        What models can do because this platform cannot forbid it.
    stopping : bool
        Whether it ends after the session.
    """

    version: str
    features: list[str]
    runtimes: list[Offer]
    machine: dict[str, Any]
    uptime_s: float
    served: list[Served] = []
    waiting: Count = 0
    sessions: Count = 0
    memory_available_bytes: Count | None = None
    disk_free_bytes: Count | None = None
    store_bytes: Count | None = None
    reserved_by: str = ""
    reserved_s: float = 0.0
    unprotected: list[str] = []
    stopping: bool = False


class Reserved(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Who asked has the target to himself, or has not any more.

    Attributes
    ----------
    reservation : str
        What his HELLOs show from now on; empty after a release.
    lasting_s : float
        For how long.
    """

    reservation: str
    lasting_s: float
