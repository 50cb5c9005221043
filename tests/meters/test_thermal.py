"""Heat and clock on files as the kernel has them."""

import os

import pytest

from edge_tester.core.record import Block, Replicate
from edge_tester.core.results.conditions import clocks_hz, processors_busy, quarters, temperatures_c
from edge_tester.core.results.disturbances import disturbances
from edge_tester.core.results.figures import figures_of
from edge_tester.meters.thermal import ThermalMeter
from tests.report.records import MACHINE, record

SECOND_NS = 1_000_000_000


@pytest.fixture
def board(tmp_path, monkeypatch):
    """Two zones and two processors, of which the clock falls when told to."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    for number, millidegrees in enumerate((41_000, 55_000)):
        zone = tmp_path / f"class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "temp").write_text(f"{millidegrees}\n")
    for number in (0, 1):
        clock = tmp_path / f"devices/system/cpu/cpu{number}/cpufreq"
        clock.mkdir(parents=True)
        (clock / "scaling_cur_freq").write_text(f"{1_800_000 - 200_000 * number}\n")
    return tmp_path


@pytest.fixture
def clocked(monkeypatch):
    """A clock that goes on by hand."""
    now = [100.0]
    monkeypatch.setattr("edge_tester.meters.thermal.time.perf_counter", lambda: now[0])
    return now


def test_what_grows_is_the_mean_times_the_time(board, clocked):
    meter = ThermalMeter(sysfs=board)
    meter.open()
    clocked[0] += 2
    before = meter.read()
    # The hottest zone, and the mean of both processors.
    assert {"temperature_k_s", "clock_cycles", "observed_s"} == set(before)
    assert 2 * (55 + 273.15) == pytest.approx(before["temperature_k_s"])
    assert 2 * 1.7e9 == before["clock_cycles"] and 2 == before["observed_s"]
    (board / "class/thermal/thermal_zone0/temp").write_text("75000")
    (board / "devices/system/cpu/cpu1/cpufreq/scaling_cur_freq").write_text("600000")
    clocked[0] += 4
    grown = {name: value - before[name] for name, value in meter.read().items()}
    # Halfway between what was read before and after.
    assert 4 * (65 + 273.15) == pytest.approx(grown["temperature_k_s"])
    assert 4 * 1.45e9 == pytest.approx(grown["clock_cycles"])
    meter.close()
    meter.close()


def test_what_is_not_told_is_left_out(tmp_path, board):
    nothing = ThermalMeter(sysfs=tmp_path / "nothing")
    nothing.open()
    assert {} == nothing.read()
    nothing.close()
    (board / "class/thermal/thermal_zone1/temp").write_text("none")
    throttle = board / "devices/system/cpu/cpu0/thermal_throttle"
    throttle.mkdir()
    (throttle / "core_throttle_count").write_text("7")
    meter = ThermalMeter(sysfs=board)
    meter.open()
    assert 7 == meter.read()["throttle_events"]
    meter.close()


def measured(temperatures, clocks, **more):
    """A block of a second for each temperature [°C] and clock [GHz]."""
    return [
        Block(
            start_ns=0,
            target_ns=[SECOND_NS],
            readings={
                "observed_s": 1.0,
                "temperature_k_s": degrees + 273.15,
                "clock_cycles": clock * 1e9,
                **more,
            },
        )
        for degrees, clock in zip(temperatures, clocks, strict=True)
    ]


def test_means_are_those_of_blocks():
    blocks = measured([40, 60], [1.8, 1.2])
    assert [(40, 1.0), (60, 1.0)] == [(pytest.approx(c), s) for c, s in temperatures_c(blocks)]
    assert [(1.8e9, 1.0), (1.2e9, 1.0)] == clocks_hz(blocks)
    # Of two seconds, the first half second and the last one.
    assert (1.8e9, 1.2e9) == quarters(clocks_hz(blocks))
    assert (0.0, 0.0) == quarters([])
    assert (1.5, 3.5) == quarters([(1, 0.5), (2, 1.5), (3, 1.5), (4, 0.5)])


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        (measured([50] * 8, [1.8] * 5 + [1.2] * 3), "clock fell from 1.80 to 1.20 GHz"),
        (measured([50] * 8, [1.8] * 8), None),
        # What changed and came back is no course.
        (measured([50] * 9, [1.8, 1.8, 1.8, 1.2, 1.2, 1.2, 1.8, 1.8, 1.8]), None),
        (measured([60, 84], [1.8, 1.8]), "reached 84 °C"),
        (measured([60], [1.8], throttle_events=3.0), "lowered its clock 3 times"),
    ],
)
def test_heat_is_told_in_one_line(blocks, said):
    found = disturbances(blocks, MACHINE)
    assert [] == found if said is None else said in found[0] and len(found) == 1


def test_conditions_are_among_the_figures():
    counts = {"instructions": 5e6, "cycles": 2e6, "cpu0_busy_s": 0.9, "machine_busy_s": 1.0}
    parts = [
        Replicate(started="", blocks=measured([47, 63], [1.8, 1.5], **counts), complete=True)
        for _ in range(2)
    ]
    found = {one.title: (one.text, one.detail) for one in figures_of(record(replicates=parts))}
    assert ("63 °C", "from 47 °C, at most 63 °C") == found["Temperature"]
    assert ("1.50 GHz", "1.50 to 1.80 GHz") == found["Clock"]
    assert "5,000,000" == found["Instructions per inference"][0]
    assert "2,000,000" == found["Cycles per inference"][0]
    assert "Cache misses per inference" not in found
    assert "cpu0 90 %" == found["Processors busy"][0]
    short = [Block(start_ns=0, target_ns=[1000], readings=counts)]
    assert {} == processors_busy(short)
