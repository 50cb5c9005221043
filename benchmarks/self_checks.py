"""What the check of every compiler's result costs.

Run: ``python benchmarks/self_checks.py [--rounds 3]``. Every way to deploy a small network of
PyTorch is compiled with and without the check, in turns, each time in a process of its own, as
the commands for many plans do. A check may add 2 s, or 10 %.
"""

import argparse
import tempfile
import time
from pathlib import Path

from edge_tester.core.checking.ways import ways_of
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.making.cache import CompileCache, ingredients_of
from edge_tester.core.model import TrainingPlan
from edge_tester.datasets.digits import DigitsDataset
from edge_tester.modelwrappers.classification.pytorch_digits import PyTorchDigitsClassifier

MOST_S, MOST_PART = 2.0, 0.1


def compile_s(model: PyTorchDigitsClassifier, dataset: DigitsDataset, one: ModelCompiler) -> float:
    """Return how long compiling takes, the start of its process included."""
    ingredients = ingredients_of(one, model, dataset)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        CompileCache(Path(folder)).make(ingredients, one, model, dataset)
        return time.perf_counter() - begin


def main() -> None:
    """Print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="Compilations of either kind")
    rounds = parser.parse_args().rounds
    dataset = DigitsDataset()
    dataset.prepare()
    folder = tempfile.TemporaryDirectory()
    model = PyTorchDigitsClassifier(model_path=Path(folder.name) / "digits.pth")
    model.train(dataset, TrainingPlan(num_epochs=5))
    made: set[str] = set()
    for name, way in ways_of(model, dataset).found.items():
        if way.compiler is None or repr(way.compiler) in made:
            continue
        made.add(repr(way.compiler))
        taken: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(rounds):
            for check, times in taken.items():
                options = {**way.compiler.to_options(), "self_check": check}
                times.append(compile_s(model, dataset, type(way.compiler).from_options(options)))
        checked, bare = min(taken[True]), min(taken[False])
        added = checked - bare
        kept = added <= MOST_S or added <= MOST_PART * bare
        print(
            f"{name:24} {bare:6.2f} s, the check adds {added:+5.2f} s ({added / bare:+4.0%})"
            f"{'' if kept else '  more than allowed'}",
            flush=True,
        )


if __name__ == "__main__":
    main()
