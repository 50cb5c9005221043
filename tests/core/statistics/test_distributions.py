import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from edge_tester.core.statistics.distributions import (
    binomial_at_most,
    incomplete_beta,
    student_quantile,
    student_tail,
)


@given(st.floats(0, 1), st.floats(0.1, 1e4), st.floats(0.1, 1e4))
def test_the_incomplete_beta_function_is_scipys(x, a, b):
    assert incomplete_beta(x, a, b) == pytest.approx(special.betainc(a, b, x), rel=1e-9, abs=1e-12)


@given(st.floats(-50, 50), st.floats(1, 1000))
def test_tails_of_students_t_are_scipys(t, degrees):
    # Very near 0 scipy gives 0.5 itself: at 5.6e-9 and one degree it is 0.5 - atan(t) / pi.
    assert student_tail(t, degrees) == pytest.approx(stats.t.sf(t, degrees), rel=1e-7)


@pytest.mark.parametrize("degrees", [1, 1.5, 2, 4, 9, 37.25, 1e5])
@pytest.mark.parametrize("probability", [0.001, 0.05, 0.5, 0.8, 0.95, 0.975, 0.9999])
def test_quantiles_of_students_t_are_scipys(probability, degrees):
    expected = pytest.approx(stats.t.ppf(probability, degrees), rel=1e-9, abs=1e-12)
    assert expected == student_quantile(probability, degrees)


def test_quantiles_of_the_tables():
    # Student's own table, as every textbook has it.
    assert [12.706, 4.303, 3.182, 2.776, 2.262] == [
        round(student_quantile(0.975, degrees), 3) for degrees in (1, 2, 3, 4, 9)
    ]


@pytest.mark.parametrize(
    ("hits", "count", "share"),
    [(0, 1, 0.5), (0, 10, 0.1), (3, 10, 0.1), (10, 10, 0.3), (95, 1000, 0.1), (0, 0, 0.5)],
)
def test_binomial_tails_are_sums_of_their_terms(hits, count, share):
    terms = (math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(hits + 1))
    assert sum(terms) == pytest.approx(binomial_at_most(hits, count, share), rel=1e-11)
