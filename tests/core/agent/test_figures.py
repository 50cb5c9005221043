"""The figures are those of the model: against known costs, and against a clock of our own."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from edge_tester.core.agent import bench
from edge_tester.core.agent.bench import Bench
from edge_tester.core.meter import Meter
from edge_tester.core.runtime import Runtime
from edge_tester.core.tensors import TensorSpec
from edge_tester.core.wire import payloads
from edge_tester.core.wire.payloads import Block, Counters
from tests import known_costs
from tests.agents import running_agent, sample

MILLISECOND_NS = 1_000_000
MEGABYTE = 1_000_000


def measured(folder: Path, *, count: int = 20, untimed: int = 0, **costs: int):
    """Return the times of a block and the counters after it, from a real agent."""
    words = [word for name, value in costs.items() for word in (flag_of(name), str(value))]
    with running_agent(folder, *words, runtime=known_costs.PATH) as agent:
        client = agent.connect()
        client.upload_model(known_costs.model(folder))
        answer = client.run_block([sample()], count=count, untimed=untimed)
        client.disconnect()
    return [e - s for s, e in zip(answer.start_ns, answer.end_ns, strict=True)], answer.counters


def flag_of(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def test_processor_time_of_the_model_is_in_both_figures(tmp_path):
    times_ns, counters = measured(tmp_path, burn_ns=5 * MILLISECOND_NS)
    assert min(times_ns) >= 5 * MILLISECOND_NS
    # Of the processor alone, so others on the machine do not count.
    assert 5 * MILLISECOND_NS <= counters.cpu_time_ns / 20 < 6 * MILLISECOND_NS


def test_sleep_is_time_but_no_processor_time(tmp_path):
    times_ns, counters = measured(tmp_path, sleep_ns=5 * MILLISECOND_NS)
    assert min(times_ns) >= 5 * MILLISECOND_NS
    assert counters.cpu_time_ns / 20 < 1 * MILLISECOND_NS


def test_handing_over_inputs_is_not_the_model_s_time(tmp_path):
    times_ns, counters = measured(tmp_path, handling_ns=5 * MILLISECOND_NS)
    # At least once nobody came between.
    assert min(times_ns) < MILLISECOND_NS
    assert counters.cpu_time_ns / 20 >= 5 * MILLISECOND_NS


def test_untimed_inferences_count_nowhere(tmp_path):
    times_ns, counters = measured(tmp_path, burn_ns=5 * MILLISECOND_NS, count=2, untimed=20)
    assert 2 == len(times_ns) == counters.inferences
    assert counters.cpu_time_ns < 15 * MILLISECOND_NS


def test_a_model_that_gets_slower_is_seen_to(tmp_path):
    times_ns, _ = measured(tmp_path, burn_ns=2 * MILLISECOND_NS, slower_after=10)
    assert min(times_ns[10:]) >= 4 * MILLISECOND_NS
    assert min(times_ns[:10]) < min(times_ns[10:])


def test_a_load_takes_its_time(tmp_path):
    _, counters = measured(tmp_path, load_ns=50 * MILLISECOND_NS, count=1)
    assert 50 * MILLISECOND_NS <= counters.load_ns


@pytest.mark.parametrize("cost", ["load_bytes", "run_bytes"])
def test_memory_is_what_the_model_took(tmp_path, cost):
    _, counters = measured(tmp_path, count=1, **{cost: 100 * MEGABYTE})
    grown = counters.peak_bytes - counters.before_load_bytes
    # The kernel's two counters are a few pages apart.
    assert 99 * MEGABYTE <= grown < 110 * MEGABYTE


def test_memory_of_loading_and_of_inferences_are_told_apart(tmp_path):
    taken = []
    for cost in ("loading_bytes", "run_bytes", "load_bytes"):
        _, counters = measured(tmp_path, count=1, **{cost: 100 * MEGABYTE})
        peaks = (counters.load_peak_bytes, counters.inference_peak_bytes)
        taken.append([peak - counters.before_load_bytes > 95 * MEGABYTE for peak in peaks])
        assert counters.peak_bytes == max(peaks)
        assert all(peak < counters.before_load_bytes + 110 * MEGABYTE for peak in peaks)
    assert [[True, False], [False, True], [True, True]] == taken


def test_memory_of_an_earlier_model_is_not_the_next_one_s(tmp_path):
    words = ("--load-bytes", str(100 * MEGABYTE))
    with running_agent(tmp_path, *words, runtime=known_costs.PATH) as agent:
        client = agent.connect()
        for _ in range(2):
            client.upload_model(known_costs.model(tmp_path))
            counters = client.run_block([sample()]).counters
        client.disconnect()
    assert counters.peak_bytes - counters.before_load_bytes < 110 * MEGABYTE


def test_inputs_are_set_again_for_each_inference(tmp_path):
    with running_agent(tmp_path, runtime=known_costs.PATH) as agent:
        client = agent.connect()
        client.upload_model(known_costs.model(tmp_path), slots=3)
        samples = [sample(10 * number, 0, 0, 0) for number in range(3)]
        answer = client.run_block(samples, count=12, untimed=5)
        assert [[[10 * n + 1, 1, 1, 1]] for n in range(3)] == [
            one[0].tolist() for one in answer.outputs
        ]
        client.disconnect()


def test_a_meter_from_elsewhere_counts_on_the_target(tmp_path):
    words = (known_costs.METER_PATH, "--burn-ns", str(5 * MILLISECOND_NS))
    with running_agent(tmp_path, *words, runtime=known_costs.PATH) as agent:
        client = agent.connect()
        client.upload_model(known_costs.model(tmp_path))
        client.run_block([sample()], count=2, untimed=10)
        readings = client.run_block([sample()], count=3).counters.readings
        client.disconnect()
    # Five timed runs in two blocks, and nothing of the untimed ones.
    assert 5 * 0.005 <= readings["processor_s"] < 10 * 0.005
    assert 2 == readings["readings"]


def test_a_meter_that_is_not_there_ends_the_agent_with_its_reason(tmp_path):
    words = [*(sys.executable, "-m", "edge_tester.scenarios.inference_server")]
    words += ["network", "echo", known_costs.METER_PATH, "--host", str(tmp_path / "a"), "--fails"]
    ended = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert 2 == ended.returncode
    assert "error: ProcessorMeter: there is no such counter on this target.\n" == ended.stderr


class Clock:
    """Goes on only as it is told."""

    def __init__(self):
        self.now_ns = 1_000
        self.step_ns = 0

    def __call__(self) -> int:
        self.now_ns += self.step_ns
        return self.now_ns

    def sleep(self, duration_s: float) -> None:
        self.now_ns += round(duration_s * 1e9)


class ClockedRuntime(Runtime):
    """Every call takes a time of its own, all different."""

    input_formats = ("echo",)

    def prepare(self) -> None:
        """Need nothing."""

    def load(self, path, batch_size):
        """Be there."""
        spec = TensorSpec("x", (1, 2), "uint8")
        return [spec], [spec]

    def set_inputs(self, inputs):
        """Take 7."""
        self.clock.now_ns += 7
        self.given = inputs[0].copy()

    def run(self):
        """Take 100, 200, ..."""
        self.clock.now_ns += next(self.durations)
        self.clock.processor_ns += 30

    def get_outputs(self):
        """Take 13."""
        self.clock.now_ns += 13
        return [self.given]


class CountingMeter(Meter):
    """A counter that goes on with the clock, and one that cannot always be read."""

    def open(self):
        """Need nothing."""

    def read(self):
        """Return the time and, every other time, something else."""
        readings = {"energy_mj": float(self.clock.now_ns)}
        return readings | ({"now_and_then_s": 1.0} if next(self.number) % 2 else {})


@pytest.fixture
def clocked(monkeypatch):
    """A bench of two slots on a clock of our own."""
    clock = Clock()
    clock.processor_ns = 0
    monkeypatch.setattr(bench.time, "perf_counter_ns", clock)
    monkeypatch.setattr(bench.time, "process_time_ns", lambda: clock.processor_ns)
    monkeypatch.setattr(bench.time, "sleep", clock.sleep)
    runtime, meter = ClockedRuntime(), CountingMeter()
    runtime.clock = meter.clock = clock
    runtime.durations, meter.number = itertools.count(100, 100), itertools.count()
    runtime.prepare()
    specs, _ = runtime.load(Path("x"), 1)
    made = Bench(runtime, specs, specs, 2, Counters(cpu_time_ns=0), [meter], lambda activity: None)
    made.clock = clock
    for number in range(2):
        content = payloads.TENSORS.pack(number, 0) + bytes([number, number])
        made.fill(Taken(content), len(content))
    return made


class Taken:
    """A channel from which bytes are taken."""

    def __init__(self, content: bytes):
        self.content = content

    def take(self, count: int) -> bytearray:
        taken, self.content = self.content[:count], self.content[count:]
        return bytearray(taken)


def run(made: Bench, block: Block):
    said = []
    content = made.run(block, lambda: said.append(True))
    assert [True] == said
    return payloads.decode_times(memoryview(content), block.inferences)


def test_times_are_of_the_runs_alone(clocked):
    begin_ns, start_ns, end_ns = run(clocked, Block(0, 2, 3, 0))
    assert 1_000 == begin_ns
    # 7 before each, 100, 200 and 300, and 13 after.
    assert [1_007, 1_127, 1_347] == start_ns
    assert [1_107, 1_327, 1_647] == end_ns
    assert 3 == clocked.counters.inferences
    assert 100 == clocked.counters.first_inference_ns
    assert 90 == clocked.counters.cpu_time_ns


def test_untimed_runs_come_before_the_block_begins(clocked):
    begin_ns, start_ns, end_ns = run(clocked, Block(1, 1, 1, 2))
    assert 1_000 + 2 * 7 + 100 + 200 == begin_ns
    assert [300] == [e - s for s, e in zip(start_ns, end_ns, strict=True)]
    assert (1, 300, 30) == (
        clocked.counters.inferences,
        clocked.counters.first_inference_ns,
        clocked.counters.cpu_time_ns,
    )


def test_counters_grow_over_blocks_and_the_first_inference_stays(clocked):
    for _ in range(2):
        run(clocked, Block(0, 2, 2, 0))
    assert (4, 100, 120) == (
        clocked.counters.inferences,
        clocked.counters.first_inference_ns,
        clocked.counters.cpu_time_ns,
    )


def test_meters_count_what_grew_during_blocks_alone(clocked):
    run(clocked, Block(0, 1, 1, 1))
    # 7, the second run of 200, 13; nothing of the untimed one.
    assert {"energy_mj": 220.0} == clocked.counters.readings
    run(clocked, Block(0, 1, 1, 0))
    assert {"energy_mj": 220.0 + 320.0} == clocked.counters.readings


def test_no_inference_begins_before_it_arrives(clocked):
    clocked.clock.step_ns = 1
    arrivals_ns = (0, 500_000, 500_000)
    begin_ns, start_ns, _ = run(clocked, Block(0, 1, 3, 0, arrivals_ns))
    assert start_ns[0] - begin_ns < 20
    assert 500_000 <= start_ns[1] - begin_ns < 500_020
    # The third has arrived before the second has ended: it begins at once.
    assert 200 + 13 + 7 <= start_ns[2] - start_ns[1] < 200 + 13 + 7 + 20


def test_each_slot_keeps_the_answer_to_its_own_input(clocked):
    run(clocked, Block(0, 2, 4, 1))
    for number in range(2):
        content = clocked.output(memoryview(payloads.OUTPUT.pack(number, 0)))
        assert [number, number] == content[1].reshape(-1).tolist()
