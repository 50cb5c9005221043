"""What the system did meanwhile."""

import contextlib
import mmap
import os
import subprocess
import sys
import time

import msgspec
import pytest

from edge_tester.core.record import Block
from edge_tester.core.results.disturbances import disturbances
from edge_tester.core.run.benchmark import run_plan
from edge_tester.core.run.plan import Measurement, Plan
from edge_tester.meters.system import SystemMeter
from tests.core.run.test_replication import parts
from tests.known_costs import KnownCostsRuntime, burn
from tests.report.records import MACHINE, record

BUSY = "while True: pass"
MILLISECOND_NS = 1_000_000


@pytest.fixture
def meter():
    made = SystemMeter()
    made.open()
    yield made
    made.close()


@contextlib.contextmanager
def others(count):
    """Processes that keep as many processors busy."""
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_work_of_this_process_is_work_of_the_machine(meter):
    before = meter.read()
    burn(300 * MILLISECOND_NS)
    after = meter.read()
    assert set(before) == set(after)
    # Ticks of 10 ms.
    assert after["machine_busy_s"] - before["machine_busy_s"] >= 0.27
    assert all(after[name] >= before[name] for name in before)


def test_a_sleep_is_a_voluntary_switch(meter):
    before = meter.read()
    for _ in range(5):
        time.sleep(0.001)
    assert meter.read()["voluntary_switches"] - before["voluntary_switches"] >= 5


def test_new_memory_is_a_page_fault(meter):
    before = meter.read()
    # Fresh pages: what the allocator gives may be mapped already.
    with mmap.mmap(-1, 8 << 20) as fresh:
        fresh[:: mmap.PAGESIZE] = b"x" * (len(fresh) // mmap.PAGESIZE)
        assert meter.read()["minor_page_faults"] - before["minor_page_faults"] >= 1


def test_an_agent_counts_it_and_a_busy_machine_is_told(tmp_path):
    runtime = KnownCostsRuntime(burn_ns=10 * MILLISECOND_NS)
    plan = Plan(*parts(tmp_path, 60), runtime, measurement=Measurement(replicates=2))
    with others(os.cpu_count() or 1):
        busy = run_plan(plan, tmp_path / "busy.json")
    assert all(block.readings["machine_busy_s"] >= 0 for block in busy.blocks)
    assert any("Other processes kept" in text for text in busy.remarks)


def grown(**readings):
    """Blocks of a second of inferences, in which one processor worked for it."""
    block = Block(
        start_ns=0,
        target_ns=[10 * MILLISECOND_NS] * 100,
        cpu_time_ns=1_000 * MILLISECOND_NS,
        readings={"involuntary_switches": 1.0, "machine_busy_s": 1.05, **readings},
    )
    return [block, block]


@pytest.mark.parametrize(
    ("readings", "said"),
    [
        ({"machine_busy_s": 2.5}, "Other processes kept 1.5 of the target's processors busy"),
        ({"steal_s": 0.1}, "took the target's processors away for 10 % of the time"),
        ({"involuntary_switches": 700.0}, "interrupted 700 times a second"),
        ({"major_page_faults": 3.0}, "6 pages had to be read from disk"),
    ],
)
def test_each_disturbance_is_one_line(readings, said):
    (text,) = disturbances(grown(**readings), MACHINE)
    assert said in text


def test_a_quiet_machine_is_not_told():
    assert [] == disturbances(grown(), MACHINE)
    short = [msgspec.structs.replace(one, target_ns=[1000]) for one in grown(steal_s=1.0)]
    assert [] == disturbances(short, MACHINE)
    assert [] == disturbances(record().blocks, MACHINE)


def test_waiting_is_no_work_of_others():
    """A frame of 10 ms in each of 100 seconds, in which the system did as much again."""
    blocks = [
        msgspec.structs.replace(
            one, target_ns=[10 * MILLISECOND_NS] * 50, cpu_time_ns=500 * MILLISECOND_NS
        )
        for one in grown(machine_busy_s=1.0, elapsed_s=50.0)
    ]
    assert [] == disturbances(blocks, MACHINE)


def test_a_governor_that_saves_power_is_told():
    (text,) = disturbances([], msgspec.structs.replace(MACHINE, governor="powersave"))
    assert "'powersave'" in text
    assert [] == disturbances([], msgspec.structs.replace(MACHINE, governor=None))
