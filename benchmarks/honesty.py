"""Whether intervals and verdicts are what they say, beside the rules of other tools.

Run: ``python benchmarks/honesty.py [--experiments 1000]``, some minutes. Synthetic latencies of
which the truth is known: how often 95 % intervals of p50, mean, p90 and p99 hold it (goal: 93 to
97 %), as which replicates are classed, what becomes of intervals when one looks again and again,
how often a comparison of a thing with itself names a faster one (goal: at most 5 %), how often a
slow-down is found (goal: 1 % in at least 95 % of quiet experiments with ten pairs of replicates),
and how often the wrong one is named (goal: below 1 %).
"""

import argparse
import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from _synthetic import MACHINES, Array, Machine, in_turns

from edge_tester.core.statistics.comparing import (
    Comparison,
    compare_apart,
    compare_pairs,
    ratio_in_turns,
)
from edge_tester.core.statistics.dependence import missing_inferences
from edge_tester.core.statistics.earlystopping import early_stopping_estimate
from edge_tester.core.statistics.intervals import replicate_interval
from edge_tester.core.statistics.percentileinterval import percentile_interval
from edge_tester.core.statistics.percentiles import midranks
from edge_tester.core.statistics.sequential import precise_enough, sequence_interval
from edge_tester.core.statistics.steady import steadiness_of

REPLICATES, COUNT = 5, 200
FRACTIONS = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
Rule = Callable[[Array, Array], int]
"""Latencies of A and B, of shape (pairs, turns, count); 1 if B is called slower, -1 faster."""


