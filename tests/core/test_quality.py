import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_tester.core.classification import ClassificationAccumulator
from edge_tester.core.errors import DatasetError, InputError
from edge_tester.core.quality import NoAccumulator, RegressionAccumulator
from edge_tester.core.run.evaluation import accumulator_for


def classification(samples, classes, seed=0):
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, samples)
    scores = generator.normal(size=(samples, classes)).astype(np.float32)
    scores[np.arange(samples), truth] += 1
    return scores, truth


def fed(accumulator, values, truth):
    accumulator.update(values, truth)
    return accumulator


class TestClassification:
    def test_agrees_with_scikit_learn(self):
        scores, truth = classification(500, 10)
        result = fed(ClassificationAccumulator(), scores, truth).result()
        winners = scores.argmax(axis=1)
        metrics = sklearn.metrics
        assert metrics.accuracy_score(truth, winners) == result.accuracy
        assert metrics.top_k_accuracy_score(truth, scores, k=5) == result.top5_accuracy
        assert metrics.confusion_matrix(truth, winners).tolist() == result.confusion_matrix
        precision, recall, f1, support = metrics.precision_recall_fscore_support(truth, winners)
        assert support.tolist() == [c.support for c in result.per_class]
        assert precision == pytest.approx([c.precision for c in result.per_class])
        assert recall == pytest.approx([c.recall for c in result.per_class])
        assert f1 == pytest.approx([c.f1 for c in result.per_class])

    def test_undefined_figures_are_none(self):
        scores = np.eye(4)[[0, 0, 1]]
        result = fed(ClassificationAccumulator(), scores, np.array([0, 0, 2])).result()
        facts = [(c.support, c.precision, c.recall, c.f1) for c in result.per_class]
        assert [(2, 1.0, 1.0, 1.0), (0, 0.0, None, 0.0), (1, None, 0.0, 0.0)] == facts[:3]
        assert (0, None, None, None) == facts[3]

    def test_nothing_seen(self):
        result = ClassificationAccumulator(["a", "b"]).result()
        assert (0, None, None) == (result.samples, result.accuracy, result.top5_accuracy)
        assert [[0, 0], [0, 0]] == result.confusion_matrix

    @pytest.mark.parametrize(("classes", "has"), [(5, False), (6, True)])
    def test_top5_needs_six_classes(self, classes, has):
        result = fed(ClassificationAccumulator(), *classification(50, classes)).result()
        assert has == (result.top5_accuracy is not None)

    def test_equal_scores_give_the_lower_class(self):
        accumulator = ClassificationAccumulator()
        accumulator.update(np.zeros((7, 7)), np.arange(7))
        assert 1 / 7 == accumulator.result().accuracy
        assert 5 / 7 == accumulator.result().top5_accuracy
        assert [0] * 7 == accumulator.predicted(np.zeros((7, 7)))

    def test_names_beyond_those_given_are_indices(self):
        accumulator = fed(ClassificationAccumulator(["cat", "dog"]), *classification(20, 4))
        assert ["cat", "dog", "2", "3"] == [c.name for c in accumulator.result().per_class]

    def test_more_names_than_scores(self):
        accumulator = ClassificationAccumulator([str(i) for i in range(10)])
        accumulator.update(np.eye(3), np.array([0, 1, 9]))
        assert 2 / 3 == accumulator.result().accuracy == accumulator.result().top5_accuracy

    @pytest.mark.parametrize("shape", [(4, 1), (4,)])
    def test_a_single_probability_is_thresholded(self, shape):
        probabilities = np.array([0.2, 0.5, 0.51, 0.9], np.float32).reshape(shape)
        accumulator = ClassificationAccumulator()
        accumulator.update(probabilities, np.array([0, 1, 1, 1]))
        predicted = accumulator.settled(accumulator.predicted(probabilities))
        assert [0, 0, 1, 1] == predicted
        assert [[1, 0], [1, 2]] == accumulator.result().confusion_matrix

    @pytest.mark.parametrize("label", [0, 1])
    @pytest.mark.parametrize("width", [1, 3])
    def test_nan_is_never_right(self, label, width):
        accumulator = ClassificationAccumulator()
        scores = np.full((1, width), np.nan, np.float32)
        accumulator.update(scores, np.array([label]))
        result = accumulator.result()
        assert 0.0 == result.accuracy
        assert 0.0 == result.per_class[label].recall
        assert 1 == result.per_class[label].support
        assert 0 == np.sum(result.confusion_matrix)
        assert [None] == accumulator.predicted(scores)

    def test_nan_is_not_among_the_best_five(self):
        scores = np.full((1, 10), np.nan)
        assert 0.0 == fed(ClassificationAccumulator(), scores, np.array([0])).result().top5_accuracy

    def test_infinite_scores_are_ordered(self):
        scores = np.array([[-np.inf, 0, np.inf]])
        assert [2] == ClassificationAccumulator().predicted(scores)

    def test_single_axes_of_the_model_are_dropped(self):
        scores, truth = classification(20, 4)
        wide = fed(ClassificationAccumulator(), scores.reshape(20, 1, 1, 4), truth)
        assert fed(ClassificationAccumulator(), scores, truth).result() == wide.result()

    @pytest.mark.parametrize(
        "scores", [np.zeros((2, 3, 4)), np.array(["a", "b"]), np.zeros((2, 3), complex)]
    )
    def test_other_shapes_are_refused(self, scores):
        with pytest.raises(InputError, match="scores of shape"):
            ClassificationAccumulator().update(scores, np.zeros(2, int))

    @pytest.mark.parametrize(
        "truth", [None, np.array([0.0, 1.0]), np.array([0]), np.array([0, 3]), np.array([-1, 0])]
    )
    def test_impossible_truth_is_refused(self, truth):
        accumulator = ClassificationAccumulator()
        with pytest.raises(DatasetError):
            accumulator.update(np.zeros((2, 3)), truth)
        assert 0 == accumulator.result().samples

    def test_memory_is_bounded_by_the_classes(self):
        accumulator = ClassificationAccumulator()
        for seed in range(20):
            accumulator.update(*classification(100, 3, seed))
        assert 2000 == accumulator.result().samples
        assert 9 == accumulator.counts[0.5].confusion.size

    @given(st.integers(0, 30), st.integers(2, 8), st.integers(2, 8))
    @settings(deadline=None, max_examples=50)
    def test_merging_is_the_same_as_all_at_once(self, cut, classes, more):
        scores, truth = classification(30, classes)
        other_scores, other_truth = classification(10, more)
        whole, first, second = (ClassificationAccumulator(["a"]) for _ in range(3))
        whole.update(scores, truth)
        whole.update(other_scores, other_truth)
        first.update(scores[:cut], truth[:cut])
        second.update(scores[cut:], truth[cut:])
        second.update(other_scores, other_truth)
        first.merge(second)
        assert whole.result() == first.result()


