import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from edge_tester.core.errors import RecordError
from edge_tester.core.statistics.ranking import roc_area


def scores(positives, negatives, distance, seed=0):
    generator = np.random.default_rng(seed)
    values = generator.normal(0, 1, positives + negatives)
    labels = np.arange(positives + negatives) < positives
    return values + distance * labels, labels


@pytest.mark.parametrize("seed", range(5))
def test_the_area_is_that_of_scikit_learn(seed):
    values, labels = scores(20, 30, 1, seed)
    for one in (values, np.round(values)):
        assert roc_auc_score(labels, one) == pytest.approx(roc_area(one, labels).area)


def test_the_variance_is_delongs_by_its_definition():
    values, labels = scores(12, 17, 1)
    psi = np.sign(values[labels][:, None] - values[~labels][None, :]) / 2 + 0.5
    variance = psi.mean(axis=1).var(ddof=1) / 12 + psi.mean(axis=0).var(ddof=1) / 17
    area = psi.mean()
    half = 1.959964 * np.sqrt(variance) / (area * (1 - area))
    ends = [1 / (1 + np.exp(-(np.log(area / (1 - area)) + sign * half))) for sign in (-1, 1)]
    assert pytest.approx((area, *ends)) == tuple(roc_area(values, labels))


@pytest.mark.parametrize(("positives", "negatives"), [(20, 40), (100, 100)])
@pytest.mark.parametrize("distance", [0, 1, 2.5])
def test_the_interval_holds_as_often_as_it_says(positives, negatives, distance):
    true = stats.norm.cdf(distance / np.sqrt(2))
    found = [roc_area(*scores(positives, negatives, distance, seed)) for seed in range(500)]
    assert 0.92 <= np.mean([one.low <= true <= one.high for one in found]) <= 0.985


def test_classes_told_apart_without_a_mistake_may_be_so_by_luck():
    area, low, high = roc_area([1, 2, 3, 4, 5, 6], [False, False, False, True, True, True])
    assert (1.0, 1.0) == (area, high)
    assert 0.5 < low < 0.8
    reversed_area = roc_area([6, 5, 4, 3, 2, 1], [False, False, False, True, True, True])
    assert (0.0, 0.0, pytest.approx(1 - low)) == tuple(reversed_area)
    assert roc_area(*scores(1, 30, 1)).low < 0.5


@pytest.mark.parametrize(
    ("values", "labels"),
    [([1, 2], [True, True]), ([1, 2], [False, False]), ([1], [True, False]), ([], [])],
)
def test_one_class_has_no_area(values, labels):
    with pytest.raises(RecordError, match="both classes"):
        roc_area(values, labels)


def test_scores_that_are_no_numbers_have_no_area():
    with pytest.raises(RecordError, match="one number per sample"):
        roc_area([1.0, float("nan")], [True, False])
