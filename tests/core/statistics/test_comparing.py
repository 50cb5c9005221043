import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edge_tester.core.errors import RecordError
from edge_tester.core.statistics.comparing import (
    adjusted,
    compare_apart,
    compare_pairs,
    corrected,
    ratio_in_turns,
)

EXPERIMENTS = 1200


def pairs(true, spread, count, seed=0, experiments=EXPERIMENTS):
    """Ratios of repeated experiments in which B takes ``true`` times as long."""
    generator = np.random.default_rng(seed)
    return true * np.exp(spread * generator.standard_normal((experiments, count)))


def apart(true, spread, count, seed=0):
    generator = np.random.default_rng(seed)
    noise = np.exp(spread * generator.standard_normal((2, EXPERIMENTS, count)))
    return zip(noise[0], true * noise[1], strict=True)


def shares(comparisons):
    """The share of each verdict, in per cent."""
    verdicts = [one.verdict for one in comparisons]
    kinds = ("faster", "slower", "equivalent", "unknown")
    return {kind: 100 * verdicts.count(kind) / len(verdicts) for kind in kinds}


@given(st.lists(st.floats(0.5, 2), min_size=2, max_size=20, unique=True))
def test_pairs_are_compared_as_scipy_does(ratios):
    found = compare_pairs(ratios)
    expected = stats.ttest_1samp(np.log(ratios), 0)
    interval = np.exp(expected.confidence_interval(found.confidence))
    assert expected.pvalue == pytest.approx(found.difference_p, rel=1e-6, abs=1e-12)
    assert pytest.approx(tuple(interval), rel=1e-9) == (found.low, found.high)
    assert np.exp(np.mean(np.log(ratios))) == pytest.approx(found.ratio)


@given(
    st.lists(st.floats(1, 1e9), min_size=2, max_size=9, unique=True),
    st.lists(st.floats(1, 1e9), min_size=2, max_size=9, unique=True),
)
def test_what_was_measured_apart_is_compared_as_scipy_does(a, b):
    found = compare_apart(a, b)
    expected = stats.ttest_ind(np.log(b), np.log(a), equal_var=False)
    assert expected.pvalue == pytest.approx(found.difference_p, rel=1e-6, abs=1e-12)
    interval = np.exp(expected.confidence_interval(found.confidence))
    assert pytest.approx(tuple(interval), rel=1e-6) == (found.low, found.high)
    assert min(len(a), len(b)) == found.replicates


def test_two_one_sided_tests_are_the_interval_within_the_margin():
    for ratios in pairs(1.005, 0.01, 6, experiments=300):
        found = compare_pairs(ratios, 0.02)
        within = 1 / 1.02 < found.low and found.high < 1.02
        assert within == (found.equivalence_p < 0.05) == (found.verdict == "equivalent")


@pytest.mark.parametrize("margin", [0.001, 0.01])
@pytest.mark.parametrize(("spread", "count"), [(0.003, 5), (0.03, 10)])
def test_the_same_thing_twice_is_seldom_told_apart(margin, spread, count):
    found = shares(compare_pairs(one, margin) for one in pairs(1, spread, count))
    # 2 % of 1,200 and three standard errors.
    assert found["faster"] + found["slower"] <= 3.2
    together = shares(compare_apart(a, b, margin) for a, b in apart(1, spread, count))
    assert together["faster"] + together["slower"] <= 3.2


def test_a_slow_down_of_1_percent_is_found_in_quiet_data():
    found = shares(compare_pairs(one) for one in pairs(1.01, 0.0028, 10))
    assert found["slower"] >= 95
    assert found["faster"] == 0
    found = shares(compare_pairs(one, 0.005) for one in pairs(1.01, 0.0028, 5))
    assert found["slower"] >= 95


def test_verdicts_of_the_wrong_sign_are_rare():
    for true in (1.001, 1.003, 1.01):
        found = shares(compare_pairs(one, 0.001) for one in pairs(true, 0.01, 5))
        assert found["faster"] <= 1


