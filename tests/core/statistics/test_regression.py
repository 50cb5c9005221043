import numpy as np
import pytest
from scipy import stats

from edge_tester.core.errors import RecordError
from edge_tester.core.quality import RegressionAccumulator
from edge_tester.core.statistics.regression import regression_intervals


def predictions(samples, seed=0, outputs=1):
    generator = np.random.default_rng(seed)
    truth = generator.normal(5, 2, (samples, outputs))
    return truth + generator.normal(0, 1, truth.shape), truth


def figures(predicted, truth):
    accumulator = RegressionAccumulator()
    accumulator.update(predicted, truth)
    return accumulator.result()


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("samples", [50, 5000])
def test_the_figures_lie_in_their_intervals(samples, outputs):
    predicted, truth = predictions(samples, outputs=outputs)
    found, quality = regression_intervals(predicted, truth), figures(predicted, truth)
    for name in ("mse", "mae", "r2"):
        low, high = getattr(found, name)
        assert low < getattr(quality, name) < high


def test_the_intervals_hold_as_often_as_they_say():
    # Of errors of variance 1 about a truth of variance 4.
    true = {"mse": 1.0, "mae": np.sqrt(2 / np.pi), "r2": 0.75}
    held = dict.fromkeys(true, 0)
    for seed in range(150):
        found = regression_intervals(*predictions(100, seed))
        for name, value in true.items():
            low, high = getattr(found, name)
            held[name] += low <= value <= high
    assert min(held.values()) >= 0.9 * 150
    assert max(held.values()) <= 0.993 * 150


def test_the_interval_of_skewed_errors_is_scipys():
    generator = np.random.default_rng(0)
    predicted, truth = generator.exponential(1, (60, 1)) ** 1.5, np.zeros((60, 1))
    squared = predicted[:, 0] ** 2
    expected = stats.bootstrap((squared,), np.mean, n_resamples=9999, method="BCa", rng=1)
    low, high = regression_intervals(predicted, truth).mse
    assert expected.confidence_interval.low == pytest.approx(low, rel=0.06)
    assert expected.confidence_interval.high == pytest.approx(high, rel=0.1)


def test_groups_of_samples_change_nothing():
    """5,000 samples are resampled in 2,000 groups; a mean's interval is known without."""
    predicted, truth = predictions(5000)
    squared = (predicted - truth)[:, 0] ** 2
    half = 1.96 * stats.sem(squared)
    low, high = regression_intervals(predicted, truth).mse
    assert squared.mean() - half == pytest.approx(low, abs=half / 5)
    assert squared.mean() + half == pytest.approx(high, abs=half / 5)


def test_a_truth_that_does_not_vary_has_no_r2():
    predicted, _ = predictions(50)
    found = regression_intervals(predicted, np.full((50, 1), 5.0))
    assert found.r2 is None
    assert found.mse is not None


def test_predictions_without_error_have_an_interval_of_no_width():
    _, truth = predictions(50)
    found = regression_intervals(truth, truth)
    assert ((0.0, 0.0), (0.0, 0.0), (1.0, 1.0)) == tuple(found)


def test_what_cannot_be_known_is_none():
    predicted, truth = predictions(50)
    assert (None, None, None) == tuple(regression_intervals(predicted[:19], truth[:19]))
    predicted[3] = np.inf
    assert (None, None, None) == tuple(regression_intervals(predicted, truth))
    with pytest.raises(RecordError, match=r"shape \(50, 1\), true \(49, 1\)"):
        regression_intervals(predicted, truth[:49])


def test_the_same_values_give_the_same_intervals():
    values = predictions(50)
    assert regression_intervals(*values) == regression_intervals(*values)
    assert regression_intervals(*values) != regression_intervals(*values, seed=1)
