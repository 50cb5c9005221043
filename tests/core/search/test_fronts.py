"""Fronts of made-up trials, of which the truth is known."""

import msgspec
import numpy as np
import pytest

from edge_tester.core.results.known import Known
from edge_tester.core.search.fronts import by_constraints, fronts_of
from edge_tester.core.search.limits import Judgement, Limits
from edge_tester.core.search.settings import SweepSettings
from edge_tester.core.search.space import Configuration
from edge_tester.core.search.trial import Trial

SAMPLES = 400
WIDE = SweepSettings()


def trial(name, hits, latency, *, spread=0.01, memory=1.0, seed=0, stage="measured", turns="t"):
    accuracy = hits / SAMPLES
    figures = {
        "accuracy": Known(number=accuracy, low=accuracy - 0.03, high=accuracy + 0.03),
        "latency_p50_ms": Known(
            number=latency, low=latency * (1 - spread), high=latency * (1 + spread)
        ),
        "model_memory_mib": Known(number=memory, low=memory, high=memory),
    }
    return Trial(
        name=f"{name}_seed-{seed}",
        configuration=Configuration(precision="fp32", name=name),
        seed=seed,
        stage=stage,
        figures=figures,
        judgement=Judgement(feasibility="feasible"),
        together=turns,
        samples=list(range(SAMPLES)),
        correct=[int(number < hits) for number in range(SAMPLES)],
    )


def test_the_front_of_what_is_known_well():
    trials = [
        trial("slow", 390, 4.0),
        trial("dominated", 350, 5.0),
        trial("fast", 300, 1.0),
        trial("also dominated", 200, 2.0),
    ]
    found = fronts_of(trials, WIDE)
    assert ["slow", "fast"] == [one.name for one in found.results if "latency" in one.best]
    assert {"slow": 1.0, "fast": 1.0, "dominated": 0.0, "also dominated": 0.0} == {
        one.name: one.fronts["latency"] for one in found.results
    }
    assert [] == found.more
    # Accuracies times the part of 5 ms that is saved.
    assert pytest.approx(0.75 * 0.8 + (0.975 - 0.75) * 0.2) == found.areas["latency"]


def test_nothing_infeasible_is_on_a_front_or_in_its_way():
    settings = SweepSettings(limits=Limits(latency_p50_ms=2.0))
    found = fronts_of([trial("best", 399, 3.0), trial("fits", 300, 1.0)], settings)
    best, fits = found.results
    assert ("infeasible", {}, []) == (best.judgement.feasibility, best.fronts, best.best)
    assert ["latency", "memory"] == fits.best
    assert "fits" == by_constraints(found.results)["latency"].name
    # Rejected before it was measured, failed, or without a figure: neither of them.
    for stage in ("rejected", "failed"):
        found = fronts_of([trial("best", 399, 1.0, stage=stage), trial("b", 300, 1.0)], WIDE)
        assert [{}, {"latency": 1.0, "memory": 1.0}] == [one.fronts for one in found.results]


def test_a_limit_within_the_interval_asks_for_more_measuring():
    settings = SweepSettings(limits=Limits(latency_p50_ms=1.05))
    found = fronts_of([trial("unsure", 390, 1.0, spread=0.1)], settings)
    assert ["unsure"] == found.more
    assert {"latency": None, "energy": None, "memory": None} == dict(by_constraints(found.results))


def test_latencies_that_nobody_tells_apart_ask_for_more_measuring():
    pair = [trial("a", 380, 1.0, spread=0.2), trial("b", 380, 1.01, spread=0.2)]
    found = fronts_of(pair, WIDE)
    assert {"a", "b"} <= set(found.more)
    chances = [one.fronts["latency"] for one in found.results]
    assert 0.3 < min(chances) and max(chances) < 0.7


def test_answers_that_nobody_tells_apart_ask_for_more_samples():
    found = fronts_of([trial("a", 380, 1.0), trial("b", 381, 2.0, memory=2.0)], WIDE)
    a, b = found.results
    assert 1.0 == a.fronts["latency"]
    assert 0.3 < b.fronts["latency"] < 0.9
    assert ([], ["b"]) == (found.more, found.samples)


def test_the_same_samples_are_drawn_for_all():
    """One is right wherever the other is, and once more: surely better, whatever samples come."""
    better = trial("better", 381, 2.0)
    worse = trial("worse", 380, 1.0)
    rolled = msgspec.structs.replace(better, correct=[*better.correct[200:], *better.correct[:200]])
    apart = [worse, rolled]
    paired = fronts_of([worse, better], WIDE).results[1].fronts["latency"]
    # Resampled together they differ where that one sample is drawn: 63 % of draws.
    assert pytest.approx(1 - np.exp(-1), abs=0.05) == paired
    assert 0.4 < fronts_of(apart, WIDE).results[1].fronts["latency"] < 0.6


def test_what_was_measured_in_other_minutes_is_known_less_well():
    together = [trial("a", 380, 1.0), trial("b", 380, 1.1)]
    apart = [trial("a", 380, 1.0, turns=None), trial("b", 380, 1.1, turns=None)]
    assert 0.0 == fronts_of(together, WIDE).results[1].fronts["latency"]
    assert 0.1 < fronts_of(apart, WIDE).results[1].fronts["latency"] < 0.4


def test_seeds_become_a_mean_with_the_interval_of_student():
    trials = [trial("a", hits, 1.0, seed=seed) for seed, hits in enumerate((360, 370, 380))]
    (one,) = fronts_of(trials, WIDE).results
    accuracy = one.figures["accuracy"]
    assert pytest.approx(0.925) == accuracy.number
    # Student's t with 2 degrees of freedom: 4.303.
    assert pytest.approx(4.303 * 0.025 / np.sqrt(3), rel=1e-3) == accuracy.high - accuracy.number


def test_one_seed_that_does_not_fit_excludes_all():
    good, bad = trial("a", 380, 1.0), trial("a", 380, 1.0, seed=1, stage="rejected")
    (one,) = fronts_of([good, bad], WIDE).results
    assert ("infeasible", {}) == (one.judgement.feasibility, one.fronts)


def test_recommended_is_the_cheapest_of_the_most_accurate():
    trials = [
        trial("most accurate", 390, 4.0),
        trial("as good for all that is known", 385, 2.0),
        trial("worse", 340, 1.0),
    ]
    found = by_constraints(fronts_of(trials, WIDE).results)
    assert "as good for all that is known" == found["latency"].name
    assert found["energy"] is None
