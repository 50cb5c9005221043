import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edge_tester.core.errors import RecordError
from edge_tester.core.statistics.intervals import replicate_interval, wilson_interval
from tests.core.statistics.synthetic import covered, latencies, machines, truth


def test_one_replicate_has_no_interval():
    assert replicate_interval([]) is None
    assert replicate_interval([7.0]) is None


def test_what_is_not_positive_has_no_interval():
    assert replicate_interval([7.0, 0.0, 3.0]) is None


def test_equal_replicates_have_an_interval_of_no_width():
    assert (7.1, 7.1) == replicate_interval([7.1, 7.1, 7.1])


@given(st.lists(st.floats(1, 1e9), min_size=2, max_size=30, unique=True))
def test_the_interval_is_scipys_on_the_logarithms(values):
    logarithms = np.log(values)
    error = stats.sem(logarithms)
    expected = np.exp(stats.t.interval(0.95, len(values) - 1, logarithms.mean(), error))
    assert pytest.approx(tuple(expected), rel=1e-9) == replicate_interval(values)


@pytest.mark.parametrize("replicates", [2, 3, 5, 10])
@pytest.mark.parametrize("name", machines.MACHINES)
def test_the_interval_of_the_median_holds_as_often_as_it_says(name, replicates):
    right = truth(name, np.median, 100)
    medians = np.median(latencies(name, 500, replicates, 100), axis=2)
    # 95 % of 500 give or take three standard errors.
    assert 0.92 <= covered([replicate_interval(one) for one in medians], right) <= 0.98


@pytest.mark.parametrize("name", sorted(machines.MACHINES.keys() - {"heavy tails"}))
def test_the_interval_of_the_mean_holds_as_often_as_it_says(name):
    right = truth(name, np.mean, 100)
    means = np.mean(latencies(name, 500, 5, 100), axis=2)
    assert 0.92 <= covered([replicate_interval(one) for one in means], right) <= 0.98


@pytest.mark.parametrize(
    ("hits", "count", "expected"),
    # Solutions of |share - p| = z * sqrt(p (1 - p) / n) for p, by hand.
    [
        (0, 10, (0.0, 0.2775)),
        (10, 10, (0.7225, 1.0)),
        (5, 10, (0.2366, 0.7634)),
        (1, 1, (0.2065, 1.0)),
        (353, 359, (0.9640, 0.9923)),
    ],
)
def test_wilson_interval(hits, count, expected):
    assert pytest.approx(expected, abs=5e-5) == wilson_interval(hits, count)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_solves_its_equation_and_holds_the_share(numbers):
    hits, count = numbers
    share = hits / count
    low, high = wilson_interval(hits, count)
    assert 0 <= low <= share <= high <= 1
    for end in {low, high} - {0.0, 1.0}:
        distance = 1.9599639845 * (end * (1 - end) / count) ** 0.5
        assert distance == pytest.approx(abs(share - end), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(("hits", "count"), [(0, 0), (2, 1), (-1, 5)])
def test_an_impossible_share_has_no_interval(hits, count):
    with pytest.raises(RecordError, match="hits"):
        wilson_interval(hits, count)
