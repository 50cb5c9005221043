"""Blocks: how many inferences, what comes before, and when; also by patterns of others."""

import numpy as np
import pytest

from edge_tester.core.errors import OptionError
from edge_tester.core.options import option, state
from edge_tester.core.pattern import LoadPattern, Schedule, Situation, scheduled
from edge_tester.core.run.benchmark import measure, run_plan
from edge_tester.core.run.localagent import local_agent
from edge_tester.core.run.plan import Measurement, Plan
from edge_tester.patterns.single_stream import SingleStream
from edge_tester.runtimeprotocols.network import NetworkProtocol
from edge_tester.runtimes.echo import EchoRuntime
from tests import known_costs
from tests.agents import echo_model, running_agent
from tests.known_costs import KnownCostsRuntime
from tests.runs import EchoModel, assert_consistent, npz, plan_of, run


class SensorRate(LoadPattern):
    """A sample comes at a fixed rate, whether or not the one before is done."""

    period_s: float = option(0.01, minimum=0, unit="s", help="Time from one sample to the next")

    def block(self, situation):
        count = min(20, situation.most, situation.left)
        arrivals = tuple(int(i * self.period_s * 1e9) for i in range(count))
        return Schedule(count, situation.untimed, arrivals)


class Tens(LoadPattern):
    """Blocks of ten at most."""

    def block(self, situation):
        return Schedule(min(10, situation.left), situation.untimed)


class Wrong(LoadPattern):
    """Asks for what cannot be."""

    schedule: Schedule = state()

    def block(self, situation):
        return self.schedule


def parts(folder, count=40, inference_ns=0):
    model = EchoModel(model_path=echo_model(folder, inference_ns=inference_ns).path)
    values = np.arange(count * 4, dtype=np.uint8).reshape(count, 4)
    return model, npz(folder, x=values, y=np.arange(count) % 4)


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        (Situation(256, 1000, 1_000, 1), (256, 1)),
        (Situation(256, 100, 1_000, 1), (100, 1)),
        (Situation(256, 1000, 10_000_000, 0), (10, 0)),
        (Situation(256, 1000, 10**9, 0), (1, 0)),
        (Situation(1, 1000, 1_000, 1), (1, 1)),
        (Situation(256, 1000, 0, 1), (256, 1)),
    ],
)
def test_single_stream_takes_about_a_tenth_of_a_second(situation, expected):
    schedule = SingleStream().block(situation)
    assert expected == (schedule.inferences, schedule.untimed)
    assert () == schedule.arrivals_ns


def test_a_pattern_of_somebody_else_decides_when_samples_come(tmp_path):
    """The agent waits for the arrivals: the host sees a block that takes as long as they do."""
    path = tmp_path / "r.json"
    record = measure(
        *parts(tmp_path),
        EchoRuntime(),
        pattern=SensorRate(period_s=0.01),
        measurement=Measurement(replicates=1),
        report_directory=tmp_path,
        report_name=path.stem,
    )
    assert [20, 20] == [len(block.target_ns) for block in record.blocks]
    for block in record.blocks:
        # From the first arrival to the last one; none of it counts as an inference.
        assert 190_000_000 < block.host_ns[0] < 400_000_000
        assert sum(block.target_ns) < 50_000_000
    (pattern,) = [part for part in record.components if part.role == "pattern"]
    assert pattern.name.endswith("test_measuring.SensorRate")
    assert {"period_s": 0.01} == pattern.options


def test_a_pattern_is_named_in_a_mapping(tmp_path):
    model, dataset = parts(tmp_path)
    mapping = plan_of(model, dataset, EchoRuntime()).to_mapping()
    mapping["modelwrapper"]["class"] = "tests.runs.EchoModel"
    mapping["pattern"] = {"class": "tests.core.run.test_measuring.SensorRate", "period_s": 0.5}
    assert SensorRate(period_s=0.5) == Plan.from_mapping(mapping).pattern


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (Schedule(0), "must have 1 to 40 inferences"),
        (Schedule(41), "must have 1 to 40 inferences"),
        (Schedule(2, 0, (1,)), "an arrival for each of its 2 inferences"),
        (Schedule(2, 0, (2, 1)), "in ascending order"),
        (Schedule(1, 0, (-1,)), "from 0 on"),
    ],
)
def test_a_pattern_that_asks_for_what_cannot_be_is_refused(tmp_path, schedule, said):
    pattern = Wrong()
    pattern.schedule = schedule
    with pytest.raises(OptionError, match=f"of Wrong .*{said}"):
        run(plan_of(*parts(tmp_path), EchoRuntime(), pattern=pattern))
    with pytest.raises(OptionError, match=said):
        scheduled(pattern, Situation(40, 100, 1, 0))


