"""A model compared with itself."""

import numpy as np
import pytest

from edge_tester.core.errors import RecordError
from edge_tester.core.results.calibration import calibrated
from tests.core.results.series import disturbed, measured


def pair(replicates=20, *, second_ns=100_000, own_noise=0.005, seed=1):
    machine = disturbed(seed, replicates)
    return [
        measured(name, scale_ns, machine, seed + number, together="t", noise=own_noise)
        for number, (name, scale_ns) in enumerate((("a", 100_000), ("a-again", second_ns)))
    ]


def judged(records, replicates=5):
    return calibrated(*records, replicates=replicates, margin=0.01, duration_s=40.0)


def test_comparisons_of_the_same_err_as_seldom_as_they_should():
    found = [judged(pair(seed=seed)) for seed in range(0, 100, 10)]
    assert np.mean([one.false_alarms for one in found]) < 0.03
    assert np.mean([one.coverage for one in found]) > 0.93


def test_intervals_that_are_too_narrow_are_found(monkeypatch):
    """As if a process were all that there is: each interval a tenth as wide."""

    def narrow(values):
        middle = float(np.exp(np.log(values).mean()))
        half = 0.1 * float(np.std(np.log(values)))
        return middle * np.exp(-half), middle * np.exp(half)

    monkeypatch.setattr("edge_tester.core.results.calibration.replicate_interval", narrow)
    assert judged(pair()).coverage < 0.4


def test_the_smallest_change_follows_from_the_spread():
    """Twice the noise hides twice as much; four times as many pairs see half as much."""
    quiet, noisy = judged(pair(own_noise=0.005)), judged(pair(own_noise=0.01))
    assert 1.5 < noisy.spread / quiet.spread < 2.5
    changes = {one.pairs: one.change for one in quiet.detectable}
    assert 2 < changes[10] / changes[40] < 2.4
    assert [10.0, 20.0, 40.0, 80.0] == [one.duration_s for one in quiet.detectable]
    # The expected one: two quantiles of t, times the spread by the root of ten.
    assert 3.70 * quiet.spread / np.sqrt(10) == pytest.approx(changes[10], rel=0.05)


def test_a_difference_of_the_two_counts_as_noise():
    """The two are the same: what is not is a defect of the measurement, and hides as much."""
    assert judged(pair(second_ns=110_000)).spread > 0.09


def test_too_few_pairs_are_refused():
    with pytest.raises(RecordError, match="at least 5 pairs of replicates, got 3"):
        judged(pair(3))
