import math

import numpy as np
import pytest
from scipy import stats

from edge_tester.core.errors import RecordError
from edge_tester.core.statistics.paired import PairedAnswers, paired_answers


def answers(samples, now_right, now_wrong):
    return PairedAnswers(samples=samples, now_right=now_right, now_wrong=now_wrong)


def test_answers_are_counted_by_sample():
    first = [True, True, True, False, False, True]
    second = [True, False, False, True, False, True]
    assert answers(6, 1, 2) == paired_answers(first, second)
    assert 1 / 6 == pytest.approx(paired_answers(first, second).loss)


@pytest.mark.parametrize(("first", "second"), [([], []), ([True], [True, False])])
def test_answers_to_other_samples_are_not_compared(first, second):
    with pytest.raises(RecordError, match="same samples of both"):
        paired_answers(first, second)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (0, 6), (5, 15), (40, 60), (7, 7)])
def test_mcnemars_test_is_the_binomial_one(gained, lost):
    expected = stats.binomtest(gained, gained + lost, 0.5).pvalue if gained + lost else 1.0
    assert expected == pytest.approx(answers(1000, gained, lost).p_value)


def test_the_largest_loss_solves_its_equation():
    """Tango's table 2 has two-sided intervals of 44 samples; here is the bound by the formula."""
    for gained, lost in [(0, 0), (1, 0), (0, 1), (3, 9), (1, 12)]:
        one = answers(44, gained, lost)
        loss = one.largest_loss
        # The share of gains that makes what was seen most probable at this loss.
        shares = np.linspace(1e-9, (1 - loss) / 2, 2_000_001)
        likelihood = (
            gained * np.log(shares)
            + lost * np.log(shares + loss)
            + (44 - gained - lost) * np.log(np.maximum(1 - 2 * shares - loss, 1e-300))
        )
        share = shares[np.argmax(likelihood)]
        score = (lost - gained - 44 * loss) / math.sqrt(44 * (2 * share + loss * (1 - loss)))
        assert stats.norm.ppf(0.05) == pytest.approx(score, abs=2e-3)
        assert one.loss < loss


def coverage(samples, gain, loss):
    """How often the bound is no lower than the true loss, by the probability of every outcome."""
    held = 0.0
    for gained in range(40):
        for lost in range(40):
            counts = (gained, lost, samples - gained - lost)
            chance = stats.multinomial.pmf(counts, samples, (gain, loss, 1 - gain - loss))
            if chance > 1e-9 and answers(samples, gained, lost).largest_loss >= loss - gain - 1e-9:
                held += chance
    return held


@pytest.mark.parametrize("samples", [100, 359])
@pytest.mark.parametrize(
    ("gain", "loss"), [(0.0, 0.01), (0.002, 0.01), (0.01, 0.01), (0.01, 0.03), (0.0, 0.03)]
)
def test_the_largest_loss_is_as_large_as_said(samples, gain, loss):
    assert coverage(samples, gain, loss) >= 0.93


def test_no_difference_is_not_no_loss():
    same = answers(359, 0, 0)
    assert 1.0 == same.p_value
    assert 0.005 < same.largest_loss < 0.01
    assert (
        "No difference in accuracy shown between a and b: of 359 samples, 0 are now right and 0 "
        f"now wrong; a loss of more than {100 * same.largest_loss:.2f} points is ruled out at 95 %."
    ) == same.sentence("a", "b")


def test_a_difference_is_told_with_its_direction():
    worse = answers(1000, 2, 22)
    assert worse.sentence().startswith(
        "The accuracy of its conversion is 2.00 points less than that of the model: of 1,000 "
        "samples, 2 are now right and 22 now wrong; a loss of more than "
    )
    assert "2.00 points more" in answers(1000, 22, 2).sentence()
