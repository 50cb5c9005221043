"""Whatever ends a run early, what was measured until then is whole."""

import itertools
import signal
import sys

import numpy as np
import pytest

from edge_tester.core.errors import TargetError
from edge_tester.core.run.observer import Observer
from edge_tester.runtimes.echo import EchoRuntime
from tests.agents import echo_model
from tests.faulty_runtimes import FaultyRuntime
from tests.runs import EchoModel, assert_consistent, npz, prepared_run


def faulty_run(folder, observer=None):
    """A run of 10 samples of which the 7th goes wrong."""
    values = np.zeros((10, 4), np.uint8)
    values[6, 0] = 1
    model = EchoModel(model_path=echo_model(folder).path)
    dataset = npz(folder, x=values, y=np.zeros(10, int))
    return prepared_run(model, dataset, FaultyRuntime(fault="error"), observer=observer)


def test_an_error_in_mid_run_keeps_what_was_measured(tmp_path):
    run = faulty_run(tmp_path)
    with pytest.raises(TargetError, match="the weights are upside down"):
        run.execute()
    record = run.record(incomplete_reason="it failed")
    assert not record.complete
    assert "it failed" == record.incomplete_reason
    assert 6 == len(record.target_ns)
    assert_consistent(record)


class Interrupter(Observer):
    """Presses Ctrl-C after so many samples."""

    def __init__(self, count):
        self.count = count

    def advance(self, count):
        self.count -= count
        if self.count == 0:
            signal.raise_signal(signal.SIGINT)


def interrupted_run(folder, observer=None):
    model = EchoModel(model_path=echo_model(folder).path)
    dataset = npz(folder, x=np.zeros((10, 4), np.uint8), y=np.zeros(10, int))
    outputs = folder / "outputs"
    return prepared_run(model, dataset, EchoRuntime(), None, observer, outputs_directory=outputs)


def test_control_c_keeps_what_was_measured(tmp_path):
    size_bytes = echo_model(tmp_path).size_bytes
    run = interrupted_run(tmp_path, Interrupter(size_bytes + 4))
    with pytest.raises(KeyboardInterrupt):
        run.execute()
    record = run.record(incomplete_reason="interrupted")
    assert [0, 1, 2, 3] == record.predictions.index
    assert (4, 4) == np.load(tmp_path / "outputs" / "output_0.npy").shape
    assert_consistent(record)


def test_control_c_at_any_line_keeps_arrays_of_equal_length(tmp_path):
    """Press it at the n-th line of the module that conducts a run, for every n."""
    lines = itertools.count()
    for at in range(10_000):
        lines = itertools.count()

        def trace(frame, event, argument, lines=lines, at=at):
            if frame.f_code.co_name not in ("_measure", "_keep", "_infer", "append"):
                return None
            if event == "line" and next(lines) == at:
                signal.raise_signal(signal.SIGINT)
            return trace

        run, before = interrupted_run(tmp_path), sys.gettrace()
        run._dataset.limit = 3
        try:
            sys.settrace(trace)
            run.execute()
            if next(lines) <= at:
                break
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        if run.measured:
            record = run.record(incomplete_reason="interrupted")
            assert_consistent(record)
            kept = np.load(tmp_path / "outputs" / "output_0.npy")
            assert len(record.predictions.index) == len(kept)
    assert at > 20
