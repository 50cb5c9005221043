"""Load patterns on real agents, with inferences that take a known time."""

import numpy as np
import pytest

from edge_tester.core.agent import bench
from edge_tester.core.errors import OptionError
from edge_tester.core.options import option
from edge_tester.core.pattern import LoadPattern, Schedule
from edge_tester.core.record import PatternFacts, read_record
from edge_tester.core.results.measures import measure_all
from edge_tester.core.results.patterns import arrival_ns, busy_span_ns, waiting_ns
from edge_tester.core.run.benchmark import run_plan
from edge_tester.core.run.plan import Measurement, Plan
from edge_tester.core.run.together import Job, run_together
from edge_tester.patterns.multi_stream import MultiStream
from edge_tester.patterns.offline import Offline
from edge_tester.patterns.sensor_rate import SensorRate
from edge_tester.patterns.server import Server
from edge_tester.runtimeprotocols.loopback import LoopbackProtocol
from edge_tester.runtimes.echo import EchoRuntime
from tests import known_costs
from tests.agents import echo_model, running_agent, sample
from tests.known_costs import KnownCostsRuntime
from tests.runs import EchoModel, assert_consistent, npz, plan_of, run

MILLISECOND_NS = 1_000_000


def parts(folder, count):
    model = EchoModel(model_path=echo_model(folder).path)
    values = np.arange(count * 4, dtype=np.uint8).reshape(count, 4)
    return model, npz(folder, x=values, y=np.arange(count) % 4)


def measured(folder, pattern, count, sleep_ms, **measurement):
    """Measure on an agent that is started for it."""
    how = Measurement(**{"replicates": 1, **measurement})
    runtime = KnownCostsRuntime(sleep_ns=round(sleep_ms * MILLISECOND_NS))
    plan = Plan(*parts(folder, count), runtime, pattern=pattern, measurement=how)
    record = run_plan(plan, folder / "r.json")
    assert record == read_record(folder / "r.json")
    return record


def test_a_sensor_that_is_too_fast_misses_every_deadline(tmp_path):
    record = measured(tmp_path, SensorRate(period_ms=20), 60, 30)
    values = measure_all(record)
    assert (1.0, 1.0) == (values["missed"].number, values["duty"].number)
    assert any("arrived faster than they were served" in one for one in record.remarks)
    # What waits at the end of a block has waited in the next one.
    assert len(record.blocks) > 1 and record.blocks[1].arrivals_ns[0] < 0
    waits = waiting_ns(record.replicates[0])
    assert waits[-1] > 50 * 10 * MILLISECOND_NS
    assert (np.diff(waits) > 0).mean() > 0.95


def test_a_sensor_that_is_slow_enough_misses_few(tmp_path):
    record = measured(tmp_path, SensorRate(period_ms=40, power_mw=100), 60, 5)
    values = measure_all(record)
    # A machine that is busy with something else may be late now and then.
    assert values["missed"].number < 0.2
    assert 5 / 40 <= values["duty"].number < 20 / 40
    assert values["energy"].number >= 0.1 * 5e-3
    assert arrival_ns(record.replicates[0]) == 60 * 40 * MILLISECOND_NS
    assert any("are estimates" in one for one in record.remarks)


def arrivals_ns(replicate):
    """All arrivals, by the clock that stands still between blocks."""
    found, base_ns = [], 0
    for block in replicate.blocks:
        found += [base_ns + at_ns for at_ns in block.arrivals_ns]
        base_ns += block.begins_ns[-1] + block.target_ns[-1]
    return found


def test_waiting_at_a_server_is_about_that_of_theory(tmp_path):
    """M/D/1 at a utilisation of about a half: half a service time, or 5 ms."""
    record = measured(tmp_path, Server(target_rate_hz=50), 400, 10, replicates=2)
    values = measure_all(record)
    rho = values["utilisation"].number
    assert 0.45 <= rho
    # A busy machine serves slower, which is in both.
    expected_ns = rho / (2 * (1 - rho)) * np.mean(record.target_ns)
    assert 0.4 < values["waiting"].number / expected_ns < 2.5
    assert values["query_p50"].number >= 10 * MILLISECOND_NS
    assert values["query_p90"].number > 1.2 * values["p50"].number
    assert not any("arrived faster" in one for one in record.remarks)
    for number, one in enumerate(record.replicates):
        # Those of the seed and the replicate, one after another, through all blocks.
        gaps_s = np.random.default_rng([0, number]).exponential(1 / 50, 200)
        assert np.round(gaps_s * 1e9).astype(int).cumsum().tolist() == arrivals_ns(one)


def test_a_server_that_is_too_slow_has_no_latency(tmp_path):
    record = measured(tmp_path, Server(target_rate_hz=200), 100, 10)
    values = measure_all(record)
    assert values["query_p50"].number is None and "queue grows" in values["query_p50"].why
    assert values["utilisation"].number > 1.5
    assert any("arrived faster" in one for one in record.remarks)


def test_queries_of_several_take_as_long_as_all_of_them(tmp_path):
    record = measured(tmp_path, MultiStream(samples_per_query=4), 102, 5)
    values = measure_all(record)
    assert values["query_p50"].number >= 20 * MILLISECOND_NS
    assert values["query_p50"].number >= 3.5 * values["p50"].number
    assert all(len(b.begins_ns) == len(b.target_ns) for b in record.blocks)
    assert all([] == b.arrivals_ns for b in record.blocks)


