"""Whatever ends a run early, what was measured until then is whole."""

import itertools
import signal
import sys

import numpy as np
import pytest

from edge_tester.core.errors import DatasetError, TargetError
from edge_tester.core.pattern import LoadPattern, Schedule
from edge_tester.core.record import read_record
from edge_tester.core.run.evaluation import Evaluation
from edge_tester.core.run.journal import journal_of, recover
from edge_tester.core.run.observer import Observer
from edge_tester.runtimes.echo import EchoRuntime
from tests.agents import echo_model
from tests.faulty_runtimes import FaultyRuntime
from tests.runs import EchoModel, assert_consistent, npz, plan_of, run


class Fours(LoadPattern):
    """Blocks of four."""

    size = 4

    def block(self, situation):
        count = min(self.size, situation.most, situation.left)
        return Schedule(count, situation.untimed)


class Twos(Fours):
    """Blocks of two."""

    size = 2


def faulty_plan(folder, **measurement):
    """A run of 10 samples of which the 7th goes wrong."""
    values = np.zeros((10, 4), np.uint8)
    values[6, 0] = 1
    model = EchoModel(model_path=echo_model(folder).path)
    dataset = npz(folder, x=values, y=np.zeros(10, int))
    return plan_of(model, dataset, FaultyRuntime(fault="error"), **measurement)


def kept(path, outputs=None, samples=10):
    """The record of a run that ended early, which is whole."""
    record = read_record(path)
    assert not record.complete
    # Whoever ends it after the last sample leaves a whole replicate.
    done = samples == len(record.predictions.index)
    assert [one.complete for one in record.replicates] in ([False], [done])
    assert_consistent(record)
    if outputs is not None:
        assert len(record.predictions.index) == len(np.load(outputs / "output_0.npy"))
    return record


def test_an_error_in_mid_run_keeps_what_was_measured(tmp_path):
    path = tmp_path / "r.json"
    with pytest.raises(TargetError, match="the weights are upside down"):
        run(faulty_plan(tmp_path, conversation="classical"), path=path)
    record = kept(path)
    assert "the weights are upside down" in record.incomplete_reason
    assert 6 == len(record.target_ns)


def test_a_block_that_fails_is_lost_as_a_whole(tmp_path):
    """Blocks of four: the first is kept, the second, in which it goes wrong, is not."""
    path, outputs = tmp_path / "r.json", tmp_path / "outputs"
    plan = faulty_plan(tmp_path, pattern=Fours(), outputs_directory=outputs)
    with pytest.raises(TargetError, match="the weights are upside down"):
        run(plan, path=path)
    assert [4] == [len(block.target_ns) for block in kept(path, outputs).blocks]


def test_without_a_block_there_is_no_record(tmp_path):
    path = tmp_path / "r.json"
    with pytest.raises(TargetError, match="the weights are upside down"):
        run(faulty_plan(tmp_path), path=path)
    assert not [one for one in tmp_path.iterdir() if one.name.startswith("r.")]


def test_answers_that_cannot_be_judged_leave_whole_blocks(tmp_path):
    """What is wrong with the third block shows only when it is judged."""
    path = tmp_path / "r.json"
    model = EchoModel(model_path=echo_model(tmp_path).path)
    dataset = npz(tmp_path, x=np.zeros((10, 4), np.uint8), y=np.zeros(10, int))
    evaluated = Evaluation.update

    def update(self, scores, truth):
        if self.result().samples == 8:
            raise DatasetError("no such class")
        evaluated(self, scores, truth)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(DatasetError):
        patch.setattr(Evaluation, "update", update)
        run(plan_of(model, dataset, EchoRuntime(), pattern=Fours()), path=path)
    assert [4, 4] == [len(block.target_ns) for block in kept(path).blocks]


class Interrupter(Observer):
    """Presses Ctrl-C after so many samples."""

    def __init__(self, count):
        self.count = count
        self.measures = False

    def begin(self, what, total, unit):
        self.measures = unit == "samples"

    def advance(self, count):
        self.count -= count * self.measures
        if self.count == 0:
            signal.raise_signal(signal.SIGINT)


def interruptible(folder, limit=None):
    model = EchoModel(model_path=echo_model(folder).path)
    dataset = npz(folder, x=np.zeros((10, 4), np.uint8), y=np.zeros(10, int))
    dataset.limit = limit
    outputs = folder / "outputs"
    return plan_of(model, dataset, EchoRuntime(), pattern=Twos(), outputs_directory=outputs)


def test_control_c_keeps_what_was_measured(tmp_path):
    path = tmp_path / "r.json"
    with pytest.raises(KeyboardInterrupt):
        run(interruptible(tmp_path), Interrupter(4), path)
    record = kept(path, tmp_path / "outputs")
    assert [0, 1, 2, 3] == record.predictions.index
    assert "interrupted by the user" == record.incomplete_reason
    assert [path] == list(tmp_path.glob("r.*"))


def test_control_c_at_any_line_keeps_whole_blocks_in_all_that_is_kept(tmp_path):
    """Press it at the n-th line of what measures and keeps, for every n."""
    path, outputs = tmp_path / "r.json", tmp_path / "outputs"
    traced = (
        *("replicate", "begin", "blocks", "_asked", "_block", "take", "_keep", "_count", "keep"),
        *("append", "commit", "end", "written", "_write"),
    )
    recorded = 0
    for at in range(10_000):
        lines = itertools.count()

        def trace(frame, event, argument, lines=lines, at=at):
            if frame.f_code.co_name not in traced:
                return None
            if "core/run/" not in frame.f_code.co_filename:
                return None
            if event == "line" and next(lines) == at:
                signal.raise_signal(signal.SIGINT)
            return trace

        plan, before = interruptible(tmp_path, limit=5), sys.gettrace()
        for earlier in (path, *outputs.glob("*")):
            earlier.unlink(missing_ok=True)
        try:
            sys.settrace(trace)
            run(plan, path=path)
            if next(lines) <= at:
                break
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        if journal_of(path).exists():
            # Pressed while the record was written.
            assert path == recover(path)
            assert 5 == len(read_record(path).predictions.index)
        if path.exists() and not read_record(path).complete:
            record = kept(path, outputs, 5)
            assert {len(block.target_ns) for block in record.blocks} <= {1, 2}
            recorded += 1
        assert not journal_of(path).exists()
    assert at > 60
    assert recorded > 20
