import numpy as np
import pytest

from edge_tester.core.statistics.changepoints import SHORTEST, changepoints, noise_of
from edge_tester.core.statistics.steady import steadiness_of, steadiness_of_run
from tests.core.statistics.synthetic import latencies, machines


def noise(count, correlation=0.5, spread=0.02, seed=0):
    values = machines.normal_noise(np.random.default_rng(seed), (1, 1, count), correlation)
    return np.exp(spread * values[0, 0])


def brute_force(values, deviation):
    """The best segments of all, by trying them all."""
    count, penalty = len(values), 4 * np.log(len(values))

    def cost(begins):
        ends = [*begins[1:], count]
        if any(e - b < SHORTEST for b, e in zip(begins, ends, strict=True)):
            return np.inf
        parts = [values[b:e] for b, e in zip(begins, ends, strict=True)]
        within = sum(((one - one.mean()) ** 2).sum() for one in parts) / deviation**2
        return within + penalty * (len(begins) - 1)

    choices = [[0]]
    for place in range(1, count):
        choices += [[*one, place] for one in choices if len(one) < 4]
    return min(choices, key=cost)[1:]


@pytest.mark.parametrize("seed", range(5))
def test_changepoints_are_the_best_of_all(seed):
    generator = np.random.default_rng(seed)
    levels = np.repeat(generator.normal(0, 4, 3), [4, 7, 5])
    values = levels + generator.normal(0, 1, 16)
    assert brute_force(values, 1.0) == changepoints(values, 1.0)


def test_noise_is_that_about_the_levels():
    correlations, lasting = [], []
    for seed in range(40):
        values = np.log(noise(1000, 0.6, 1.0, seed)) + np.repeat([0, 2, -1, 1], 250)
        found = noise_of(values)
        correlations.append(found.correlation)
        lasting.append(found.lasting)
    assert 0.6 == pytest.approx(np.mean(correlations), abs=0.05)
    # 1 / (1 - 0.6) of what is new, which is the square root of 1 - 0.36, or a little more.
    assert 1.9 <= np.mean(lasting) <= 2.6


@pytest.mark.parametrize(
    ("correlation", "count"),
    [(0, 60), (0, 1000), (0.5, 60), (0.5, 200), (0.9, 200), (0.9, 1000), (0.9, 3000)],
)
def test_dependent_noise_is_no_change(correlation, count):
    kinds = [steadiness_of(noise(count, correlation, 0.05, seed)).kind for seed in range(100)]
    assert kinds.count("flat") >= 95


@pytest.mark.parametrize("name", ["heavy tails", "bimodal"])
def test_neither_heavy_tails_nor_modes_are_changes(name):
    kinds = [steadiness_of(one).kind for one in latencies(name, 1, 100, 1000)[0]]
    assert kinds.count("flat") >= 95


def test_single_outliers_change_nothing():
    for seed in range(20):
        spikes = np.where(np.random.default_rng(seed).random(1000) < 0.01, 100, 1)
        assert "flat" == steadiness_of(noise(1000, seed=seed) * spikes).kind
        slower = noise(1000, seed=seed) * spikes * np.repeat([1, 1.1], 500)
        assert "slow-down" == steadiness_of(slower).kind


@pytest.mark.parametrize("count", [1000, 5000])
def test_a_runtime_that_gets_slower_after_500_inferences_slows_down(count):
    for seed in range(20):
        values = 1e5 * noise(count, seed=seed)
        values[500:] *= 1.2
        found = steadiness_of(values)
        assert "slow-down" == found.kind
        assert 500 == pytest.approx(found.begin, abs=10)
        assert values[: found.begin].sum() == found.begin_ns
        assert 1.2 == pytest.approx(
            found.levels[-1].latency_ns / found.levels[0].latency_ns, rel=0.02
        )


def test_a_slow_down_near_the_end_is_seen_but_not_steady():
    values = noise(1000)
    values[850:] *= 1.2
    found = steadiness_of(values)
    assert ("slow-down", None, None) == (found.kind, found.begin, found.begin_ns)


