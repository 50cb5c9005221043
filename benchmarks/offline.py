"""How long it takes to evaluate the quality of a model on very many small samples.

Run: ``python benchmarks/offline.py [--samples 100000] [--rounds 3]``. A whole client run with
``--pattern offline``, from the start of the program to the written record, against a bare loop of
the same runtime over the same samples in a process of its own, by turns. The goal is three times
the bare loop and 5 s.
"""

import argparse
import importlib.resources
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from _common import scratch

BARE = """
import sys
import time
import numpy as np
from ai_edge_litert.interpreter import Interpreter

data = np.load(sys.argv[2])
values, truth = data["x"], data["y"]
model = Interpreter(sys.argv[1], num_threads=1)
index = model.get_input_details()[0]["index"]
model.resize_tensor_input(index, (1, 8, 8, 1))
model.allocate_tensors()
output = model.get_output_details()[0]["index"]
start_s = time.perf_counter()
hits = 0
for value, label in zip(values, truth):
    model.set_tensor(index, value[np.newaxis])
    model.invoke()
    hits += int(model.get_tensor(output).argmax() == label)
print(time.perf_counter() - start_s, hits / len(values))
"""


def main() -> None:
    """Print both times, their ratio, and whether the goal is reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with scratch() as folder:
        model = folder / "digits.tflite"
        shipped = importlib.resources.files("edge_tester.resources") / "digits.tflite"
        model.write_bytes(shipped.read_bytes())
        data = folder / "many.npz"
        _write(data, given.samples)
        bare_s, run_s = [], []
        for _ in range(given.rounds):
            alone = subprocess.run(
                [sys.executable, "-c", BARE, model, data],
                capture_output=True,
                text=True,
                check=True,
            )
            bare_s.append(float(alone.stdout.split()[0]))
            run_s.append(_evaluated(folder, model, data))
    bare, run = statistics.median(bare_s), statistics.median(run_s)
    goal = 3 * bare + 5
    print(f"{given.samples:,} samples of 256 bytes, median of {given.rounds} rounds")
    print(f"  bare loop      {bare:6.2f} s")
    print(f"  edge-tester    {run:6.2f} s   {run / goal:.2f} of the goal, {goal:.2f} s")


def _write(path: Path, count: int) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    chosen = np.arange(count) % len(digits.images)
    np.savez(path, x=digits.images[chosen].astype(np.float32)[..., None], y=digits.target[chosen])


def _evaluated(folder: Path, model: Path, data: Path) -> float:
    start_s = time.perf_counter()
    command = ["client", model, data, folder / "out", "run", "--pattern", "offline"]
    options = ["--test-fraction", "1", "--start-agent"]
    subprocess.run(
        [sys.executable, "-m", "edge_tester", *command, *options], check=True, capture_output=True
    )
    return time.perf_counter() - start_s


if __name__ == "__main__":
    main()