def truth_of(machine: Machine, count: int) -> dict[str, float]:
    """Return the figures of very many replicates."""
    values = machine(np.random.default_rng(1), (1, 2_000_000 // count, count))
    found = {key: float(np.quantile(values, fraction)) for key, fraction in FRACTIONS.items()}
    return {**found, "mean": float(values.mean())}


def intervals_of(replicates: Array) -> dict[str, tuple[float, float] | None]:
    """Return the intervals of one experiment; None where the figure is refused."""
    found = {
        "p50": replicate_interval(np.median(replicates, axis=1)),
        "mean": replicate_interval(replicates.mean(axis=1)),
    }
    for key in ("p90", "p99"):
        enough = not missing_inferences(replicates, FRACTIONS[key])
        found[key] = percentile_interval(replicates, FRACTIONS[key]) if enough else None
    return found


def coverage(experiments: int, replicates: int, count: int) -> None:
    """Print how often intervals hold the truth, and how often there is none."""
    print(f"\n95 % intervals, {replicates} replicates of {count} inferences each")
    print("in % of experiments: holds the truth (refused, as it needs more inferences)")
    keys = ("p50", "mean", "p90", "p99")
    print(f"{'machine':>16}" + "".join(f"{key:>14}" for key in keys))
    for name, machine in MACHINES.items():
        true = truth_of(machine, count)
        generator = np.random.default_rng(0)
        values = machine(generator, (experiments, replicates, count))
        held = {key: 0 for key in keys}
        given = {key: 0 for key in keys}
        for one in values:
            for key, interval in intervals_of(one).items():
                if interval is not None:
                    given[key] += 1
                    held[key] += interval[0] <= true[key] <= interval[1]
        cells = [_cell(held[key], given[key], experiments) for key in keys]
        print(f"{name:>16}" + "".join(f"{cell:>14}" for cell in cells))


def _cell(held: int, given: int, experiments: int) -> str:
    refused = f" ({100 - 100 * given / experiments:.0f})" if given < experiments else ""
    return (f"{100 * held / given:.1f}" if given else "-") + refused


def early_stopping(experiments: int) -> None:
    """Print how often LoadGen's bound holds."""
    print("\nLoadGen's early-stopping estimate of p90, 1,024 queries, nominal 99 %")
    for name, machine in MACHINES.items():
        true = truth_of(machine, 1024)["p90"]
        values = machine(np.random.default_rng(0), (experiments, 1, 1024))
        held = [(early_stopping_estimate(one[0], 0.9) or 0) >= true for one in values]
        print(f"{name:>16}{100 * np.mean(held):14.1f}")


def stopping(experiments: int) -> None:
    """Print what becomes of intervals when one looks after every replicate."""
    generator = np.random.default_rng(0)
    values = np.exp(0.02 * generator.standard_normal((experiments, 100)))
    looks = range(5, 101)
    print("\nlooking after every replicate, from 5 to 100 of spread 2 %; in % of experiments")
    rules = {"interval for one look": replicate_interval, "sequence": sequence_interval}
    for name, rule in rules.items():
        held = [all(_holds(rule(one[:count]), 1) for count in looks) for one in values]
        print(f"{name:>22}: {100 * np.mean(held):5.1f} of intervals held at every look")
    counts, held = [], []
    for one in values:
        count = next((n for n in looks if precise_enough(one[:n], 0.02)), 100)
        counts.append(count)
        held.append(_holds(sequence_interval(one[:count]), 1))
    print(f"stopped at +-2 %: {100 * np.mean(held):.1f} held, {np.mean(counts):.1f} replicates")


def _holds(interval: tuple[float, float] | None, true: float) -> bool:
    return interval is not None and interval[0] <= true <= interval[1]


def steadiness(experiments: int) -> None:
    """Print which classes replicates of 1,000 inferences get."""
    print("\nclasses of replicates of 1,000 inferences, in %")
    kinds = ("flat", "warm-up", "slow-down", "no steady state")
    courses = {
        "": 1.0,
        "10 % slower from 500 on": np.where(np.arange(1000) < 500, 1, 1.1),
        "30 % faster, in 100 steps": 1 + 0.3 * np.exp(-np.arange(1000) / 100),
    }
    print(f"{'machine':>42}" + "".join(f"{kind:>17}" for kind in kinds))
    for name in ("independent", "autocorrelated", "bimodal", "heavy tails"):
        values = MACHINES[name](np.random.default_rng(0), (1, experiments, 1000))[0]
        for words, course in courses.items():
            found = [steadiness_of(one * course).kind for one in values]
            cells = "".join(f"{100 * found.count(kind) / len(found):17.1f}" for kind in kinds)
            print(f"{f'{name} {words}':>42}{cells}")


def _of(comparison: Comparison) -> int:
    return {"slower": 1, "faster": -1}.get(comparison.verdict, 0)


def _medians(values: Array) -> Array:
    return np.asarray(np.median(values.reshape(len(values), -1), axis=1))


def _by_tail(z: float) -> int:
    return int(math.copysign(1, z)) if 2 * NormalDist().cdf(-abs(z)) < 0.05 else 0


def in_pairs(a: Array, b: Array) -> int:
    """Compare as we do blocks that took turns."""
    pairs = [ratio_in_turns(list(x), list(y)) for x, y in zip(a, b, strict=True)]
    return _of(compare_pairs(pairs))


def of_two_runs(a: Array, b: Array) -> int:
    """Compare as we do replicates that had been measured apart."""
    return _of(compare_apart(_medians(a), _medians(b)))


def mean_of_20(a: Array, b: Array) -> int:
    """Say whether means of 20 runs after 10 warm-ups of one process differ by more than 5 %."""
    first, second = a[0].ravel()[10:30].mean(), b[0].ravel()[10:30].mean()
    return int(second > 1.05 * first) - int(first > 1.05 * second)


def minimum(a: Array, b: Array) -> int:
    """Whether the least latencies differ by more than 1 %."""
    return int(b.min() > 1.01 * a.min()) - int(a.min() > 1.01 * b.min())


def welch(a: Array, b: Array) -> int:
    """Apply Welch's test to all latencies; of so many the statistic is normal."""
    error = math.sqrt(a.var(ddof=1) / a.size + b.var(ddof=1) / b.size)
    return _by_tail((b.mean() - a.mean()) / error)


def mann_whitney(a: Array, b: Array) -> int:
    """Apply the test of Mann and Whitney on all latencies, by its normal approximation."""
    ranks = midranks(np.concatenate([a.ravel(), b.ravel()]))
    above = ranks[a.size :].sum() - b.size * (b.size + 1) / 2
    return _by_tail(
        (above - a.size * b.size / 2) / math.sqrt(a.size * b.size * (a.size + b.size + 1) / 12)
    )


RULES: dict[str, Rule] = {
    "ours, in turns": in_pairs,
    "ours, apart": of_two_runs,
    "mean of 20 > 5 %": mean_of_20,
    "minimum > 1 %": minimum,
    "Welch": welch,
    "Mann-Whitney": mann_whitney,
}


def comparisons(experiments: int, pairs: int) -> None:
    """Print what each rule says of equal things and of a slower one."""
    kinds = {
        "quiet: state 0.3 %, replicates 0.28 %": (0.003, 0.0028),
        "busy: state 7 %, replicates 0.5 %": (0.07, 0.005),
    }
    print(f"\nverdicts of {pairs} pairs of replicates, 10 turns of 20 inferences each, margin 1 %")
    for words, (state, own) in kinds.items():
        print(f"{words}; in % of experiments: slower, faster")
        ratios = (1.0, 1.01, 1.03)
        print(f"{'rule':>18}" + "".join(f"{'B / A = ' + str(ratio):>16}" for ratio in ratios))
        found = {name: [] for name in RULES}
        for ratio in ratios:
            generator = np.random.default_rng(0)
            shape = (experiments, pairs, 10)
            a, b = in_turns(generator, shape, ratio, state=state, own=own)
            for name, rule in RULES.items():
                verdicts = np.array([rule(x, y) for x, y in zip(a, b, strict=True)])
                found[name].append((100 * np.mean(verdicts > 0), 100 * np.mean(verdicts < 0)))
        for name, shares in found.items():
            cells = [f"{slower:.1f}, {faster:.1f}" for slower, faster in shares]
            print(f"{name:>18}" + "".join(f"{cell:>16}" for cell in cells))


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--experiments", type=int, default=1000, help="repetitions of each")
    experiments = parser.parse_args().experiments
    coverage(experiments, REPLICATES, COUNT)
    coverage(experiments, 2 * REPLICATES, COUNT)
    coverage(experiments // 2, REPLICATES, 10 * COUNT)
    early_stopping(experiments)
    steadiness(experiments)
    stopping(experiments)
    comparisons(experiments, REPLICATES)
    comparisons(experiments, 2 * REPLICATES)


if __name__ == "__main__":
    main()
