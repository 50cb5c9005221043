"""Candidates over all their seeds, and how sure it is which of them are on a front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from edge_tester.core.results.known import Known
from edge_tester.core.search.limits import METRICS, Judgement, judged
from edge_tester.core.search.settings import FRONTS, SweepSettings
from edge_tester.core.search.space import Configuration
from edge_tester.core.search.trial import Trial
from edge_tester.core.statistics.distributions import CONFIDENCE, student_quantile
from edge_tester.core.statistics.pareto import hypervolume, membership, on_front
from edge_tester.core.tensors import Array

_DRAWS = 1000
# Standard errors to each end of a 95 % interval.
_ERRORS = 1.96
# Standard deviation, as a ratio, of what a machine's state adds to costs measured in other minutes.
_DRIFT = 0.1
# Membership that is more likely than one of these, or less likely than the other, is decided.
DECIDED = (0.05, 0.95)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration over all its seeds.

    Attributes
    ----------
    configuration : Configuration
    trials : list of Trial
    figures : dict of str to Known
        With several seeds their mean, and the interval of what another seed would give.
    judgement : Judgement
    fronts : dict of str to float
        Probability, 0 to 1, that it is on the front of that name; absent where it is on none since
        it is infeasible, failed, or lacks a figure.
    best : list of str
        Fronts that it is on by its figures as they are.
    """

    configuration: Configuration
    trials: list[Trial]
    figures: dict[str, Known]
    judgement: Judgement
    fronts: dict[str, float] = {}
    best: list[str] = []

    @property
    def name(self) -> str:
        """What tells it from others."""
        return self.configuration.name

    @property
    def measured(self) -> bool:
        """Whether every seed was measured."""
        return all(one.stage == "measured" for one in self.trials)


class Fronts(NamedTuple):
    """What a sweep comes to.

    Attributes
    ----------
    results : list of Result
        In the order of the sweep.
    areas : dict of str to float
        Hypervolume of each front: accuracy gained above 0 times the cost saved below the highest
        of all that compete, both as parts of these.
    more : list of str
        Names of results of which more measuring would tell whether they fit or are on a front.
    samples : list of str
        Names of those of which only more test samples would.
    """

    results: list[Result]
    areas: dict[str, float]
    more: list[str]
    samples: list[str]


def fronts_of(trials: Sequence[Trial], settings: SweepSettings, seed: int = 0) -> Fronts:
    """Return configurations with their fronts; nothing that is infeasible is on one.

    Parameters
    ----------
    trials : sequence of Trial
    settings : SweepSettings
    seed : int
        Of the draws.
    """
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.configuration.name, []).append(trial)
    results = [result_of(group, settings) for group in groups.values()]
    areas: dict[str, float] = {}
    undecided: dict[str, bool] = {}
    for front, metric in FRONTS.items():
        competing = [number for number, one in enumerate(results) if competes(one, metric)]
        if not competing:
            continue
        those = [results[number] for number in competing]
        points = _points(those, metric)
        best = on_front(points)
        chances = membership(_draws(those, metric, seed))
        # What would still be open if accuracies were known as exactly as they can be.
        of_cost = membership(_draws(those, metric, seed, accuracies=False))
        areas[front] = _area(points)
        for number, is_best, chance, cost in zip(competing, best, chances, of_cost, strict=True):
            one = results[number]
            results[number] = msgspec.structs.replace(
                one,
                fronts={**one.fronts, front: float(chance)},
                best=[*one.best, front] if is_best else one.best,
            )
            if DECIDED[0] < chance < DECIDED[1]:
                by_measuring = not METRICS[metric].static and DECIDED[0] < cost < DECIDED[1]
                undecided[one.name] = undecided.get(one.name, False) or by_measuring
    for one in results:
        timed = [m for m in one.judgement.undecided if not METRICS[m].static and m != "accuracy"]
        if one.measured and one.judgement.feasibility == "undecided":
            undecided[one.name] = undecided.get(one.name, False) or bool(timed)
    more = [name for name, by_measuring in undecided.items() if by_measuring]
    return Fronts(results, areas, more, [name for name in undecided if name not in more])


def result_of(trials: list[Trial], settings: SweepSettings) -> Result:
    """Return the trials of a configuration as one, on no front yet."""
    names = [name for name in METRICS if any(name in one.figures for one in trials)]
    figures = {name: _over_seeds([t.figures.get(name, Known()) for t in trials]) for name in names}
    judgement = judged(
        figures, settings.limits.given(), settings.memory_budgets_mib, settings.active_budget
    )
    if any(one.stage == "rejected" for one in trials):
        # One seed of it does not fit: it is none that fits.
        flagged = [what for one in trials for what in one.judgement.violated]
        judgement = Judgement(feasibility="infeasible", violated=tuple(dict.fromkeys(flagged)))
    return Result(
        configuration=trials[0].configuration, trials=trials, figures=figures, judgement=judgement
    )


