"""Benchmarks in one process, for tests."""

import tempfile
from pathlib import Path

import numpy as np

from edge_tester.core.model import ModelWrapper
from edge_tester.core.record import RunRecord
from edge_tester.core.run.benchmark import run_plan
from edge_tester.core.run.plan import Measurement, Plan
from edge_tester.datasets.npz_file import NpzDataset
from edge_tester.runtimeprotocols.loopback import LoopbackProtocol


class EchoModel(ModelWrapper):
    """A model that gives back what it gets."""

    format = "echo"


def plan_of(model, dataset, runtime, compiler=None, pattern=None, **measurement) -> Plan:
    """A plan for this very process."""
    how = {"pattern": pattern} if pattern else {}
    return Plan(
        model, dataset, runtime, compiler, LoopbackProtocol(), Measurement(**measurement), **how
    )


def run(plan, observer=None, path=None, **arguments) -> RunRecord:
    """Run a plan; its record is gone afterwards if no path is given."""
    with tempfile.TemporaryDirectory() as folder:
        path = path or Path(folder) / "a-test.json"
        return run_plan(plan, path, observer=observer, **arguments)


def measured(model, dataset, runtime, compiler=None, **measurement) -> RunRecord:
    """Run a benchmark in this process."""
    return run(plan_of(model, dataset, runtime, compiler, **measurement))


def npz(folder, **arrays) -> NpzDataset:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return NpzDataset(
        dataset_path=path,
        test_fraction=1.0,
        **{"validation_fraction": 0.0, "calibration_fraction": 0.0},
    )


def assert_consistent(record: RunRecord) -> None:
    """Every array has an entry for each sample, or for each inference."""
    predictions = record.predictions
    assert len(predictions.index) == len(predictions.predicted) == record.quality.samples
    if predictions.truth is not None:
        assert len(predictions.index) == len(predictions.truth)
    inferences = -(-len(predictions.index) // record.batch_size)
    assert inferences == len(record.target_ns)
    assert record.host_ns == []
    assert all(duration_ns > 0 for duration_ns in record.target_ns)
