import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_tester.core.errors import RecordError
from edge_tester.core.statistics import (
    block_bootstrap_interval,
    missing_values,
    percentile,
    wilson_interval,
)


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
    ("fraction", "expected"), [(0.5, 500), (0.9, 900), (0.95, 950), (0.99, 990), (1.0, 1000)]
)
def test_percentiles_of_the_first_thousand_numbers(fraction, expected):
    values = np.random.default_rng(0).permutation(np.arange(1, 1001)).tolist()
    assert expected == percentile(values, fraction)


@given(st.lists(st.integers(0, 10**12), min_size=30, max_size=200), st.sampled_from([0.5, 0.9]))
def test_a_percentile_is_numpys_by_the_same_definition(values, fraction):
    expected = np.percentile(values, 100 * fraction, method="inverted_cdf")
    assert int(expected) == percentile(values, fraction)


def test_few_values_have_no_interval():
    assert block_bootstrap_interval(list(range(19))) is None
    assert block_bootstrap_interval(list(range(20))) is not None


def test_equal_values_have_an_interval_of_no_width():
    assert (7.0, 7.0) == block_bootstrap_interval([7] * 100)


def test_the_same_values_give_the_same_interval():
    values = np.random.default_rng(0).integers(0, 1000, 500).tolist()
    assert block_bootstrap_interval(values) == block_bootstrap_interval(values)
    assert block_bootstrap_interval(values) != block_bootstrap_interval(values, seed=1)


def test_an_interval_of_independent_values_is_that_of_theory():
    values = np.random.default_rng(0).normal(1000, 100, 4000)
    low, high = block_bootstrap_interval(values, np.mean)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert values.mean() - half == pytest.approx(low, abs=half / 4)
    assert values.mean() + half == pytest.approx(high, abs=half / 4)


def test_dependent_values_have_a_wider_interval():
    generator = np.random.default_rng(0)
    steps = np.repeat(generator.normal(0, 100, 100), 20)
    mixed = generator.permutation(steps)
    low, high = block_bootstrap_interval(steps, np.mean)
    low_mixed, high_mixed = block_bootstrap_interval(mixed, np.mean)
    assert high - low > 3 * (high_mixed - low_mixed)


def test_an_interval_holds_the_truth_as_often_as_it_says():
    generator, hits = np.random.default_rng(0), 0
    for _ in range(60):
        low, high = block_bootstrap_interval(generator.normal(0, 1, 200), np.mean)
        hits += low <= 0 <= high
    # 95 % of 60 are 57; below 50 would be a chance of one in ten thousand.
    assert hits >= 50


def test_a_hundred_thousand_values_take_bounded_memory():
    import tracemalloc

    values = np.random.default_rng(0).integers(0, 1000, 100_000)
    tracemalloc.start()
    block_bootstrap_interval(values, np.mean)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 100 * (1 << 20)


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
