"""Fronts against brute force, and areas against counting cells."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_tester.core.errors import RecordError
from edge_tester.core.statistics.pareto import hypervolume, membership, on_front

# Few values, so that ties are common.
TABLES = arrays(
    float, st.tuples(st.integers(1, 9), st.just(2)), elements=st.integers(0, 5).map(float)
)


def dominates(one, other):
    return all(a <= b for a, b in zip(one, other, strict=True)) and any(
        a < b for a, b in zip(one, other, strict=True)
    )


@given(TABLES)
def test_the_front_is_what_nothing_dominates(points):
    expected = [not any(dominates(other, one) for other in points) for one in points]
    assert expected == on_front(points).tolist()


@given(TABLES)
def test_the_area_is_that_of_the_cells_that_are_dominated(points):
    cells = sum(
        any(x >= one[0] and y >= one[1] for one in points) for x in range(6) for y in range(6)
    )
    assert cells == hypervolume(points, (6.0, 6.0))


def test_what_is_beyond_the_reference_adds_nothing():
    assert 1.0 == hypervolume(np.array([[0.0, 0.0], [-5.0, 1.0], [1.0, -5.0]]), (1.0, 1.0))
    assert 0.0 == hypervolume(np.empty((0, 2)), (1.0, 1.0))
    with pytest.raises(RecordError, match="must be finite"):
        hypervolume(np.zeros((1, 2)), (1.0, np.inf))


def test_membership_is_the_share_of_draws():
    generator = np.random.default_rng(0)
    # The second is better in one by as much as the noise, and equal in the other.
    draws = np.zeros((4000, 3, 2))
    draws[:, :, 1] = [1.0, 0.0, 9.0] + generator.standard_normal((4000, 3)) * [1, 1, 0]
    found = membership(draws)
    # Of two normal numbers whose means differ by 1, the wrong one is less in 24 %.
    assert found.tolist() == pytest.approx([0.24, 0.76, 0.0], abs=0.02)
