import numpy as np
import pytest

from edge_tester.core.statistics.dependence import independent_values, missing_inferences
from tests.core.statistics.synthetic import machines


def autoregressive(correlation, replicates, count, seed=0):
    generator = np.random.default_rng(seed)
    noise = machines.normal_noise(generator, (1, replicates, count), correlation)[0]
    return list(np.exp(0.05 * noise))


@pytest.mark.parametrize("fraction", [0.5, 0.9, 0.99])
def test_independent_latencies_are_worth_their_number(fraction):
    found = [
        independent_values(autoregressive(0, 5, 400, seed), fraction) / 2000 for seed in range(50)
    ]
    assert 0.95 <= np.mean(found) <= 1
    assert max(found) == 1


def test_dependent_latencies_are_worth_what_theory_says():
    """A mean over an autoregressive process has tau = (1 + correlation) / (1 - correlation)."""
    found = [
        independent_values(autoregressive(0.9, 5, 2000, seed), 0.5) / 10_000 for seed in range(30)
    ]
    # Ranks depend on each other by 6 / pi * asin(rho / 2), a little less than normal values.
    lags = np.arange(1, 400)
    expected = 1 + 2 * (6 / np.pi * np.arcsin(0.9**lags / 2)).sum()
    assert 1 / expected == pytest.approx(np.mean(found), rel=0.1)


def test_the_worth_is_that_of_the_spread_of_the_figure_itself():
    """Medians of repeated experiments vary as those of so many independent values."""
    experiments = [autoregressive(0.8, 1, 1000, seed) for seed in range(400)]
    medians = [np.log(np.median(one[0])) for one in experiments]
    worth = np.mean([independent_values(one, 0.5) for one in experiments[:50]])
    deviation = 0.05 * np.sqrt(np.pi / 2 / worth)
    assert np.std(medians) == pytest.approx(deviation, rel=0.2)


def test_rare_values_that_come_in_bursts_are_worth_few():
    refused = 0
    for seed in range(10):
        generator = np.random.default_rng(seed)
        slow = machines.episodes(generator, (1, 5, 8000), 0.03, 40)[0]
        values = list(np.where(slow, 3.0, 1.0) * generator.normal(1, 0.01, slow.shape))
        assert independent_values(values, 0.99) < 40_000 / 8
        assert 0 == missing_inferences(values, 0.99)
        refused += missing_inferences([one[:400] for one in values], 0.99) > 0
    assert refused >= 6


def test_levels_of_replicates_are_no_dependence():
    values = [level * one for level, one in zip((1, 2, 3), autoregressive(0, 3, 500), strict=True)]
    assert independent_values(values, 0.5) > 1300


def test_a_straight_course_is_no_dependence():
    course = np.linspace(1, 1.08, 400)
    found = [
        independent_values([course * one for one in autoregressive(0, 5, 400, seed)], 0.9) / 2000
        for seed in range(20)
    ]
    assert np.mean(found) > 0.8


def test_heavy_tails_do_not_hide_dependence():
    noise = np.exp(0.05 * machines.normal_noise(np.random.default_rng(0), (1, 1, 5000), 0.9)[0])
    spikes = np.where(np.random.default_rng(1).random(noise.shape) < 0.01, 1e6, 1)
    assert independent_values(list(noise * spikes), 0.5) < 5000 / 10


def test_how_many_more_inferences_a_percentile_needs():
    assert 299 == missing_inferences([], 0.99)
    assert 239 == missing_inferences([np.arange(60) % 7 * np.arange(60) % 11], 0.99)
    dependent = autoregressive(0.9, 1, 200)
    missing = missing_inferences(dependent, 0.9)
    tau = 200 / independent_values(dependent, 0.9)
    assert missing == max(0, np.ceil(29 * tau - 200)) > 0
    longer = autoregressive(0.9, 1, 2 * (200 + missing))
    assert 0 == missing_inferences(longer, 0.9)


def test_equal_latencies_are_as_good_as_independent_ones():
    assert 100 == independent_values([np.full(100, 7)], 0.9)