def test_equivalence_is_not_given_to_what_differs_by_the_margin():
    for true in (1.02, 1 / 1.02):
        found = shares(compare_pairs(one, 0.02) for one in pairs(true, 0.01, 8))
        assert found["equivalent"] <= 3.6
    found = shares(compare_pairs(one, 0.02) for one in pairs(1, 0.01, 16))
    assert found["equivalent"] >= 95


@pytest.mark.parametrize("shift", [0.999, 1.005, 1.012])
def test_more_replicates_give_a_verdict_as_often_as_said(shift):
    undecided = compare_pairs([shift * one for one in (1.02, 0.99, 1.01, 1.0, 0.98)], 0.01)
    assert "unknown" == undecided.verdict
    count = undecided.replicates + undecided.more
    spread = undecided.error * np.sqrt(5)
    found = shares(compare_pairs(one, 0.01) for one in pairs(undecided.ratio, spread, count))
    # Of 80 % or more, with three standard errors; a fifth of the replicates are not enough.
    assert found["unknown"] <= 23
    few = pairs(undecided.ratio, spread, max(2, count // 5))
    assert shares(compare_pairs(one, 0.01) for one in few)["unknown"] >= 40


def test_more_replicates_give_a_verdict_of_what_was_measured_apart_too():
    a, b = [100.0, 103.0, 98.0, 101.0], [101.0, 99.0, 104.0, 103.0]
    undecided = compare_apart(a, b, 0.01)
    count = 4 + undecided.more
    spread = [np.log(one).std(ddof=1) for one in (a, b)]
    generator = np.random.default_rng(0)
    first = np.exp(spread[0] * generator.standard_normal((EXPERIMENTS, count)))
    second = undecided.ratio * np.exp(spread[1] * generator.standard_normal((EXPERIMENTS, count)))
    found = shares(compare_apart(x, y, 0.01) for x, y in zip(first, second, strict=True))
    assert found["unknown"] <= 23


@given(st.lists(st.floats(0, 0.1), min_size=1, max_size=9))
def test_holm_is_what_stepping_down_rejects(p_values):
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    rejected = set()
    for rank, place in enumerate(order):
        if (len(p_values) - rank) * p_values[place] >= 0.05:
            break
        rejected.add(place)
    assert rejected == {place for place, p in enumerate(adjusted(p_values)) if p < 0.05}


def test_a_family_of_equal_things_is_seldom_told_apart():
    generator = np.random.default_rng(0)
    false = alone = 0
    for _ in range(200):
        family = [
            compare_pairs(one, 0.001) for one in np.exp(0.01 * generator.standard_normal((8, 6)))
        ]
        alone += any(one.verdict in ("faster", "slower") for one in family)
        false += any(one.verdict in ("faster", "slower") for one in corrected(family))
    assert false <= 0.04 * 200 < 0.1 * 200 <= alone


def test_the_intervals_of_a_family_fit_its_verdicts():
    generator = np.random.default_rng(1)
    for _ in range(200):
        true = np.exp(0.02 * generator.standard_normal((6, 1)))
        noise = np.exp(0.01 * generator.standard_normal((6, 5)))
        family = corrected([compare_pairs(one, 0.015) for one in true * noise])
        for one in family:
            assert 0.95 <= one.confidence < 1
            within = 1 / 1.015 < one.low and one.high < 1.015
            assert (one.verdict == "equivalent") == within
            assert (one.verdict in ("faster", "slower")) == (one.difference_shown and not within)


def test_a_family_of_one_is_as_it_was():
    one = compare_pairs([1.02, 1.05, 1.01, 1.03])
    (same,) = corrected([one])
    assert (one.verdict, one.more) == (same.verdict, same.more)
    assert (pytest.approx(one.low), pytest.approx(one.high)) == (same.low, same.high)


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ([1.0, 1.0, 1.0], ("equivalent", 1.0, 1.0)),
        ([1.5, 1.5, 1.5], ("slower", 1.5, 1.5)),
        ([0.5, 0.5, 0.5], ("faster", 0.5, 0.5)),
    ],
)
def test_what_never_varies_has_a_verdict(ratios, expected):
    found = compare_pairs(ratios)
    verdict, low, high = expected
    assert (verdict, pytest.approx(low), pytest.approx(high)) == (
        found.verdict,
        found.low,
        found.high,
    )


