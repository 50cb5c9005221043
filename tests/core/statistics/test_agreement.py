import numpy as np
import pytest

from edge_tester.core.statistics.agreement import Agreeing, agreement

GENERATOR = np.random.default_rng(0)
SCORES = GENERATOR.standard_normal((50, 7)).astype(np.float32)


def test_equal_outputs_differ_by_nothing():
    found = agreement(SCORES, SCORES.copy(), scores=True)
    assert found.identical
    assert (0, 0, 0, 0) == (found.l2_mean, found.l2_max, found.max_absolute, found.max_relative)
    assert found.signal_to_noise_db is None
    assert 1 == found.top1 == pytest.approx(found.cosine_min)
    assert 0 == pytest.approx(found.kl_mean)


def test_figures_are_those_of_their_definitions():
    other = SCORES + GENERATOR.normal(0, 0.3, SCORES.shape).astype(np.float32)
    found = agreement(SCORES, other, scores=True)
    mine, theirs = SCORES.astype(float), other.astype(float)
    noise = mine - theirs
    distances = [np.linalg.norm(row) for row in noise]
    norms = np.linalg.norm(mine, axis=1) * np.linalg.norm(theirs, axis=1)
    cosines = (mine * theirs).sum(1) / norms
    p, q = (np.exp(one) / np.exp(one).sum(1, keepdims=True) for one in (mine, theirs))
    expected = {
        "samples": 50,
        "l2_mean": np.mean(distances),
        "l2_max": max(distances),
        "max_absolute": abs(noise).max(),
        "max_relative": abs(noise).max() / abs(mine).max(),
        "cosine_mean": np.mean(cosines),
        "cosine_min": min(cosines),
        "signal_to_noise_db": 10 * np.log10((mine**2).sum() / (noise**2).sum()),
        "kl_mean": (p * np.log(p / q)).sum(1).mean(),
        "top1": np.mean(mine.argmax(1) == theirs.argmax(1)),
    }
    for name, value in expected.items():
        assert value == pytest.approx(getattr(found, name)), name
    assert 0 < found.top1 < 1


def test_samples_may_come_in_parts():
    other = SCORES + np.float32(0.1) * SCORES[::-1]
    parts = Agreeing(scores=True)
    for begin in range(0, 50, 8):
        parts.update(SCORES[begin : begin + 8], other[begin : begin + 8])
    whole = agreement(SCORES, other, scores=True)
    for name in whole.__struct_fields__:
        assert getattr(whole, name) == pytest.approx(getattr(parts.result(), name)), name


def test_probabilities_are_taken_as_they_are():
    p = np.array([[0.7, 0.2, 0.1]], np.float32)
    q = np.array([[0.5, 0.25, 0.25]], np.float32)
    expected = float((p * np.log(p / q)).sum())
    assert expected == pytest.approx(agreement(p, q, scores=True).kl_mean, rel=1e-6)


def test_a_single_score_tells_two_classes():
    mine, theirs = np.array([[0.9], [0.2], [0.6]]), np.array([[0.6], [0.4], [0.4]])
    assert 2 / 3 == pytest.approx(agreement(mine, theirs, scores=True).top1)
    assert 1 / 3 == pytest.approx(agreement(mine - 0.5, -theirs, scores=True).top1)


def test_values_that_are_no_numbers_are_counted_and_nothing_else():
    other = SCORES.copy()
    other[3, 2], other[4, 0] = np.nan, np.inf
    found = agreement(SCORES, other)
    assert 2 == found.not_finite
    assert 0 == found.max_absolute
    assert not found.identical
    # What the source does not know either is no fault of the conversion.
    both = agreement(other, other)
    assert 0 == both.not_finite and both.identical


@pytest.mark.parametrize("other", [np.zeros_like(SCORES), np.repeat(SCORES[:1], 50, 0)])
def test_an_output_that_no_longer_depends_on_its_input_is_constant(other):
    assert agreement(SCORES, other).constant
    assert not agreement(SCORES, SCORES + 1).constant
