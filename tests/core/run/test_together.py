"""Runs that are measured together feel the same disturbances."""

import contextlib
import dataclasses
import signal

import numpy as np
import pytest

from edge_tester.core.errors import EdgeTesterError, OptionError, TargetError
from edge_tester.core.pattern import LoadPattern, Schedule
from edge_tester.core.record import read_record
from edge_tester.core.run.localagent import local_agent
from edge_tester.core.run.observer import Observer
from edge_tester.core.run.plan import Measurement, Plan
from edge_tester.core.run.together import Job, run_together
from edge_tester.runtimeprotocols.loopback import LoopbackProtocol
from edge_tester.runtimes.echo import EchoRuntime
from tests.agents import echo_model
from tests.faulty_runtimes import FaultyRuntime
from tests.known_costs import KnownCostsRuntime
from tests.runs import EchoModel, npz

MILLISECOND_NS = 1_000_000


class Fives(LoadPattern):
    """Blocks of five."""

    def block(self, situation):
        return Schedule(min(5, situation.most, situation.left), situation.untimed)


def plan(folder, runtime, count=30, protocol=None, bad=None, **measurement):
    model = EchoModel(model_path=echo_model(folder).path)
    values = np.zeros((count, 4), np.uint8)
    if bad is not None:
        values[bad, 0] = 1
    dataset = npz(folder, x=values, y=np.zeros(count, int))
    how = Measurement(**measurement)
    return Plan(model, dataset, runtime, protocol=protocol, measurement=how)


def intervals(record, number):
    """Begin and name of each block of a replicate."""
    return [(block.start_ns, record.name) for block in record.replicates[number].blocks]


@pytest.mark.parametrize("agents", ["one", "own"])
def test_blocks_of_a_round_alternate_in_random_order(tmp_path, agents):
    """Twenty blocks in each replicate of each run."""
    runtime = KnownCostsRuntime(sleep_ns=MILLISECOND_NS)
    with contextlib.ExitStack() as stack:
        link = stack.enter_context(local_agent([runtime])) if agents == "one" else None
        plans = [plan(tmp_path, runtime, 200, link, replicates=2) for _ in "ab"]
        jobs = [
            Job(dataclasses.replace(one, pattern=Fives()), tmp_path / f"{name}.json")
            for name, one in zip("ab", plans, strict=True)
        ]
        records = run_together(jobs)
    assert records == [read_record(job.path) for job in jobs]
    first, second = records
    assert first.together == second.together is not None
    for number in range(2):
        order = sorted(intervals(first, number) + intervals(second, number))
        names = [name for _, name in order]
        assert 40 == len(names)
        # By turns: never three of one run after another.
        assert [{"a", "b"}] * 20 == [set(names[at : at + 2]) for at in range(0, 40, 2)]
        # In random order: the same run does not always begin.
        assert {"a", "b"} == set(names[::2])
    for one in records:
        assert list(range(200)) == one.predictions.index


def test_the_same_seed_is_the_same_order(tmp_path):
    def order(seed):
        jobs = [
            Job(
                plan(tmp_path, KnownCostsRuntime(sleep_ns=20 * MILLISECOND_NS), 10, replicates=2),
                tmp_path / f"{n}.json",
            )
            for n in "abc"
        ]
        records = run_together(jobs, seed=seed)
        return [
            [name for _, name in sorted(b for one in records for b in intervals(one, number)[:1])]
            for number in range(2)
        ]

    orders = [order(seed) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_one_that_fails_does_not_end_the_others(tmp_path):
    """It fails in its second replicate, at its 20th sample."""
    other = tmp_path / "other"
    other.mkdir()
    jobs = [
        Job(plan(tmp_path, EchoRuntime()), tmp_path / "good.json"),
        Job(
            plan(other, FaultyRuntime(fault="error"), bad=19),
            tmp_path / "bad.json",
        ),
        Job(plan(tmp_path, EchoRuntime(), replicates=4), tmp_path / "other.json"),
    ]
    good, bad, last = run_together(jobs)
    assert isinstance(bad, TargetError) and "the weights are upside down" in str(bad)
    assert good.complete and last.complete
    assert 3 == len(good.replicates) and 4 == len(last.replicates)
    kept = read_record(jobs[1].path)
    assert not kept.complete and good.together == kept.together
    assert list(range(10)) == kept.predictions.index


def test_one_whose_model_crashes_leaves_the_others_on_one_agent(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    runtime = FaultyRuntime(fault="segfault")
    with local_agent([runtime]) as link:
        jobs = [
            Job(plan(tmp_path, runtime, protocol=link), tmp_path / "good.json"),
            Job(plan(other, runtime, protocol=link, bad=12), tmp_path / "bad.json"),
        ]
        good, bad = run_together(jobs)
    assert isinstance(bad, TargetError) and "SIGSEGV" in str(bad)
    assert good.complete and 3 == len(good.replicates)


def test_one_that_cannot_begin_does_not_hinder_the_others(tmp_path):
    taken = tmp_path / "bad.json"
    taken.write_text("a letter to a friend")
    jobs = [
        Job(plan(tmp_path, EchoRuntime()), taken),
        Job(plan(tmp_path, EchoRuntime()), tmp_path / "good.json"),
    ]
    bad, good = run_together(jobs)
    assert isinstance(bad, EdgeTesterError) and "choose another name" in str(bad)
    assert good.complete
    assert "a letter to a friend" == taken.read_text()


def test_a_target_that_holds_one_model_runs_replicates_by_turns(tmp_path):
    jobs = [
        Job(plan(tmp_path, EchoRuntime(), protocol=LoopbackProtocol()), tmp_path / f"{n}.json")
        for n in "ab"
    ]
    records = run_together(jobs)
    assert all(one.complete and 1 == len(one.replicates) for one in records)
    # The one that loaded second did not begin before the other had ended.
    first, second = sorted(records, key=lambda one: one.blocks[0].start_ns)
    assert first.blocks[0].start_ns + sum(first.target_ns) < second.blocks[0].start_ns


def test_ctrl_c_keeps_what_each_has_measured(tmp_path):
    class Impatient(Observer):
        samples = 0

        def advance(self, count):
            self.samples += count if count == 6 else 0
            if self.samples == 5 * 6:
                signal.raise_signal(signal.SIGINT)

    jobs = [
        Job(plan(tmp_path, EchoRuntime(), replicates=5), tmp_path / f"{name}.json") for name in "ab"
    ]
    with pytest.raises(KeyboardInterrupt):
        run_together(jobs, observer=Impatient())
    records = [read_record(job.path) for job in jobs]
    assert [False, False] == [one.complete for one in records]
    assert {2, 3} == {len(one.replicates) for one in records}
    assert 5 * 6 == sum(len(one.predictions.index) for one in records)


def test_two_runs_do_not_write_into_one_folder(tmp_path):
    jobs = [
        Job(plan(tmp_path, EchoRuntime(), outputs_directory=tmp_path / "o"), tmp_path / f"{n}.json")
        for n in "ab"
    ]
    with pytest.raises(OptionError, match="each needs a folder of its own"):
        run_together(jobs)
