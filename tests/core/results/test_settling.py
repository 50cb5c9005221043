"""What readers are told of runs that settle, and of those that do not."""

import msgspec
import numpy as np

from edge_tester.core.results.settling import settling_of
from tests.report.records import record, replicate


def latencies(levels, seed, noise=0.03):
    """Latencies of these levels, (count, latency) each, with noise [ns]."""
    generator = np.random.default_rng(seed)
    parts = [level * generator.lognormal(0, noise, count) for count, level in levels]
    return np.concatenate(parts).astype(int).tolist()


def run_of(levels, replicates=5):
    return record(
        replicates=[replicate(latencies(levels, seed)) for seed in range(replicates)],
    )


def figures(one):
    return {figure.title: figure for figure in one.figures()}


def test_a_steady_run_carries_no_doubt():
    found = figures(run_of([(600, 100_000)]))
    assert ("flat", "5 replicates") == (found["Steady state"].text, found["Steady state"].detail)
    assert found["Latency p50"].detail.startswith("95 % interval")
    assert "Warm-up" not in found


def test_a_run_that_slows_down_carries_that_verdict():
    """A runtime that takes twice as long after 500 inferences."""
    one = run_of([(500, 100_000), (700, 200_000)])
    found = figures(one)
    assert "slow-down" == found["Steady state"].text
    assert found["Latency p50"].detail.endswith(", slowing down")
    assert "Latency p50" in one.summary() and "slowing down" in one.summary()


def test_a_warm_up_is_told_with_its_length():
    """500 inferences of 0.2 ms are 0.1 s."""
    found = figures(run_of([(500, 200_000), (1500, 100_000)]))
    assert "warm-up" == found["Steady state"].text
    number, unit = found["Warm-up"].text.split()
    assert 95 < float(number) < 105 and "ms" == unit
    assert "about 500 inferences; 95 % interval" in found["Warm-up"].detail


def test_replicates_that_differ_are_counted():
    settled = [replicate(latencies([(600, 100_000)], seed)) for seed in range(3)]
    warm = [replicate(latencies([(300, 200_000), (900, 100_000)], seed)) for seed in range(2)]
    slow = [replicate(latencies([(300, 100_000), (900, 200_000)], seed)) for seed in range(2)]
    found = settling_of([*settled, *warm])
    assert ("warm-up", "of 5 replicates: 3 flat, 2 warm-up") == (found.kind, found.detail)
    # Two tell how long it takes, but not how much that differs.
    assert "about 300 inferences" == found.warm_up[1]
    one = msgspec.structs.replace(record(), replicates=[*warm, *slow])
    found = figures(one)
    assert "inconsistent" == found["Steady state"].text
    assert "replicates disagree" in found["Latency p50"].detail


def test_what_is_too_short_to_tell_says_so():
    found = figures(run_of([(20, 100_000)]))
    assert "not available" == found["Steady state"].text
    assert "--min-duration-s" in found["Steady state"].detail
