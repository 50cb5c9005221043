"""Defects of a sweep's limits, fronts and candidates that its tests must find."""

from tests.mutated import Mutation

PARETO = "edge_tester/core/statistics/pareto.py"
SEARCH = "edge_tester/core/search"
TESTS = ("tests/core/search", "tests/core/statistics/test_pareto.py")

SWEEP = (
    Mutation(
        PARETO,
        "dominated = (theirs <= ours).all(-1) & (theirs < ours).any(-1)",
        "dominated = (theirs < ours).all(-1)",
        "a point that is as good in one and worse in the other counts as on the front",
        TESTS,
    ),
    Mutation(
        f"{SEARCH}/limits.py",
        "    if high <= limit:\n",
        "    if low <= limit:\n",
        "a limit counts as kept that the interval does not show to be",
        TESTS,
    ),
    Mutation(
        f"{SEARCH}/limits.py",
        "            excluded = excluded or counts\n",
        "            excluded = excluded or not budget\n",
        "the active memory budget excludes nothing",
        TESTS,
    ),
    Mutation(
        f"{SEARCH}/fronts.py",
        'one.judgement.feasibility != "infeasible" and None not in numbers',
        "None not in numbers",
        "what is infeasible is on a front",
        TESTS,
    ),
    Mutation(
        f"{SEARCH}/fronts.py",
        "drift = _DRIFT if apart and not METRICS[metric].static else 0.0",
        "drift = 0.0",
        "what was measured in other minutes counts as compared",
        TESTS,
    ),
    Mutation(
        f"{SEARCH}/fronts.py",
        "    noise = weights @ correct.T / len(samples) - correct.mean(1)",
        "    noise = (weights @ correct.T / len(samples) - correct.mean(1)) * 0",
        "accuracies count as known exactly",
        TESTS,
    ),
    Mutation(
        f"{SEARCH}/fronts.py",
        '    if any(one.stage == "rejected" for one in trials):',
        "    if False:",
        "a candidate fits though one of its seeds does not",
        TESTS,
    ),
)
