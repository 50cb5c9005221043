"""How much of what int8 loses comes back with a few layers in float, for ONNX and LiteRT.

Run: ``python benchmarks/selective_quantization.py``. The network is a depthwise one for the digits,
trained from a seed; behind one or two of its layers the channels were made to differ, and nothing
equalizes them. The goal: where it is one, at least half of the lost accuracy comes back with at
most a quarter of the layers that have weights in float. Two such tensors have four layers at their
ends, which is more than a quarter of ten: there is no limit then. Accuracies are of the test split,
of which no sample was looked at to choose the layers.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from edge_tester.compilers.onnx import ONNXCompiler
from edge_tester.compilers.tflite import TFLiteCompiler
from edge_tester.core.artifact import Artifact
from edge_tester.core.checking.scoring import Judge
from edge_tester.core.checking.selective import select
from edge_tester.core.model import ModelWrapper
from edge_tester.core.selectivecompiler import SelectiveCompiler
from edge_tester.datasets.digits import DigitsDataset
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from tests import unbalanced

Layers = list[tuple[np.ndarray, np.ndarray]]
SEEDS = (0, 1, 2)
SHARE = 0.25


def main() -> int:
    """Print a line for each network and format; return 1 if one misses the goal."""
    missed = 0
    dataset = DigitsDataset()
    dataset.prepare()
    print("seed tensors format   float    int8   mixed  layers in float  came back")
    for seed in SEEDS:
        trained = unbalanced.trained(seed)
        for after in (unbalanced.ONE, unbalanced.TWO):
            layers = unbalanced.spoiled(trained, after, seed)
            share = SHARE if after == unbalanced.ONE else 1.0
            with tempfile.TemporaryDirectory() as name:
                missed += _compared(f"{seed:4} {len(after):7}", layers, share, dataset, Path(name))
    print("Goal: at least 50 % comes back of a loss above 1 point, with at most a quarter in float")
    return int(missed > 0)


def _compared(
    label: str, layers: Layers, share: float, dataset: DigitsDataset, folder: Path
) -> int:
    """Print a line for each format; return how many miss the goal."""
    missed = 0
    cases: tuple[tuple[type[SelectiveCompiler], ModelWrapper], ...] = (
        (ONNXCompiler, ONNXFile(model_path=unbalanced.as_onnx(layers, folder / "m.onnx"))),
        (TFLiteCompiler, TFLiteFile(model_path=unbalanced.as_tflite(layers, folder / "m.tflite"))),
    )
    for kind, model in cases:
        options = {"target": "int8", "compiled_model_path": folder / "int8", "self_check": False}
        whole = kind.from_options(options).compile(model, dataset)
        found = select(kind.from_options(options), model, dataset, folder, most_layers=share)
        chosen = found.steps[found.chosen]
        judge = Judge(model, dataset, dataset.split().test)
        worths = judge.source, judge.worth(whole), judge.worth(Artifact.from_file(Path(found.path)))
        before, after, mixed = (one.accuracy or 0.0 for one in worths)
        lost = before - after
        back = (mixed - after) / lost if lost > 0 else float("nan")
        # Without a loss there is nothing that could come back.
        good = lost > 0.01 and back >= 0.5
        missed += not good
        print(
            f"{label} {model.format:7} {before:6.3f}  {after:6.3f}  {mixed:6.3f}  "
            f"{chosen.weighted:7} of {found.weighted_layers:2}     {100 * back:5.0f} %"
            f"{'' if good else '  misses the goal'}"
        )
    return missed


if __name__ == "__main__":
    raise SystemExit(main())
