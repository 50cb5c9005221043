import numpy as np
import pytest

from edge_tester.core.statistics.intervals import replicate_interval
from edge_tester.core.statistics.sequential import (
    precise_enough,
    replicates_needed,
    sequence_interval,
)


def experiments(count, replicates, spread=0.05, seed=0):
    generator = np.random.default_rng(seed)
    return np.exp(spread * generator.standard_normal((count, replicates)))


def test_whoever_looks_after_every_replicate_sees_the_truth_held():
    missed = plain = 0
    for one in experiments(300, 100):
        looks = range(4, 101)
        missed += any(not _holds(sequence_interval(one[:n])) for n in looks)
        plain += any(not _holds(replicate_interval(one[:n])) for n in looks)
    # 5 % of 300 are 15; a chance of one in a hundred allows 24.
    assert missed <= 24
    # The interval for one look is missed by a third of those who look on and on.
    assert plain >= 75


def _holds(interval):
    return interval[0] <= 1 <= interval[1]


@pytest.mark.parametrize("precision", [0.02, 0.05])
def test_the_interval_at_which_one_stopped_holds_the_truth(precision):
    held = 0
    for one in experiments(300, 200, seed=1):
        count = next(n for n in range(4, 201) if precise_enough(one[:n], precision))
        low, high = sequence_interval(one[:count])
        assert high / np.sqrt(low * high) <= 1 + precision
        held += low <= 1 <= high
    assert held >= 0.93 * 300


def test_it_is_not_wider_than_it_must_be():
    for count in (5, 10, 20, 50, 100):
        values = experiments(1, count)[0]
        low, high = np.log(sequence_interval(values))
        plain_low, plain_high = np.log(replicate_interval(values))
        assert 1.5 < (high - low) / (plain_high - plain_low) < 2


def test_the_limit_of_the_likelihood_ratio_is_reached_at_its_ends():
    """By the ratio itself, integrated over effect sizes."""
    values = np.log(experiments(1, 8)[0])
    low, high = np.log(sequence_interval(np.exp(values)))
    effects = np.linspace(-12, 12, 4001)
    weights = np.exp(-(effects**2) / 8)
    weights /= weights.sum()
    scales = np.geomspace(1e-3, 10, 2000)
    for end in (low, high):
        distances = values - end
        # Densities over the scale, whose prior is 1 / scale.
        squares = (distances**2).sum()
        null = np.exp(-squares / (2 * scales**2)) * scales**-8
        mixture = np.zeros_like(scales)
        for effect, weight in zip(effects, weights, strict=True):
            squared = squares - 2 * effect * scales * distances.sum() + 8 * (effect * scales) ** 2
            mixture += weight * np.exp(-squared / (2 * scales**2)) * scales**-8
        assert 20 == pytest.approx(mixture.sum() / null.sum(), rel=1e-3)


def test_too_few_replicates_are_never_enough():
    assert sequence_interval([1.0, 2.0, 1.5]) is None
    assert sequence_interval([1.0, 2.0, 1.5, 0.0]) is None
    assert not precise_enough([1.0, 1.0, 1.0], 0.5)
    assert precise_enough([1.0, 1.0, 1.0, 1.0], 0.01)


def test_how_many_replicates_a_precision_takes():
    values = experiments(1, 10)[0]
    needed = replicates_needed(values, 0.02)
    spread = np.log(values).std(ddof=1)

    def like(count):
        """Replicates of exactly this spread."""
        ends = np.resize([-1.0, 1.0], count)
        return np.exp(spread * (ends - ends.mean()) / ends.std(ddof=1))

    assert precise_enough(like(needed), 0.02)
    assert not precise_enough(like(needed - 1), 0.02)
    assert 10 == replicates_needed(values, 0.5)
    assert replicates_needed(values[:1], 0.02) is None
    assert replicates_needed([1.0, 100.0], 1e-6) is None
