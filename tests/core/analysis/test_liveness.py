"""What lives when, against sums that were made by hand."""

import itertools

import pytest

from edge_tester.core.analysis.liveness import (
    ALIGNMENT_BYTES,
    Buffer,
    aligned,
    arena_bytes,
    arena_plan,
    liveness,
)
from tests.core.analysis.graphs import graph_of, operator

SIZES = {"in": 100, "a": 400, "b": 400, "c": 40, "out": 8}


@pytest.fixture
def chain():
    """Input -> a -> relu -> b -> c -> out."""
    operators = [
        operator("first", "in", "a"),
        operator("relu", "a", "b", form="activation"),
        operator("second", "b", "c"),
        operator("last", "c", "out"),
    ]
    return graph_of(SIZES, operators, "out")


def test_of_a_chain_only_neighbours_live_at_a_time(chain):
    found = liveness(chain)
    assert [500, 800, 440, 48] == found.live_bytes()
    assert (800, 1, 948) == (found.peak_bytes, found.peak_place, found.sum_bytes)
    assert ["a", "b"] == [one.name for one in found.live_at(1)]


def test_in_place_the_output_of_an_elementwise_operator_takes_no_memory(chain):
    found = liveness(chain, in_place=True)
    assert [500, 400, 440, 48] == found.live_bytes()


def test_fused_what_an_activation_reads_is_never_stored(chain):
    found = liveness(chain, fused=True)
    assert [500, 400, 440, 48] == found.live_bytes()
    assert {"in", "b", "c", "out"} == {one.name for one in found.buffers}


def test_what_is_read_later_is_not_overwritten():
    """The sum at the end needs what the activation in the middle has read."""
    operators = [
        operator("first", "in", "a"),
        operator("relu", "a", "b", form="activation"),
        operator("sum", "a b", "c", form="elementwise"),
        operator("last", "c", "out"),
    ]
    graph = graph_of({**SIZES, "c": 400}, operators, "out")
    assert [500, 800, 1200, 408] == liveness(graph).live_bytes()
    # The sum itself may write over one of the two, which nothing reads after it.
    assert [500, 800, 800, 408] == liveness(graph, in_place=True).live_bytes()
    assert [500, 800, 1200, 408] == liveness(graph, fused=True).live_bytes()


def test_the_input_of_the_model_is_never_overwritten():
    operators = [operator("relu", "in", "a", form="activation")]
    graph = graph_of({"in": 64, "a": 64}, operators, "a")
    assert [128] == liveness(graph, in_place=True).live_bytes()


def test_what_has_another_size_is_not_overwritten():
    operators = [
        operator("first", "in", "a"),
        operator("sum", "a", "b", form="elementwise"),
    ]
    graph = graph_of({"in": 8, "a": 64, "b": 640}, operators, "b")
    assert [72, 704] == liveness(graph, in_place=True).live_bytes()


def test_outputs_of_the_model_live_to_the_end():
    operators = [operator("first", "in", "a"), operator("second", "a", "b")]
    operators += [operator("third", "b", "out")]
    graph = graph_of({"in": 1, "a": 10, "b": 100, "out": 1000}, operators, "a out")
    assert [11, 110, 1110] == liveness(graph).live_bytes()


def test_a_view_lives_as_long_as_whatever_shows_it():
    operators = [
        operator("first", "in", "a"),
        operator("shape", "a", "b", form="view"),
        operator("other", "a", "c"),
        operator("last", "b c", "out"),
    ]
    graph = graph_of({**SIZES, "c": 40}, operators, "out")
    assert [500, 400, 440, 448] == liveness(graph).live_bytes()


def test_an_input_that_is_read_late_lives_from_the_beginning():
    operators = [operator("first", "in", "a"), operator("last", "a late", "out")]
    graph = graph_of({"in": 5, "late": 70, "a": 10, "out": 1}, operators, "out", "in late")
    assert [85, 81] == liveness(graph).live_bytes()


BUFFERS = [
    Buffer("a", 400, 0, 1),
    Buffer("b", 300, 1, 2),
    Buffer("c", 200, 2, 5),
    Buffer("d", 100, 3, 4),
    Buffer("e", 333, 4, 6),
    Buffer("f", 0, 0, 6),
]


def test_no_two_that_live_at_a_time_overlap_in_the_plan():
    plan = arena_plan(BUFFERS)
    assert len(BUFFERS) - 1 == len(plan)
    for one, other in itertools.combinations(plan, 2):
        together = one.buffer.first <= other.buffer.last and other.buffer.first <= one.buffer.last
        apart = one.end_bytes <= other.offset_bytes or other.end_bytes <= one.offset_bytes
        assert apart or not together, (one, other)
        assert 0 == one.offset_bytes % ALIGNMENT_BYTES


def test_a_plan_uses_gaps_again():
    plan = {one.buffer.name: one.offset_bytes for one in arena_plan(BUFFERS)}
    assert {"a": 0, "e": 0, "b": 400, "c": 400 + aligned(300), "d": aligned(333)} == plan
    assert 912 == arena_bytes(arena_plan(BUFFERS))


def test_nothing_needs_no_arena():
    assert 0 == arena_bytes(arena_plan([]))
