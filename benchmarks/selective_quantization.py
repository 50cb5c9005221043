"""How much of what int8 loses comes back with a few layers in float, for ONNX and LiteRT.

Run: ``python benchmarks/selective_quantization.py``. The network is a depthwise one for the digits,
trained from a seed, whose channels were made to differ and are not equalized. The goal: at least
half of the lost accuracy comes back, measured on the test split, with at most a quarter of the
layers that have weights in float; no sample of the test split was looked at to choose them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from edge_tester.compilers.onnx import ONNXCompiler
from edge_tester.compilers.tflite import TFLiteCompiler
from edge_tester.core.artifact import Artifact
from edge_tester.core.checking.scoring import Judge
from edge_tester.core.checking.selective import select
from edge_tester.datasets.digits import DigitsDataset
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from tests import unbalanced

SEEDS = (0, 1, 2)
SHARE = 0.25


def main() -> int:
    """Print a line for each seed and format; return 1 if one misses the goal."""
    missed = 0
    dataset = DigitsDataset()
    dataset.prepare()
    print("seed format   float    int8   mixed  layers in float  came back")
    for seed in SEEDS:
        layers = unbalanced.trained(seed)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            cases = (
                (ONNXCompiler, ONNXFile(model_path=unbalanced.as_onnx(layers, folder / "m.onnx"))),
                (
                    TFLiteCompiler,
                    TFLiteFile(model_path=unbalanced.as_tflite(layers, folder / "m.tflite")),
                ),
            )
            for compiler, model in cases:
                whole = compiler(
                    target="int8", compiled_model_path=folder / "int8", self_check=False
                ).compile(model, dataset)
                found = select(compiler(target="int8"), model, dataset, folder, most_layers=SHARE)
                chosen = found.steps[found.chosen]
                judge = Judge(model, dataset, dataset.split().test)
                mixed = judge.worth(Artifact.from_file(Path(found.path))).accuracy
                before, after = judge.source.accuracy, judge.worth(whole).accuracy
                if before is None or after is None or mixed is None:
                    raise SystemExit("The digits have classes, but there is no accuracy.")
                back = (mixed - after) / (before - after)
                good = back >= 0.5 and before - after > 0.01
                missed += not good
                print(
                    f"{seed:4} {model.format:7} {before:6.3f}  {after:6.3f}  {mixed:6.3f}  "
                    f"{chosen.weighted:7} of {found.weighted_layers:2}     {100 * back:5.0f} %"
                    f"{'' if good else '  misses the goal'}"
                )
    print("Goal: at least 50 % comes back of a loss above 1 point, with at most a quarter in float")
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
