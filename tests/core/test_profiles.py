"""Times of operators are told only where they mean something."""

import pytest

from edge_tester.core.profiles import median_ns, same_in_each, told, unavailable
from edge_tester.core.results.profile import OperatorTime
from tests.profiling_runtimes import operators


def test_shares_are_of_the_sum_of_all_operators():
    profile = told("a test", operators(30, 10), 5, whole_ns=100)
    assert (40, 5, 100) == (profile.total_ns, profile.inferences, profile.whole_ns)
    assert [0.75, 0.25] == [profile.share(one) for one in profile.operators]


@pytest.mark.parametrize(
    ("times_ns", "resolution_ns", "reason"),
    [
        ((), 1, "no operator"),
        ((0, 0), 1, "too coarse: all 2 operators together took 0 ns"),
        ((1000, 0, 0), 1000, "step of 1000 ns is too coarse: all 3 operators"),
    ],
)
def test_no_times_are_better_than_rounding(times_ns, resolution_ns, reason):
    profile = told("a test", operators(*times_ns), 5, resolution_ns=resolution_ns)
    assert [] == profile.operators
    assert reason in profile.unavailable


def test_times_of_a_step_each_are_told():
    assert 3 == len(told("a test", operators(2000, 1000, 0), 5, resolution_ns=1000).operators)


def test_medians_are_whole_and_never_negative():
    assert 3 == median_ns([1, 2.6, 99])
    assert type(median_ns([2.5])) is int
    assert 0 == median_ns([-4.0])


def test_inferences_that_ran_otherwise_have_no_common_times():
    assert same_in_each([["a", "b"], ["a", "b"]])
    assert not same_in_each([["a", "b"], ["b", "a"]])
    assert not same_in_each([["a", "b"], ["a"]])
    assert not same_in_each([])


def test_nothing_has_no_share():
    profile = unavailable("a test", "it is off")
    assert 0 == profile.share(OperatorTime(place=0, type="x", time_ns=0))