@pytest.mark.parametrize(
    ("ratios", "margin", "expected"),
    [
        (
            [1.0302, 1.0309, 1.0295, 1.0300, 1.0304],
            0.01,
            "new is slower than old: it takes 3.02 % more time (98 % interval: 2.93 to 3.11 % "
            "more).",
        ),
        (
            [1.0302, 1.0209, 1.0095, 1.0300, 1.0104],
            0.01,
            "new is slower than old: it takes 2.02 % more time (98 % interval: 0.34 to 3.72 % "
            "more). It may be less than the margin of 1 %.",
        ),
        (
            [0.7, 0.71, 0.69, 0.70],
            0.01,
            "new is faster than old: it takes 30.0 % less time (98 % interval: 28.1 to 31.8 % "
            "less).",
        ),
        (
            [2.4, 2.6, 2.5, 2.5],
            0.01,
            "new is slower than old: it takes 2.50 times as long (98 % interval: 2.32 to 2.69 "
            "times).",
        ),
        (
            [1.001, 0.999, 1.002, 0.998],
            0.01,
            "old and new are equivalent: new takes between 0.29 % less and 0.29 % more time (95 % "
            "interval), all within the margin of 1 %.",
        ),
        (
            [1.003, 1.004, 1.0035, 1.0032],
            0.01,
            "old and new are equivalent: new takes 0.27 to 0.41 % more time (95 % interval), a "
            "difference, but one within the margin of 1 %.",
        ),
        (
            [1.03, 0.99, 1.02, 0.98],
            0.01,
            "It is not known whether old or new is faster: new takes between 4.78 % less and 6.03 "
            "% more time (98 % interval), which shows neither a difference nor that it is within "
            "the margin of 1 %. It needs about 219 more replicates of each.",
        ),
    ],
)
def test_a_verdict_is_a_sentence(ratios, margin, expected):
    assert expected == compare_pairs(ratios, margin).sentence("old", "new")


@pytest.mark.parametrize("ratios", [[], [1.0], [1.0, 0.0], [1.0, -2.0]])
def test_too_little_is_not_compared(ratios):
    with pytest.raises(RecordError, match="at least two ratios, all above 0"):
        compare_pairs(ratios)
    with pytest.raises(RecordError, match="at least two replicates of B, all above 0"):
        compare_apart([1.0, 2.0], ratios)


def test_without_a_margin_what_seems_equal_may_never_be_told_apart():
    found = compare_pairs([1.1, 1 / 1.1], 0.0)
    assert ("unknown", None) == (found.verdict, found.more)
    assert found.sentence().endswith("It needs more replicates of each.")


def test_what_happens_to_both_blocks_of_a_turn_cancels_out():
    generator = np.random.default_rng(0)
    state = np.exp(0.3 * generator.standard_normal((8, 1)))
    a = list(1e5 * state * np.exp(0.01 * generator.standard_normal((8, 50))))
    b = list(1.02e5 * state * np.exp(0.01 * generator.standard_normal((8, 50))))
    assert 1.02 == pytest.approx(ratio_in_turns(a, b), abs=0.003)
    # Nor does what happens to one block.
    b[3] = 5 * b[3]
    assert 1.02 == pytest.approx(ratio_in_turns(a, b), abs=0.003)


@pytest.mark.parametrize(("a", "b"), [([], []), ([[1]], [[1], [2]]), ([[1]], [[]])])
def test_turns_that_are_none_have_no_ratio(a, b):
    with pytest.raises(RecordError, match="as many blocks"):
        ratio_in_turns(a, b)


def test_very_many_turns_are_compared_as_few_are():
    """An hour has 36,000 blocks: all pairs of them would not fit into memory."""
    generator = np.random.default_rng(0)
    machine = np.exp(generator.normal(0, 0.02, 40_000).cumsum() / 50)
    a = [np.array([100_000 * level]) for level in machine]
    b = [np.array([103_000 * level * generator.lognormal(0, 0.02)]) for level in machine]
    assert 1.03 == pytest.approx(ratio_in_turns(a, b), rel=1e-3)
