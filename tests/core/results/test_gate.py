"""A gate says what is shown, and nothing else."""

import pytest

from edge_tester.core.errors import RecordError
from edge_tester.core.results.gate import gate_of
from tests.core.results.series import answered, disturbed, measured


def records(ratio, *, lost=0, samples=1000, together="t", seed=1):
    machine = disturbed(seed)
    truth = [0] * samples
    old = measured("old", 100_000, machine, seed + 1, together=together)
    other = machine if together else disturbed(seed + 50)
    new = measured("new", 100_000 * ratio, other, seed + 2, together=together)
    answers = [1] * lost + [0] * (samples - lost)
    return answered(old, truth, truth), answered(new, truth, answers)


def gate(*pair, slowdown=0.03, loss=None):
    return gate_of(*pair, max_slowdown=slowdown, max_accuracy_loss=loss)


def test_a_slow_down_is_shown_ruled_out_or_neither():
    assert "passed" == gate(*records(1.01)).state
    assert "regression" == gate(*records(1.06)).state
    assert "unknown" == gate(*records(1.0, together=None)).state
    # Faster is no regression.
    assert "passed" == gate(*records(0.8)).state


def test_equal_runs_seldom_fail():
    states = [gate(*records(1.0, seed=seed)).state for seed in range(0, 400, 10)]
    assert 0 == states.count("regression")
    assert states.count("passed") >= 38


def test_a_slow_down_at_the_limit_seldom_passes_and_seldom_fails():
    """Each at most 5 %, of 60; a binomial of 60 and 0.05 is above 7 in 1 %."""
    states = [gate(*records(1.03, seed=seed)).state for seed in range(0, 600, 10)]
    assert states.count("passed") <= 7 and states.count("regression") <= 7


def test_a_loss_of_accuracy_is_shown_ruled_out_or_neither():
    for lost, expected in ((0, "passed"), (30, "regression"), (4, "unknown")):
        found = gate(*records(1.0, lost=lost), loss=0.005)
        assert expected == found.checks[1].state
        assert expected == found.state


def test_the_worst_answer_is_that_of_the_gate():
    assert "regression" == gate(*records(1.06, lost=4), loss=0.005).state
    assert "unknown" == gate(*records(1.0, lost=4), loss=0.005).state


def test_the_summary_names_what_it_takes():
    text = gate(*records(1.0, together=None, lost=4), loss=0.005).markdown()
    assert "**Not known whether there is a regression**: `new` compared with `old`" in text
    assert "at most 3 % slower" in text and "at most 0.5 points less" in text
    assert "more replicates of both would tell" in text and "more samples would tell" in text
    assert 1 == text.count("|---|---|---|---|")


def test_answers_to_other_samples_are_no_comparison():
    machine = disturbed(1)
    old, new = (measured(name, 1000, machine, 1, together="t") for name in ("old", "new"))
    with pytest.raises(RecordError, match="nothing shows that both runs answered about the same"):
        gate(old, new, loss=0.01)
    assert "passed" == gate(old, new).state
