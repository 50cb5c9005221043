"""Benchmarks in one process, for tests."""

import numpy as np

from edge_tester.core.model import ModelWrapper
from edge_tester.core.record import RunRecord
from edge_tester.core.run.host import HostRun, Measurement
from edge_tester.datasets.npz_file import NpzDataset
from edge_tester.runtimeprotocols.loopback import LoopbackProtocol


class EchoModel(ModelWrapper):
    """A model that gives back what it gets."""

    format = "echo"


def prepared_run(model, dataset, runtime, compiler=None, observer=None, **measurement):
    protocol = LoopbackProtocol()
    protocol.runtime = runtime
    return HostRun(
        "a-test", model, dataset, protocol, runtime, compiler, Measurement(**measurement), observer
    )


def measured(model, dataset, runtime, compiler=None, **measurement) -> RunRecord:
    run = prepared_run(model, dataset, runtime, compiler, **measurement)
    run.execute()
    return run.record()


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
