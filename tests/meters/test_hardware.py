"""Counters of the processor; most virtual machines have none, but counters of the kernel."""

import os
import threading

import pytest

from edge_tester.meters import hardware
from edge_tester.meters.hardware import HardwareMeter, counted, opened
from tests.known_costs import burn

SOFTWARE, TASK_CLOCK = 1, 1
MILLISECOND_NS = 1_000_000


@pytest.fixture
def task_clock():
    """Processor time [ns], which every kernel counts that counts at all."""
    descriptor = opened(SOFTWARE, TASK_CLOCK)
    if descriptor is None:
        pytest.skip("this kernel has no perf_event_open, or does not allow it")
    yield descriptor
    os.close(descriptor)


def test_it_counts_what_this_process_does_alone(task_clock):
    before = counted(task_clock)
    burn(50 * MILLISECOND_NS)
    grown = counted(task_clock) - before
    assert 45 * MILLISECOND_NS < grown
    threading.Event().wait(0.1)
    assert counted(task_clock) - before < grown + 50 * MILLISECOND_NS


def test_it_counts_the_threads_that_come_later(task_clock):
    before = counted(task_clock)
    thread = threading.Thread(target=burn, args=(50 * MILLISECOND_NS,))
    thread.start()
    thread.join()
    assert counted(task_clock) - before > 45 * MILLISECOND_NS


def test_a_meter_has_what_there_is(monkeypatch, task_clock):
    monkeypatch.setattr(
        hardware, "_EVENTS", {"instructions": (SOFTWARE, TASK_CLOCK), "cycles": (77, 7)}
    )
    meter = HardwareMeter()
    meter.open()
    burn(MILLISECOND_NS)
    assert {"instructions"} == set(meter.read())
    meter.close()
    assert {} == meter.read()


def test_an_event_that_had_its_turn_for_half_of_the_time_counts_double(monkeypatch):
    values = iter([(100, 20, 10), (0, 20, 0), (0, 0, 0)])
    monkeypatch.setattr(os, "read", lambda *_: hardware._VALUE.pack(*next(values)))
    assert [200.0, None, 0.0] == [counted(0) for _ in range(3)]


def test_an_unknown_processor_has_none(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "vax")
    assert opened(SOFTWARE, TASK_CLOCK) is None
