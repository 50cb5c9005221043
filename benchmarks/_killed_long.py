"""Rounds of what takes long and is gone on with: a sweep and a pipeline."""

import csv
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _killed import Home, kill
from _killed_alone import YOUNG_S, Alone

from edge_tester.core.record import read_record

SWEEP = """
modelwrapper: {{class: pytorch_digits, model_path: none.pth}}
dataset: digits
training: {{num_epochs: 3}}
compression: {{finetune_epochs: 1}}
space: {{pruning: [0, 0.5], precision: [fp32, int8]}}
active_budget: board
memory_budgets_mib: {{board: 0.02}}
measurement: {{replicates: 2, min_count: 200}}
most_replicates: 2
report_directory: r
"""
PIPELINE = """
modelwrapper: {{class: onnx_file, model_path: {lab}/m.onnx}}
dataset: {{class: digits, limit: 60}}
measurement: {{replicates: 2, min_count: 60}}
ways: [onnx, onnx-int8]
requests: 60
devices: [linux-x86]
thresholds: {{size_mib: 0.02}}
report_directory: r
"""
CALLS = 4
LONGEST_S = 20.0


class Long(Alone):
    """Such rounds, each in a home of its own: what undisturbed ones have found is the truth."""

    def long(self, home: Home, rounds: int, end_s: float) -> None:
        """Kill them at random moments, and go on with them until they are done."""
        (home.folder / "sweep.yml").write_text(SWEEP.format())
        (home.folder / "pipeline.yml").write_text(PIPELINE.format(lab=self.lab.folder))
        kinds = {
            "sweep": lambda: self.resumed_as(home, "sweep", swept_in),
            "pipeline": lambda: self.resumed_as(home, "pipeline", decided_in),
        }
        for name, act in self.chosen(kinds, rounds, end_s):
            self.begin(name)
            act()

    def resumed_as(self, home: Home, command: str, found_in: Callable[[Path], Any]) -> None:
        """Kill a command some times; what it finds in the end is what an undisturbed one finds."""
        words, folder = (command, f"{command}.yml"), home.folder / "r"
        kept = home.folder / f"undisturbed-{command}"
        if not kept.exists():
            self.through(home.start(*words), {0})
            folder.rename(kept)
        for _ in range(CALLS):
            run = home.start(*words)
            self.moment(LONGEST_S)
            kill(run.pid)
            self.ended(home, run)
        # As in rounds of other commands.
        time.sleep(YOUNG_S)
        self.through(home.start(*words), {0})
        wanted, found = found_in(kept), found_in(folder)
        if found != wanted:
            self.complain(f"{found} instead of {wanted}")
        shutil.rmtree(folder, ignore_errors=True)
        self.swept(home)


def swept_in(folder: Path) -> Any:
    """Return what a sweep has found that does not depend on time."""
    with (folder / "sweep_results.csv").open(newline="") as file:
        columns = ("name", "stage", "feasibility", "accuracy", "macs", "parameters")
        rows = [[row[name] for name in columns] for row in csv.DictReader(file)]
    return rows, answers_in(folder)


def decided_in(folder: Path) -> Any:
    """Return what a pipeline has found that does not depend on time."""
    (run,) = folder.iterdir()
    phases = {
        path.stem: json.loads(path.read_text())["status"] for path in run.glob("[0-9]-*.json")
    }
    return phases, answers_in(run)


def answers_in(folder: Path) -> dict[str, Any]:
    """Return the answers of all records, by their names."""
    found = {}
    for path in folder.rglob("*.json"):
        if {"replicates", "predictions"} <= json.loads(path.read_text()).keys():
            record = read_record(path)
            found[path.name] = (record.complete, record.predictions.predicted)
    return found
