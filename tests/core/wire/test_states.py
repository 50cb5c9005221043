"""The tables of states: complete, consistent, and what the conversation walks through."""

import pytest

from edge_tester.core.wire.frames import TYPE_NAMES, Type
from edge_tester.core.wire.states import (
    ANSWERS,
    ERROR_CODES,
    FATAL_CODES,
    SLOT_TRANSITIONS,
    TRANSITIONS,
    SlotState,
    State,
    allowed,
    flight_limit,
)

REQUESTS = set(TYPE_NAMES) - {Type.OK, Type.ERROR}


def test_every_request_has_its_place_in_every_table():
    assert REQUESTS == {request for _, request in TRANSITIONS} == set(ANSWERS)
    of_slots = {Type.DATA, Type.PROCESS, Type.OUTPUT, Type.PROFILE}
    assert of_slots == {request for _, request in SLOT_TRANSITIONS}


@pytest.mark.parametrize("request_", sorted(REQUESTS - {Type.HELLO}))
def test_before_the_hello_and_after_the_end_nothing_is_allowed(request_):
    assert (State.NEW, request_) not in TRANSITIONS
    assert [] == allowed(State.ENDED)


def test_slots_are_used_only_once_a_model_is_loaded():
    for request in (Type.DATA, Type.PROCESS, Type.OUTPUT, Type.PROFILE):
        assert [State.LOADED] == [before for before, name in TRANSITIONS if name == request]


def test_the_classical_conversation_is_a_path_through_the_tables():
    state, slot = State.NEW, SlotState.EMPTY
    sample = (Type.DATA, Type.PROCESS, Type.OUTPUT, Type.STATS)
    for request in (Type.HELLO, Type.OFFER, Type.MODEL, *sample, *sample):
        state, _ = TRANSITIONS[state, request]
        slot, _ = SLOT_TRANSITIONS.get((slot, request), (slot, slot))
    assert (State.LOADED, SlotState.ANSWERED) == (state, slot)


def test_what_failed_leaves_nothing_to_be_read():
    for (_, request), (_, after_failure) in SLOT_TRANSITIONS.items():
        if request != Type.OUTPUT:
            assert SlotState.EMPTY == after_failure
    assert State.READY == TRANSITIONS[State.LOADED, Type.MODEL][1]


def test_fatal_codes_are_codes():
    assert FATAL_CODES < set(ERROR_CODES)


def test_a_flight_may_fill_and_fetch_every_slot():
    assert flight_limit(64) >= 2 * 64 + len((Type.PROCESS, Type.STATS))
