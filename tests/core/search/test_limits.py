"""What is shown of a candidate and its limits, against a table by hand."""

import itertools

import pytest

from edge_tester.core.results.known import Known
from edge_tester.core.search.limits import METRICS, Limits, judged


def known(low, high=None):
    high = low if high is None else high
    return Known(number=(low + high) / 2, low=low, high=high)


@pytest.mark.parametrize(
    ("metric", "figure", "expected"),
    [
        ("latency_p50_ms", known(8, 10), "feasible"),
        ("latency_p50_ms", known(8, 10.1), "undecided"),
        ("latency_p50_ms", known(10.1, 12), "infeasible"),
        ("latency_p50_ms", Known(number=9.0), "feasible"),
        ("latency_p50_ms", Known(why="not measured"), "undecided"),
        ("accuracy", known(10, 11), "feasible"),
        ("accuracy", known(9.9, 11), "undecided"),
        ("accuracy", known(8, 9.9), "infeasible"),
    ],
)
def test_a_limit_is_kept_or_violated_by_the_whole_interval(metric, figure, expected):
    found = judged({metric: figure}, {metric: 10.0}, {}, None)
    assert expected == found.feasibility
    assert ((metric,) if expected == "undecided" else ()) == found.undecided
    assert (expected == "infeasible") == bool(found.violated)


def test_what_is_not_known_at_all_is_undecided():
    assert ("energy_mj",) == judged({}, {"energy_mj": 1.0}, {}, None).undecided


def test_every_budget_is_flagged_and_the_active_one_excludes():
    figures = {"model_memory_mib": known(3.0)}
    budgets = {"small": 1.0, "middle": 2.0, "large": 4.0}
    for active in (None, *budgets):
        found = judged(figures, {}, budgets, active)
        assert [
            "budget small: model_memory_mib 3, at most 1",
            "budget middle: model_memory_mib 3, at most 2",
        ] == list(found.violated)
        excludes = active in ("small", "middle")
        assert ("infeasible" if excludes else "feasible") == found.feasibility


def test_one_violation_is_enough_whatever_else_is_open():
    """Against brute force over all pairs of states."""
    figures = {"feasible": known(0.0, 1.0), "undecided": known(0, 3), "infeasible": known(3, 4)}
    order = ["infeasible", "undecided", "feasible"]
    for first, second in itertools.product(figures, figures):
        both = {"latency_p50_ms": figures[first], "energy_mj": figures[second]}
        found = judged(both, {"latency_p50_ms": 2.0, "energy_mj": 2.0}, {}, None)
        assert min(first, second, key=order.index) == found.feasibility


def test_every_limit_is_of_a_metric():
    assert set(Limits.__struct_fields__) <= METRICS.keys()
    assert {"accuracy": 0.9} == Limits(accuracy=0.9).given()
