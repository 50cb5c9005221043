"""Whether intervals and verdicts hold on a real agent, on this machine as busy as it is.

Run: ``python benchmarks/honesty_on_agent.py [--runs 24] [--pairs 5] [--busy 1]``, some minutes. The
shipped int8 digits model is measured again and again by an agent on this machine: how often the
95 % interval of the median latency holds the median of all runs (goal: at least 90 %), beside the
interval that one process would give; how often a comparison of the model with itself calls it
faster or slower (goal: at most 5 %), beside the rules of other tools on the same latencies.
``--busy`` has so many processes keep processors busy meanwhile.
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import stats

from edge_tester.core.record import RunRecord
from edge_tester.core.results.measures import measure_all
from edge_tester.core.results.verdicts import compared
from edge_tester.core.run.plan import Measurement, Plan
from edge_tester.core.run.together import Job, run_together

SAMPLES, MARGIN = 1000, 0.01
Rule = Callable[[np.ndarray, np.ndarray], bool]
RULES: dict[str, Rule] = {
    "mean of 20 after 10 differs by 5 %": lambda a, b: (
        abs(b[10:30].mean() / a[10:30].mean() - 1) > 0.05
    ),
    "least differs by 1 %": lambda a, b: abs(b.min() / a.min() - 1) > 0.01,
    "Welch on all latencies": lambda a, b: stats.ttest_ind(a, b, equal_var=False).pvalue < 0.05,
    "Mann-Whitney on all latencies": lambda a, b: stats.mannwhitneyu(a, b).pvalue < 0.05,
}


def plan(folder: Path, measurement: Measurement) -> Plan:
    """Return a plan of the int8 digits model, which is made once."""
    model = folder / "digits-int8.tflite"
    if not model.exists():
        _make(model)
    return Plan.from_mapping(
        {
            "modelwrapper": {"class": "tflite_file", "model_path": str(model)},
            "dataset": {"class": "random_inputs", "num_samples": SAMPLES, "test_fraction": 1.0},
            "runtime": "tflite",
            "measurement": measurement.chosen_options(),
        }
    )


def _make(model: Path) -> None:
    import importlib.resources

    from edge_tester.compilers.tflite import TFLiteCompiler
    from edge_tester.core.making.chain import compile_model
    from edge_tester.datasets.digits import DigitsDataset
    from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile

    source = importlib.resources.files("edge_tester.resources") / "digits.tflite"
    dataset = DigitsDataset()
    dataset.prepare()
    compiler = TFLiteCompiler(compiled_model_path=model, target="int8")
    compile_model(compiler, TFLiteFile(model_path=Path(str(source))), dataset, lambda text: None)


def runs(folder: Path, count: int, measurement: Measurement) -> list[RunRecord]:
    """Measure one after another."""
    found = []
    for number in range(count):
        (outcome,) = run_together([Job(plan(folder, measurement), folder / f"{number}.json")])
        if not isinstance(outcome, RunRecord):
            raise outcome
        found.append(outcome)
    return found


def block_interval(values: np.ndarray, generator: np.random.Generator) -> tuple[float, float]:
    """Return the interval of one process: a bootstrap of blocks (Politis & Romano, 1992)."""
    length = int(np.ceil(np.sqrt(len(values))))
    starts = generator.integers(0, len(values), (500, len(values) // length, 1))
    drawn = values[((starts + np.arange(length)) % len(values)).reshape(500, -1)]
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return float(low), float(high)


def coverage(records: list[RunRecord]) -> None:
    """Print how often intervals of one run hold the median of all."""
    generator = np.random.default_rng(0)
    truth = float(np.median(np.concatenate([one.target_ns for one in records])))
    ours = [measure_all(one)["p50"].interval for one in records]
    held = [one is not None and one[0] <= truth <= one[1] for one in ours]
    widths = [one[1] / one[0] - 1 for one in ours if one is not None]
    theirs = [block_interval(np.array(one.target_ns), generator) for one in records]
    alone = [low <= truth <= high for low, high in theirs]
    print(f"median of all {len(records)} runs: {truth / 1000:.3f} us")
    print(f"  95 % interval over replicates holds it in  {100 * np.mean(held):5.1f} %", end="")
    print(f"   (goal: at least 90; median width {100 * np.median(widths):.1f} %)")
    print(f"  that of one process, by a block bootstrap  {100 * np.mean(alone):5.1f} %")


def alarms(folder: Path, count: int, pairs: int) -> None:
    """Print how often the model is told from itself, by us and by others."""
    measurement = Measurement(replicates=pairs, min_count=pairs * 400)
    ours, others = [], {name: [] for name in RULES}
    for number in range(count):
        jobs = [
            Job(plan(folder, measurement), folder / f"{name}-{number}.json") for name in ("a", "b")
        ]
        first, second = (one for one in run_together(jobs) if isinstance(one, RunRecord))
        (found,) = compared([first, second], ["a", "b"], 0, MARGIN)
        ours.append(found.latency.verdict)
        a, b = (np.array(one.replicates[0].target_ns) for one in (first, second))
        for name, rule in RULES.items():
            others[name].append(rule(a, b))
    told = 100 * np.mean([one in ("faster", "slower") for one in ours])
    print(f"\nthe model compared with itself, {count} times, {pairs} pairs of replicates each")
    print(f"  called faster or slower                    {told:5.1f} %   (goal: at most 5)")
    print(f"  equivalent within {100 * MARGIN:g} %, unknown           ", end="")
    print(f"{ours.count('equivalent')}, {ours.count('unknown')}")
    for name, said in others.items():
        print(f"  {name:<43}{100 * np.mean(said):5.1f} %")


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=24)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--busy", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        for _ in range(chosen.busy):
            stack.callback(subprocess.Popen([sys.executable, "-c", "while True: pass"]).kill)
        folder = Path(scratch)
        for measurement in (
            Measurement(replicates=5),
            Measurement(replicates=5, min_duration_s=1.0),
        ):
            print(f"five replicates, {measurement.min_duration_s:g} s at least:", end=" ")
            coverage(runs(folder, chosen.runs, measurement))
        alarms(folder, chosen.runs, chosen.pairs)


if __name__ == "__main__":
    main()