@pytest.mark.parametrize(
    ("measurement", "inference_ns", "blocks", "untimed", "pace"),
    [
        ({}, 0, [40], {1}, "loop"),
        ({"pace": "isolated"}, 0, [1] * 40, {0}, "isolated"),
        ({"conversation": "classical"}, 0, [1] * 40, {1}, "loop"),
        # Longer than what a pause adds: nothing runs before, and fewer are in a block.
        ({}, 10_000_000, [9, 9, 9, 9, 4], {0}, "loop"),
        ({"conversation": "classical"}, 6_000_000, [1] * 40, {0}, "isolated"),
    ],
)
def test_what_was_really_done_is_recorded(
    tmp_path, measurement, inference_ns, blocks, untimed, pace
):
    record = run(plan_of(*parts(tmp_path, 40, inference_ns), EchoRuntime(), **measurement))
    lengths = [len(block.target_ns) for block in record.blocks]
    if inference_ns and not measurement:
        # A machine that is busy makes them smaller.
        assert sum(lengths) == 40 and max(lengths) in range(2, 11)
    else:
        assert blocks == lengths
    assert untimed == {block.untimed for block in record.blocks}
    assert pace == record.pace
    assert [{"inferences": n} for n in lengths] == [block.counters for block in record.blocks]
    assert all(block.cpu_time_ns > 0 for block in record.blocks)
    starts = [block.start_ns for block in record.blocks]
    assert starts == sorted(starts) and starts[0] > 0
    assert_consistent(record)


def test_processor_time_of_a_block_is_that_of_its_own_inferences(tmp_path):
    model, dataset = parts(tmp_path, 30)
    runtime = KnownCostsRuntime(burn_ns=2_000_000)
    record = run(plan_of(model, dataset, runtime, pattern=Tens()))
    # Of the processor alone, so others on the machine do not count.
    assert [True] * 3 == [20_000_000 <= one.cpu_time_ns < 35_000_000 for one in record.blocks]
    assert record.cpu_time_ns == sum(one.cpu_time_ns for one in record.blocks)


def test_readings_of_a_block_are_those_of_its_own_inferences(tmp_path):
    """The meter counts how often it is asked: twice for a block, so that each has one more."""
    model, dataset = parts(tmp_path, 30)
    with running_agent(tmp_path, known_costs.METER_PATH, runtime=known_costs.PATH) as agent:
        link = NetworkProtocol(host=agent.host)
        how = Measurement(replicates=1)
        plan = Plan(model, dataset, KnownCostsRuntime(), None, link, how, Tens())
        record = run_plan(plan, tmp_path / "r.json")
    assert [1.0, 1.0, 1.0] == [block.readings["readings"] for block in record.blocks]


def test_every_inference_is_timed_once_and_runs_as_often_as_said(tmp_path):
    """Two before all, the cold one and the second; then each sample, and one before each block."""
    runs = []

    class Counting(EchoRuntime):
        """Remembers what it ran."""

        def run(self):
            runs.append(int(self._inputs[0].flat[0]))
            super().run()

    model, dataset = parts(tmp_path, 30)

    record = run(plan_of(model, dataset, Counting(), pattern=Tens()))
    assert [10, 10, 10] == [len(block.target_ns) for block in record.blocks]
    firsts = [4 * index % 256 for index in range(30)]
    expected = [0, 0]
    for begin in range(0, 30, 10):
        expected += [firsts[begin], *firsts[begin : begin + 10]]
    assert expected == runs


def test_a_block_has_no_more_samples_than_fit_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("edge_tester.core.run.measuring._MOST_BYTES", 8 * 7)
    record = run(plan_of(*parts(tmp_path), EchoRuntime()))
    # Four bytes go, and four come back.
    assert {7, 5} == {len(block.target_ns) for block in record.blocks}


@pytest.mark.parametrize("in_process", [True, False])
def test_options_that_belong_to_the_owner_work_on_one_s_own_target(tmp_path, in_process):
    """Neither is sent by a client: the agent has it as a flag, this process has it already."""
    model, dataset = parts(tmp_path, 6)
    kept = tmp_path / "kept" / "model.echo"
    runtime = EchoRuntime.from_options({"save_model_path": str(kept)})
    if in_process:
        record = run(plan_of(model, dataset, runtime))
    else:
        record = run(Plan(model, dataset, runtime))
    assert model.model_path.read_bytes() == kept.read_bytes()
    (found,) = [part for part in record.components if part.role == "runtime"]
    assert str(kept) == found.options["save_model_path"]


def test_options_of_the_owner_are_those_of_another_s_target(tmp_path):
    """What it does otherwise than asked is said; what it does anyway is not."""
    model, dataset = parts(tmp_path, 6)
    kept, asked = tmp_path / "kept", tmp_path / "asked"
    with local_agent([EchoRuntime.from_options({"save_model_path": str(kept)})]) as link:
        for path in (kept, asked):
            runtime = EchoRuntime.from_options({"save_model_path": str(path)})
            record = run_plan(Plan(model, dataset, runtime, protocol=link), tmp_path / "r.json")
            (found,) = [part for part in record.components if part.role == "runtime"]
            assert str(kept) == found.options["save_model_path"]
            said = [one for one in record.remarks if "EchoRuntime.save_model_path" in one]
            assert (path == asked) == any(
                f"'{asked}' was asked for and is not used" in one and f"who has '{kept}'" in one
                for one in said
            )
    assert kept.exists() and not asked.exists()
