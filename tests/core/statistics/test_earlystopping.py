import numpy as np
import pytest

from edge_tester.core.statistics.earlystopping import early_stopping_estimate
from tests.core.statistics.synthetic import latencies, truth


@pytest.mark.parametrize(
    ("fraction", "fewest"),
    # LoadGen's own documentation: 64 and 662 queries.
    [(0.9, 64), (0.99, 662)],
)
def test_how_many_queries_it_needs(fraction, fewest):
    values = list(range(fewest))
    assert early_stopping_estimate(values[:-1], fraction) is None
    assert fewest - 1 == early_stopping_estimate(values, fraction)


def test_it_is_loadgens_estimate():
    """By its own loop: the least h for each t such that t or fewer above have less than 1 %."""
    from scipy import stats

    values = np.random.default_rng(0).permutation(1024)
    t = 1
    while stats.binom.cdf(t + 1, 1024, 0.1) < 0.01:
        t += 1
    assert 1024 - t == early_stopping_estimate(values, 0.9)


def test_it_holds_for_independent_latencies_and_not_for_others():
    right = truth("independent", lambda x: np.quantile(x, 0.9), 100)
    found = [
        early_stopping_estimate(one, 0.9) >= right
        for one in latencies("independent", 1, 300, 1024)[0]
    ]
    assert np.mean(found) >= 0.97
    dependent = truth("autocorrelated", lambda x: np.quantile(x, 0.9), 1024)
    missed = [
        early_stopping_estimate(one, 0.9) >= dependent
        for one in latencies("autocorrelated", 1, 300, 1024)[0]
    ]
    assert np.mean(missed) <= 0.9