def test_a_target_that_gets_hot_slows_down():
    """Its clock goes down step by step, then stays."""
    for seed in range(20):
        values = noise(3000, seed=seed)
        values *= 1 + 0.3 * np.clip((np.arange(3000) - 600) / 900, 0, 1)
        assert "slow-down" == steadiness_of(values).kind
        endless = noise(3000, seed=seed) * np.linspace(1, 1.4, 3000)
        assert "slow-down" == steadiness_of(endless).kind


def test_a_warm_up_ends_where_it_ends():
    for seed in range(20):
        values = noise(2000, seed=seed)
        values *= 1 + 0.5 * np.exp(-np.arange(2000) / 100)
        found = steadiness_of(values)
        assert "warm-up" == found.kind
        # By then it is within 15 % to 0.5 % of the end.
        assert 120 <= found.begin <= 460


@pytest.mark.parametrize("period", [300, 600])
def test_what_never_settles_has_no_steady_state(period):
    for seed in range(20):
        values = noise(3000, seed=seed)
        values *= np.where(np.arange(3000) // period % 2, 1.2, 1)
        found = steadiness_of(values)
        assert ("no steady state", None) == (found.kind, found.begin)


def test_what_swings_on_a_higher_level_has_no_steady_state():
    values = noise(3000) * np.repeat([1, 1.4, 1.2, 1.4, 1.2, 1.4], [700, 700, 500, 400, 350, 350])
    found = steadiness_of(values)
    assert 6 == len(found.levels)
    assert "no steady state" == found.kind


def test_a_warm_up_that_has_not_ended_is_no_steady_state():
    assert "no steady state" == steadiness_of(noise(3000) * np.linspace(1.4, 1, 3000)).kind


def test_a_short_disturbance_leaves_a_flat_run_flat():
    values = noise(2000)
    values[700:800] *= 1.5
    found = steadiness_of(values)
    assert ("flat", 0, 0) == (found.kind, found.begin, found.begin_ns)
    assert 3 == len(found.levels)


def test_a_short_disturbance_in_the_end_hides_no_slow_down():
    values = noise(2000)
    values[800:] *= 1.2
    values[1700:1760] *= 1.5
    values[1950:] *= 1.5
    found = steadiness_of(values)
    assert "slow-down" == found.kind
    assert 800 == pytest.approx(found.begin, abs=10)


def test_a_difference_that_does_not_matter_is_none():
    values = noise(5000, 0, 0.005)
    values[2500:] *= 1.01
    found = steadiness_of(values)
    assert 2 == len(found.levels)
    assert "flat" == found.kind


def test_few_latencies_are_not_judged():
    assert "too short" == steadiness_of(np.full(29, 100)).kind
    assert "flat" == steadiness_of(np.full(30, 100)).kind
    assert "too short" == steadiness_of([]).kind


def test_latencies_of_a_coarse_clock_are_judged():
    values = np.random.default_rng(0).choice([100, 101], 1000, p=[0.9, 0.1])
    assert "flat" == steadiness_of(values).kind
    values[500:] += 20
    assert "slow-down" == steadiness_of(values).kind


def of_kind(kind):
    rising, falling = noise(1000) * np.repeat([1, 1.3], 500), noise(1000) * np.repeat([1.3, 1], 500)
    swinging = noise(1000) * np.tile(np.repeat([1, 1.3], 100), 5)
    examples = {
        "flat": noise(1000),
        "warm-up": falling,
        "slow-down": rising,
        "no steady state": swinging,
        "too short": noise(20),
    }
    found = steadiness_of(examples[kind])
    assert kind == found.kind
    return found


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["flat", "flat"], "flat"),
        (["flat", "warm-up"], "warm-up"),
        (["slow-down", "flat", "flat"], "slow-down"),
        (["slow-down", "warm-up"], "inconsistent"),
        (["no steady state", "no steady state"], "no steady state"),
        (["no steady state", "flat"], "inconsistent"),
        (["too short", "flat"], "flat"),
        (["too short"], "too short"),
        ([], "too short"),
    ],
)
def test_the_class_of_a_run_is_that_of_its_replicates(kinds, expected):
    assert expected == steadiness_of_run([of_kind(kind) for kind in kinds])