def test_throughput_is_that_of_the_loop(tmp_path):
    record = measured(tmp_path, Offline(), 300, 2, replicates=2)
    assert 150 in {len(block.target_ns) for block in record.blocks}
    values = measure_all(record)
    spans_s = sum(map(busy_span_ns, record.replicates)) / 1e9
    assert values["throughput"].number == pytest.approx(300 / spans_s)
    assert 100 < values["throughput"].number < 500
    low, high = values["throughput"].interval
    assert low <= values["throughput"].number <= high


def test_what_a_query_needs_is_refused_where_each_is_asked_for_by_itself(tmp_path):
    with pytest.raises(OptionError, match="samples_per_query must be 1 to 1"):
        run(plan_of(*parts(tmp_path, 20), EchoRuntime(), pattern=MultiStream(), pace="isolated"))


@pytest.mark.parametrize("conversation", ["flight", "classical"])
def test_each_inference_by_itself_has_its_arrival_too(tmp_path, conversation):
    record = run(
        plan_of(
            *parts(tmp_path, 20),
            EchoRuntime(),
            pattern=SensorRate(period_ms=5),
            pace="isolated",
            conversation=conversation,
        )
    )
    assert [1] * 20 == [len(block.target_ns) for block in record.blocks]
    assert 20 * 5 * MILLISECOND_NS == arrival_ns(record.replicates[0])
    assert min(waiting_ns(record.replicates[0])) >= 0
    assert_consistent(record)


def test_untimed_inferences_do_not_shift_the_schedule(tmp_path):
    """They take 0.6 s; the first arrival is 10 ms after them."""
    with running_agent(
        tmp_path, "--sleep-ns", str(200 * MILLISECOND_NS), runtime=known_costs.PATH
    ) as agent:
        client = agent.connect()
        client.upload_model(known_costs.model(tmp_path))
        answer = client.run_block([sample()], untimed=3, arrivals_ns=[10 * MILLISECOND_NS])
        client.disconnect()
    begins_ns = answer.start_ns[0] - answer.begin_ns
    assert 10 * MILLISECOND_NS <= begins_ns < 600 * MILLISECOND_NS


def test_waiting_for_arrivals_is_no_processor_time_of_inferences(tmp_path, monkeypatch):
    """The target looks at the clock all the time: 40 times 10 ms."""
    monkeypatch.setattr(bench, "_SLEEP_ABOVE_NS", 10**12)
    pattern = SensorRate(period_ms=10)
    record = run(plan_of(*parts(tmp_path, 40), EchoRuntime(), pattern=pattern))
    assert 0 < record.replicates[0].cpu_time_ns < 200 * MILLISECOND_NS


@pytest.mark.parametrize(
    "pattern", [MultiStream(), SensorRate(period_ms=1), Server(target_rate_hz=1000)]
)
def test_nothing_travels_from_the_first_inference_of_a_block_to_the_last(
    tmp_path, monkeypatch, pattern
):
    events, sendmsg, infer = [], LoopbackProtocol.sendmsg, EchoRuntime.run

    def sending(self, buffers):
        events.append("s")
        return sendmsg(self, buffers)

    def running(self):
        events.append("R")
        infer(self)

    monkeypatch.setattr(LoopbackProtocol, "sendmsg", sending)
    monkeypatch.setattr(EchoRuntime, "run", running)
    record = run(plan_of(*parts(tmp_path, 64), EchoRuntime(), pattern=pattern))
    bursts = [len(one) for one in "".join(events).split("s") if one]
    # The cold one, the second one, and each block with one untimed before it.
    assert [1, 1, *(1 + len(block.target_ns) for block in record.blocks)] == bursts
    assert max(bursts) > 20


class Jittered(LoadPattern):
    """Frames whose rate somebody else knows: they come two by two."""

    deadline_ms: float = option(1000.0, help="Time for each", unit="ms")

    def block(self, situation):
        count = min(situation.left, situation.most, 4)
        return Schedule(count, 0, tuple((n // 2) * 1000 for n in range(count)))

    def facts(self):
        return PatternFacts(kind="deadline", deadline_ns=round(self.deadline_ms * MILLISECOND_NS))


def test_a_pattern_of_somebody_else_has_figures(tmp_path):
    record = run(plan_of(*parts(tmp_path, 20), EchoRuntime(), pattern=Jittered()))
    values = measure_all(record)
    assert 0.0 == values["missed"].number
    assert "isolated" == record.pace
    assert {"Missed deadlines", "Duty cycle"} <= {one.title for one in record.figures()}


def test_blocks_with_arrivals_take_turns(tmp_path):
    """Frames of 100 ms: ten of each run, then ten of the other."""
    jobs = []
    for name in "ab":
        folder = tmp_path / name
        folder.mkdir()
        runtime = KnownCostsRuntime(sleep_ns=MILLISECOND_NS)
        plan = Plan(
            *parts(folder, 30),
            runtime,
            pattern=SensorRate(period_ms=100),
            measurement=Measurement(replicates=1),
        )
        jobs.append(Job(plan, tmp_path / f"{name}.json"))
    records = run_together(jobs)
    order = sorted((block.start_ns, one.name) for one in records for block in one.blocks)
    names = [name for _, name in order]
    assert len(names) >= 6
    assert [{"a", "b"}] * 3 == [set(names[at : at + 2]) for at in (0, 2, 4)]
    for one in records:
        assert 30 * 100 * MILLISECOND_NS == arrival_ns(one.replicates[0])
        assert 10 <= len(one.blocks[0].target_ns) <= 11
