"""Choose samples to calibrate quantizations with, and write them: ``edge-tester samples``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from edge_tester.core.dataset import Dataset
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import Configurable, option
from edge_tester.core.results.words import plural
from edge_tester.core.run.requirements import require_packages
from edge_tester.core.samples.choosing import write_samples
from edge_tester.core.samples.manifest import MANIFEST, Manifest
from edge_tester.scenarios._command import Command
from edge_tester.scenarios._program import Logging, guard


class Choosing(Configurable):
    """Which samples are chosen, and where they go."""

    count: int = option(200, minimum=1, help="Samples to write, each class with its share")
    out: Path = option(Path("rep_samples"), help="Folder for them; made, or written anew")
    seed: int = option(
        0, minimum=0, gives_way=True, help="Seed of the choice; the same seed, the same samples"
    )


COMMAND = Command(
    "samples",
    "Write samples of a data set that are not measured into a folder: .npy files and manifest.json "
    "with checksums. --calibration-samples of the compilers calibrates with such a folder. With a "
    "model, they are values as the model takes them, preprocessed; without, those of the data set. "
    "random_inputs gives random numbers, --float-low and --float-high say from where to where.",
    roles=("modelwrappers", "datasets"),
    required=("datasets",),
    extras=(Choosing,),
)


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    parsed = COMMAND.parse(arguments)
    parsed.extra(Logging).start()
    asked, dataset = parsed.extra(Choosing), parsed.needed(Dataset)
    model = parsed.part(ModelWrapper)
    if model is not None:
        require_packages(model, dataset)
    dataset.prepare()
    manifest = write_samples(dataset, model, asked.count, asked.seed, asked.out)
    for line in _told(manifest, asked.out):
        print(line)


def _told(manifest: Manifest, folder: Path) -> list[str]:
    kind = "as the model takes them" if manifest.preprocessed else "as the data set has them"
    lines = [f"{plural(len(manifest.samples), 'sample')}, values {kind}:"]
    for one in manifest.inputs:
        shape = ", ".join(map(str, one.shape))
        ends = "" if one.minimum is None else f", from {one.minimum:.4g} to {one.maximum:.4g}"
        lines.append(f"  {one.name}: ({shape}) {one.dtype}{ends}")
    lines += [f"Note: {text}" for text in manifest.remarks]
    return [*lines, f"Manifest: {folder / MANIFEST}"]


if __name__ == "__main__":
    sys.exit(guard(main))
