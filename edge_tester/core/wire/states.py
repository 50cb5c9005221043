"""Everything that moves the state of a conversation, as tables, for both roles.

The target has one state for the connection and one for each slot. The host has, for each
request, the answers that it awaits in order. Nothing else decides what may be sent when.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from edge_tester.core.wire.frames import Type


class State:
    """What a connection is ready for, as the target sees it."""

    NEW: Final = "new"
    CHALLENGED: Final = "challenged"
    READY: Final = "ready"
    LOADED: Final = "loaded"
    ENDED: Final = "ended"


class SlotState:
    """What a slot holds."""

    EMPTY: Final = "empty"
    FILLED: Final = "filled"
    ANSWERED: Final = "answered"


# (state, request) -> (state after success, state after failure); what is not listed is a
# violation. A connection that closes, or an ERROR whose code is fatal, leads to "ended".
TRANSITIONS: dict[tuple[str, int], tuple[str, str]] = {
    (State.NEW, Type.HELLO): (State.READY, State.NEW),
    (State.CHALLENGED, Type.PROOF): (State.NEW, State.ENDED),
    (State.READY, Type.OFFER): (State.READY, State.READY),
    (State.READY, Type.MODEL): (State.LOADED, State.READY),
    (State.READY, Type.STATS): (State.READY, State.READY),
    (State.LOADED, Type.OFFER): (State.LOADED, State.LOADED),
    (State.LOADED, Type.MODEL): (State.LOADED, State.READY),
    (State.LOADED, Type.DATA): (State.LOADED, State.LOADED),
    (State.LOADED, Type.PROCESS): (State.LOADED, State.LOADED),
    (State.LOADED, Type.OUTPUT): (State.LOADED, State.LOADED),
    (State.LOADED, Type.STATS): (State.LOADED, State.LOADED),
    (State.LOADED, Type.PROFILE): (State.LOADED, State.LOADED),
}

# The same for each slot that a request names. A MODEL makes all slots empty.
SLOT_TRANSITIONS: dict[tuple[str, int], tuple[str, str]] = {
    (SlotState.EMPTY, Type.DATA): (SlotState.FILLED, SlotState.EMPTY),
    (SlotState.FILLED, Type.DATA): (SlotState.FILLED, SlotState.EMPTY),
    (SlotState.FILLED, Type.PROCESS): (SlotState.ANSWERED, SlotState.EMPTY),
    (SlotState.FILLED, Type.PROFILE): (SlotState.FILLED, SlotState.EMPTY),
    (SlotState.ANSWERED, Type.DATA): (SlotState.FILLED, SlotState.EMPTY),
    (SlotState.ANSWERED, Type.PROCESS): (SlotState.ANSWERED, SlotState.EMPTY),
    (SlotState.ANSWERED, Type.OUTPUT): (SlotState.ANSWERED, SlotState.ANSWERED),
    (SlotState.ANSWERED, Type.PROFILE): (SlotState.ANSWERED, SlotState.EMPTY),
}

# Request -> payloads of the OKs that answer it, in order. An ERROR takes the place of any of
# them, and of all that would follow. HELLO may be answered by a "Challenge" first, which leads to
# "challenged" until a PROOF was answered, and by any number of "Queued" before the "Welcome".
ANSWERS: dict[int, tuple[str, ...]] = {
    Type.HELLO: ("Welcome",),
    Type.PROOF: ("Proof",),
    Type.OFFER: ("Offered",),
    Type.MODEL: ("Loaded",),
    Type.DATA: ("nothing",),
    Type.PROCESS: ("nothing", "times"),
    Type.OUTPUT: ("tensors",),
    Type.STATS: ("Counters",),
    Type.PROFILE: ("Profile",),
}

# What the code of an ERROR may be, and what it means.
ERROR_CODES = {
    "version": "the target speaks other versions of the protocol, which it names",
    "unsupported": "the target does not know this request or a flag of it, or its runtime cannot",
    "busy": "another client uses the target, or this one has as many sessions as it may",
    "ticket": "the session beside which this one was to be has ended, or never was",
    "protocol": "the request breaks the protocol",
    "refused": "the target's owner does not allow it",
    "model": "the model cannot be used",
    "input": "the input does not fit the model",
    "runtime": "the runtime failed",
    "storage": "the target cannot store the model",
    "memory": "the target ran out of memory",
    "crashed": "the model ended the process that ran it",
    "timeout": "a time limit of the target was exceeded",
    "skipped": "an earlier request of the same flight failed",
}
# After these the connection ends.
FATAL_CODES = frozenset({"version", "busy", "ticket", "protocol", "crashed", "timeout"})

# What a target may be able to do beyond the rest; both sides name theirs.
FEATURES = ("offer", "schedule", "beside", "profile", "mac")


def allowed(state: str) -> list[int]:
    """Return the requests that a state of the connection allows."""
    return [request for before, request in TRANSITIONS if before == state]


def flight_limit(slots: int) -> int:
    """Return how many requests one flight may have: each slot filled and fetched, and a few."""
    return 2 * slots + 8


def names_of(features: Collection[str]) -> list[str]:
    """Return those features that this version knows, in its own order."""
    return [one for one in FEATURES if one in features]