class TestRegression:
    def test_agrees_with_scikit_learn(self):
        generator = np.random.default_rng(0)
        truth = generator.normal(size=(200, 3)) * [1, 10, 100]
        values = truth + generator.normal(size=(200, 3))
        accumulator = RegressionAccumulator()
        for start in range(0, 200, 7):
            accumulator.update(values[start : start + 7], truth[start : start + 7])
        result = accumulator.result()
        metrics = sklearn.metrics
        assert metrics.mean_squared_error(truth, values) == pytest.approx(result.mse)
        assert metrics.mean_absolute_error(truth, values) == pytest.approx(result.mae)
        assert metrics.r2_score(truth, values) == pytest.approx(result.r2)

    def test_is_stable_far_from_zero(self):
        truth = 1e9 + np.arange(1000.0) / 1000
        accumulator = RegressionAccumulator()
        for start in range(0, 1000, 10):
            accumulator.update(truth[start : start + 10] + 0.1, truth[start : start + 10])
        expected = sklearn.metrics.r2_score(truth, truth + 0.1)
        assert expected == pytest.approx(accumulator.result().r2, rel=1e-6)

    def test_a_column_fits_a_vector_and_is_never_broadcast(self):
        truth = np.arange(4.0)
        result = fed(RegressionAccumulator(), truth[:, np.newaxis], truth).result()
        assert (0.0, 0.0, 1.0) == (result.mse, result.mae, result.r2)

    @pytest.mark.parametrize("shape", [(4, 2), (3,)])
    def test_other_sizes_are_refused(self, shape):
        with pytest.raises(InputError, match="shape"):
            RegressionAccumulator().update(np.zeros(shape), np.zeros(4))

    def test_missing_truth_is_refused(self):
        with pytest.raises(DatasetError, match="true values"):
            RegressionAccumulator().update(np.zeros(4), None)

    def test_constant_truth_has_no_r2(self):
        result = fed(RegressionAccumulator(), np.zeros(4), np.ones(4)).result()
        assert (1.0, 1.0, None) == (result.mse, result.mae, result.r2)

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_non_finite_predictions_leave_nothing_to_say(self, bad):
        result = fed(RegressionAccumulator(), np.array([bad, 1.0]), np.array([0.0, 1.0])).result()
        assert (2, None, None, None) == (result.samples, result.mse, result.mae, result.r2)

    def test_nothing_seen(self):
        result = RegressionAccumulator().result()
        assert (0, None, None, None) == (result.samples, result.mse, result.mae, result.r2)

    def test_predictions_are_plain_nested_lists(self):
        values = np.array([[1, 2], [3, 4]], np.float32)
        assert [[1.0, 2.0], [3.0, 4.0]] == RegressionAccumulator().predicted(values)

    @given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40), st.data())
    @settings(deadline=None, max_examples=50)
    def test_merging_is_the_same_as_all_at_once(self, numbers, data):
        truth = np.array(numbers)
        values = truth[::-1].copy()
        cut = data.draw(st.integers(0, len(truth)))
        whole, first, second = (RegressionAccumulator() for _ in range(3))
        whole.update(values, truth)
        first.update(values[:cut], truth[:cut])
        second.update(values[cut:], truth[cut:])
        first.merge(second)
        expected, actual = whole.result(), first.result()
        assert expected.samples == actual.samples
        assert expected.mse == pytest.approx(actual.mse)
        assert expected.mae == pytest.approx(actual.mae)
        deviations = pytest.approx(whole.squared_deviations, rel=1e-9, abs=1e-3)
        assert deviations == first.squared_deviations


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[0.2, 0.8], [0.5, 0.5]], [pytest.approx(0.6), 0.0]),
        ([[0.25], [np.nan]], [0.25, None]),
        ([0.5, np.inf], [0.5, None]),
        ([[0.2, 0.3, 0.5]], None),
    ],
)
def test_what_sorts_two_classes(values, expected):
    assert expected == ClassificationAccumulator().class_scores(np.array(values))
    assert ClassificationAccumulator().class_scores(np.array([1, 0])) is None
    assert RegressionAccumulator().class_scores(np.array([[1.0, 2.0]])) is None


def test_no_task_counts_only():
    one, other = NoAccumulator(), NoAccumulator()
    one.update(np.zeros((3, 2)), None)
    other.update(np.zeros((4, 2)), None)
    one.merge(other)
    assert (7, "none") == (one.result().samples, one.result().task)
    assert [] == one.predicted(np.zeros((3, 2)))


@pytest.mark.parametrize("task", ["classification", "regression", "none"])
def test_the_task_decides(task):
    assert task == accumulator_for(task, []).result().task
