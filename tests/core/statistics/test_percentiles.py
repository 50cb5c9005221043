import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edge_tester.core.errors import RecordError
from edge_tester.core.statistics.percentiles import midranks, missing_values, percentile


@pytest.mark.parametrize(
    ("fraction", "needed"),
    # Wilks: the least n with p^n <= 5 %, for the median and below with 1 - p.
    [(0.5, 5), (0.9, 29), (0.95, 59), (0.99, 299), (0.999, 2995), (0.1, 29), (1.0, 1)],
)
def test_how_many_values_a_percentile_needs(fraction, needed):
    assert needed == missing_values(0, fraction)
    assert 1 == missing_values(needed - 1, fraction)
    assert 0 == missing_values(needed, fraction)
    assert 0 == missing_values(10 * needed, fraction)


def test_a_percentile_that_the_sample_cannot_support_is_refused():
    with pytest.raises(RecordError, match="The 99th percentile needs 199 more values than 100"):
        percentile(range(100), 0.99)
    with pytest.raises(RecordError, match="The 50th percentile needs 5 more values than 0"):
        percentile([], 0.5)


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [(0.07, 70), (0.5, 500), (0.9, 900), (0.95, 950), (0.99, 990), (1.0, 1000)],
)
def test_percentiles_of_the_first_thousand_numbers(fraction, expected):
    values = np.random.default_rng(0).permutation(np.arange(1, 1001)).tolist()
    assert expected == percentile(values, fraction)


@given(st.lists(st.integers(0, 10**12), min_size=30, max_size=200), st.sampled_from([0.5, 0.9]))
def test_a_percentile_is_numpys_by_the_same_definition(values, fraction):
    expected = np.percentile(values, 100 * fraction, method="inverted_cdf")
    assert int(expected) == percentile(values, fraction)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=50))
def test_ranks_are_scipys(values):
    assert stats.rankdata(values).tolist() == midranks(np.array(values)).tolist()
