"""What an external meter read, laid over blocks; powers whose truth is known."""

import datetime

import msgspec
import numpy as np
import pytest

from edge_tester.core.errors import RecordError
from edge_tester.core.record import Block, Replicate, read_record, write_record
from edge_tester.core.results.energy import energies_of
from edge_tester.core.results.externalmeter import (
    Trace,
    begin_by_blocks,
    begin_by_clock,
    read_trace,
    with_energy,
)
from edge_tester.scenarios.energy import main
from tests.report.records import MACHINE, record

SECOND_NS, IDLE_W, BUSY_W = 1_000_000_000, 2.0, 7.0
ZERO_S = 1_790_000_000.0


def run_of(seed=0, block_s=0.4):
    """Three replicates of five blocks, with pauses between them, and longer ones for loads."""
    generator = np.random.default_rng(seed)
    now_s, found = 1000.0, []
    for _ in range(3):
        blocks = []
        for _ in range(5):
            now_s += generator.uniform(0.1, 0.5) * block_s
            inferences = [round(block_s / 10 * SECOND_NS)] * 10
            blocks.append(Block(start_ns=round(now_s * SECOND_NS), target_ns=inferences))
            now_s += block_s
        found.append(Replicate(started="", blocks=blocks, complete=True))
        now_s += generator.uniform(1, 3) * block_s
    return found


def trace_of(replicates, rate_hz=1000, before_s=3.0, after_s=4.0, noise_w=0.2):
    """What a meter reads from before a run until after it, by Unix time."""
    blocks = [block for one in replicates for block in one.blocks]
    spans = [(b.start_ns / 1e9, (b.start_ns + sum(b.target_ns)) / 1e9) for b in blocks]
    times_s = np.arange(spans[0][0] - before_s, spans[-1][1] + after_s, 1 / rate_hz)
    power_w = np.full(len(times_s), IDLE_W)
    for begin, end in spans:
        power_w[(times_s >= begin) & (times_s < end)] = BUSY_W
    return times_s + ZERO_S, power_w + noise_w * np.random.default_rng(1).normal(size=len(times_s))


