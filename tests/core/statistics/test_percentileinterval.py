import numpy as np
import pytest
from scipy import stats

from edge_tester.core.statistics.percentileinterval import percentile_interval
from tests.core.statistics.synthetic import covered, latencies, machines, truth


def test_one_replicate_has_no_interval():
    assert percentile_interval([], 0.9) is None
    assert percentile_interval([np.arange(1, 100)], 0.9) is None


def test_equal_latencies_have_an_interval_of_no_width():
    assert (7.0, 7.0) == percentile_interval([np.full(50, 7)] * 3, 0.9)


def test_the_same_latencies_give_the_same_interval():
    (values,) = latencies("level shifts", 1, 5, 200)
    assert percentile_interval(values, 0.99) == percentile_interval(values, 0.99)
    assert percentile_interval(values, 0.99) != percentile_interval(values, 0.99, seed=1)


def test_independent_latencies_have_the_interval_of_order_statistics():
    """Of many replicates, about the one that counts how many latencies a percentile exceeds."""
    (values,) = latencies("independent", 1, 100, 100)
    low, high = percentile_interval(values, 0.9)
    ranks = stats.binom.ppf([0.025, 0.975], values.size, 0.9).astype(int)
    expected = np.sort(values.ravel())[ranks]
    assert high - low == pytest.approx(expected[1] - expected[0], rel=0.25)
    assert low <= np.quantile(values, 0.9) <= high


@pytest.mark.parametrize(("fraction", "count"), [(0.9, 100), (0.99, 200)])
@pytest.mark.parametrize("name", machines.MACHINES)
def test_it_holds_as_often_as_it_says(name, fraction, count):
    right = truth(name, lambda values: np.quantile(values, fraction), count)
    found = [percentile_interval(one, fraction) for one in latencies(name, 200, 5, count)]
    # 95 %, give or take two and a half standard errors.
    assert 0.91 <= covered(found, right) <= 0.99


def test_replicates_of_unlike_length_count_by_their_latencies():
    right = truth("autocorrelated", lambda values: np.quantile(values, 0.9), 300)
    found = []
    for one in latencies("autocorrelated", 200, 6, 300):
        unlike = [
            values[:count]
            for values, count in zip(one, [300, 300, 300, 150, 150, 150], strict=True)
        ]
        found.append(percentile_interval(unlike, 0.9))
    assert covered(found, right) >= 0.91


def test_a_replicate_that_was_cut_short_says_little():
    """Five latencies, none of them above the percentile, among ten times a thousand."""
    (values,) = latencies("independent", 1, 10, 1000)
    low, high = percentile_interval(values, 0.9, of_ranks=1.0)
    short = values[0][:5]
    assert short.max() < low
    short_low, short_high = percentile_interval([*values, short], 0.9, of_ranks=1.0)
    assert high / low - 1 == pytest.approx(short_high / short_low - 1, rel=0.15)


def test_levels_of_replicates_widen_it():
    """By far: five levels say little of the slowest process in a hundred."""
    generator = np.random.default_rng(0)
    noise = np.exp(0.01 * generator.standard_normal((5, 1000)))
    levels = np.exp([[-0.02], [-0.01], [0], [0.01], [0.02]])
    same, other = (percentile_interval(values, 0.99) for values in (noise, noise * levels))
    assert other[1] / other[0] - 1 > 5 * (same[1] / same[0] - 1)
    assert other[1] > (noise * levels).max()