def _over_seeds(known: list[Known]) -> Known:
    """Return the mean over seeds and the interval of Student's t, or the figure of the only one."""
    if len(known) == 1:
        return known[0]
    numbers = [one.number for one in known if one.number is not None]
    if len(numbers) < len(known):
        return next(one for one in known if one.number is None)
    mean, error = float(np.mean(numbers)), float(np.std(numbers, ddof=1)) / math.sqrt(len(numbers))
    half = student_quantile((1 + CONFIDENCE) / 2, len(numbers) - 1) * error
    why = next((one.why for one in known if one.why), "")
    return Known(number=mean, low=mean - half, high=mean + half, why=why)


def competes(one: Result, metric: str) -> bool:
    """Tell whether a candidate may be on a front of that cost."""
    numbers = [one.figures.get(name, Known()).number for name in ("accuracy", metric)]
    return one.measured and one.judgement.feasibility != "infeasible" and None not in numbers


def _points(results: Sequence[Result], metric: str) -> Array:
    """Return what is smaller where it is better: of shape (n, 2)."""
    return np.array(
        [[-(one.figures["accuracy"].number or 0.0), one.figures[metric].number] for one in results]
    )


def _draws(results: Sequence[Result], metric: str, seed: int, *, accuracies: bool = True) -> Array:
    """Return what the points may be: of shape (draws, n, 2).

    Accuracies are drawn together: all candidates answered about the same samples, and where
    these are easy they are easy for all (a paired bootstrap; B. Efron & R. Tibshirani, "An
    Introduction to the Bootstrap", 1993, chapter 8). Costs are drawn one by one.
    """
    generator = np.random.default_rng(seed)
    points = np.repeat(_points(results, metric)[None], _DRAWS, axis=0)
    if accuracies:
        points[:, :, 0] -= _accuracy_noise(results, generator)
    turns = _turns(results)
    for number, one in enumerate(results):
        apart = {trial.together for trial in one.trials} != {turns} or turns is None
        drift = _DRIFT if apart and not METRICS[metric].static else 0.0
        width = math.hypot(_ratio_width(one.figures[metric]), drift)
        points[:, number, 1] *= np.exp(width * generator.standard_normal(_DRAWS))
    return points


def _turns(results: Sequence[Result]) -> str | None:
    """Return what most of those that were measured by turns were measured in."""
    found = [t.together for one in results for t in one.trials if t.together is not None]
    return max(found, key=found.count, default=None)


def _ratio_width(known: Known) -> float:
    """Return the standard error of a cost as a ratio: intervals of costs are symmetric so."""
    if not (known.number and known.low is not None and known.high and known.high > known.low):
        return 0.0
    if known.low > 0:
        return math.log(known.high / known.low) / (2 * _ERRORS)
    return (known.high - known.low) / (2 * _ERRORS) / known.number


def _accuracy_noise(results: Sequence[Result], generator: np.random.Generator) -> Array:
    """Return how far accuracies may be from what was counted, of shape (draws, n)."""
    rows = [_answers(one) for one in results]
    seeds = min(len(one.trials) for one in results)
    samples = results[0].trials[0].samples
    same = all(t.samples == samples for one in results for t in one.trials)
    if not samples or not same:
        # Nothing shows that they answered about the same samples.
        noise = generator.standard_normal((_DRAWS, len(results)))
        return np.asarray(noise * [_width(one.figures["accuracy"]) for one in results])
    correct = np.array(rows)
    weights = generator.multinomial(len(samples), np.full(len(samples), 1 / len(samples)), _DRAWS)
    noise = weights @ correct.T / len(samples) - correct.mean(1)
    if seeds > 1:
        # Seeds differ too, each candidate's in its own way.
        widths = np.array([_width(one.figures["accuracy"]) for one in results])
        noise = noise + widths * generator.standard_normal(noise.shape)
    return np.asarray(noise)


def _answers(one: Result) -> Array:
    """Return for each sample how often seeds were right, 0 to 1."""
    return np.asarray(np.mean([trial.correct for trial in one.trials], axis=0))


def _width(known: Known) -> float:
    if known.low is None or known.high is None:
        return 0.0
    return (known.high - known.low) / (2 * _ERRORS)


def _area(points: Array) -> float:
    """Return the hypervolume of accuracy above 0 and of the cost as part of the highest."""
    highest = float(points[:, 1].max())
    if highest <= 0:
        return 0.0
    scaled = np.column_stack([points[:, 0], points[:, 1] / highest])
    return hypervolume(scaled, (0.0, 1.0))


def recommended(results: Sequence[Result], front: str) -> Result | None:
    """Return the candidate that a front comes to: the cheapest of the most accurate.

    Of those that are shown to fit, those whose accuracy is not shown to be below the best one's;
    of them the one with the lowest cost.
    """
    metric = FRONTS[front]
    fitting = [
        one for one in results if one.judgement.feasibility == "feasible" and front in one.fronts
    ]
    if not fitting:
        return None
    best = max(fitting, key=lambda one: one.figures["accuracy"].number or 0.0)
    least = best.figures["accuracy"].low or 0.0
    equal = [one for one in fitting if (one.figures["accuracy"].number or 0.0) >= least]
    return min(equal, key=lambda one: one.figures[metric].number or math.inf)


def by_constraints(results: Sequence[Result]) -> Mapping[str, Result | None]:
    """Return the recommendation of each front."""
    return {front: recommended(results, front) for front in FRONTS}