def written(folder, times, powers, head="time_s,power_w"):
    path = folder / "meter.csv"
    lines = [f"{time},{power}" for time, power in zip(times, powers, strict=True)]
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A run, and its readings."""
    replicates = run_of()
    times_s, power_w = trace_of(replicates)
    path = written(tmp_path_factory.mktemp("meter"), [f"{one:.6f}" for one in times_s], power_w)
    return replicates, read_trace(path)


def test_energy_is_what_was_read_over_blocks(measured):
    replicates, trace = measured
    found, idle_w = with_energy(replicates, trace, begin_by_clock(trace, round(ZERO_S * SECOND_NS)))
    assert IDLE_W == pytest.approx(idle_w, rel=0.02)
    (one,) = energies_of(found)
    # 40 ms at 7 W, of which 2 W are idle.
    assert ("external", 0.28) == (one.name, pytest.approx(one.whole_j, rel=0.02))
    assert 0.2 == pytest.approx(one.above_idle_j, rel=0.02)
    assert one.interval[0] < 0.2 * 1.01 and one.interval[1] > 0.2 * 0.99


def test_blocks_are_found_in_readings_of_any_clock(measured):
    replicates, trace = measured
    moved = trace._replace(times_s=trace.times_s - trace.times_s[0])
    zero_s = begin_by_blocks(moved, replicates)
    assert ZERO_S - trace.times_s[0] == pytest.approx(zero_s, abs=0.003)
    (one,) = energies_of(with_energy(replicates, moved, zero_s)[0])
    assert 0.2 == pytest.approx(one.above_idle_j, rel=0.03)


@pytest.mark.parametrize("seed", range(5))
def test_a_meter_that_saw_another_run_is_no_meter_of_this_one(seed):
    replicates, other = run_of(100), run_of(200 + seed)
    times_s, power_w = trace_of(other, rate_hz=200, before_s=8, after_s=8)
    trace = Trace(times_s, power_w)
    with pytest.raises(RecordError, match="blocks are not found in the readings"):
        begin_by_blocks(trace, replicates)


def test_a_regular_run_fits_in_several_places(measured):
    blocks = [Block(start_ns=i * SECOND_NS, target_ns=[SECOND_NS // 2]) for i in range(20)]
    replicates = [Replicate(started="", blocks=blocks, complete=True)]
    # The meter saw more such blocks than these.
    more = [msgspec.structs.replace(one, start_ns=one.start_ns + 20 * SECOND_NS) for one in blocks]
    longer = [Replicate(started="", blocks=[*blocks, *more], complete=True)]
    with pytest.raises(RecordError, match="another one"):
        begin_by_blocks(Trace(*trace_of(longer, 100)), replicates)


def test_what_readings_cannot_tell_is_refused(measured):
    replicates, trace = measured
    zero_s = begin_by_clock(trace, round(ZERO_S * SECOND_NS))
    with pytest.raises(RecordError, match="they must cover it"):
        with_energy(replicates, trace._replace(times_s=trace.times_s + 5), zero_s)
    seldom = trace._replace(times_s=trace.times_s[::300], power_w=trace.power_w[::300])
    with pytest.raises(RecordError, match="reads every 300 ms, a block lasts 400 ms"):
        with_energy(replicates, seldom, zero_s)
    ended = trace.times_s < trace.times_s[-1] - 3.5
    short = trace._replace(times_s=trace.times_s[ended], power_w=trace.power_w[ended])
    found, idle_w = with_energy(replicates, short, zero_s)
    assert idle_w is None and energies_of(found)[0].idle_w is None
    for lacking in (None, 0):
        moved = trace._replace(times_s=trace.times_s - (0 if lacking is None else ZERO_S))
        with pytest.raises(RecordError, match="cannot be aligned by time"):
            begin_by_clock(moved, lacking)
    with pytest.raises(RecordError, match="does not fit into readings"):
        begin_by_blocks(
            trace._replace(times_s=trace.times_s[:50], power_w=trace.power_w[:50]), replicates
        )


@pytest.mark.parametrize(
    ("head", "rows", "power_w"),
    [
        ("Time (ms),Power (mW)", [(0, 1500), (10, 2500), (20, 500)], [1.5, 2.5, 0.5]),
        ("time_us,voltage_v,current_ma", [(0, 5, 300), (5, 5, -100), (9, 4, 0)], [1.5, 0.5, 0]),
        ("power_w,timestamp", [(1, "2026-11-21T04:07:00"), (2, "2026-11-21T04:07:00.5")], [1, 2]),
    ],
)
def test_columns_say_their_units(tmp_path, head, rows, power_w):
    path = tmp_path / "m.csv"
    path.write_text("\n".join([head, *(",".join(map(str, row)) for row in rows)]))
    trace = read_trace(path)
    assert power_w == pytest.approx(trace.power_w)
    step_s = {"T": 0.01, "t": 5e-6, "p": 0.5}[head[0]]
    assert step_s == pytest.approx(trace.times_s[1] - trace.times_s[0])
    if head.startswith("power"):
        moment = datetime.datetime.fromisoformat("2026-11-21T04:07:00")
        assert moment.timestamp() == trace.times_s[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time_s,power\n0,1\n1,1\n", "column 'power' must end in its unit, one of w, mw"),
        ("time_s,volume_w\n0,1\n1,1\n", "no column of voltage"),
        ("time_s,power_w\n0,1\n0,1\n", "growing times"),
        ("time_s,power_w\n0,1\n1,nan\n", "powers that are numbers"),
        ("time_s,power_w\n0,much\n1,1\n", "column 'power_w'"),
        ("time_s,power_w\n0\n1\n", "column 'power_w'"),
        ("time_s,power_w\n", "at least two readings"),
    ],
)
def test_mistakes_are_named(tmp_path, text, said):
    path = tmp_path / "m.csv"
    path.write_text(text)
    with pytest.raises(RecordError, match=said):
        read_trace(path)
    with pytest.raises(RecordError, match="cannot be read"):
        read_trace(tmp_path / "none.csv")


def test_a_record_gets_the_energy_in_a_copy(tmp_path, measured, capsys):
    replicates, trace = measured
    target = msgspec.structs.replace(MACHINE, clock_epoch_ns=round(ZERO_S * SECOND_NS))
    path = tmp_path / "r.json"
    write_record(record(replicates=replicates, target=target), path)
    csv = written(tmp_path, [f"{one:.6f}" for one in trace.times_s - 7200], trace.power_w)
    main([str(path), str(csv), "--offset-s", "7200"])
    assert "Energy per inference (external)" in capsys.readouterr().out
    found = read_record(tmp_path / "r-energy.json")
    assert "Energy is that of an external meter, meter.csv." in found.remarks
    assert 0.2 == pytest.approx(energies_of(found.replicates)[0].above_idle_j, rel=0.02)
    assert [] == energies_of(read_record(path).replicates)
    main([str(path), str(csv), "--align", "blocks", "--output", str(tmp_path / "b.json")])
    blocks = read_record(tmp_path / "b.json")
    assert 0.2 == pytest.approx(energies_of(blocks.replicates)[0].above_idle_j, rel=0.03)
