"""Each load pattern by itself: what a block is, when its inferences arrive."""

import re
import sys
import textwrap
import types
from pathlib import Path

import numpy as np
import pytest

from edge_tester.core.errors import OptionError
from edge_tester.core.pattern import LoadPattern, Schedule, Situation, facts_of, scheduled
from edge_tester.core.results.parts import PatternFacts
from edge_tester.patterns.multi_stream import MultiStream
from edge_tester.patterns.offline import Offline
from edge_tester.patterns.sensor_rate import SensorRate
from edge_tester.patterns.server import Server
from edge_tester.patterns.single_stream import SingleStream
from edge_tester.testing import PatternConformance

ROOT = Path(__file__).parents[2]
MILLISECOND_NS = 1_000_000
SECOND_NS = 1_000_000_000


class TestSingleStream(PatternConformance):
    cls = SingleStream


class TestMultiStream(PatternConformance):
    cls = MultiStream


class TestSensorRate(PatternConformance):
    cls = SensorRate


class TestServer(PatternConformance):
    cls = Server


class TestFastServer(PatternConformance):
    cls = Server
    options = {"target_rate_hz": 5000.0, "seed": 3}


class TestOffline(PatternConformance):
    cls = Offline


def arrivals(pattern, count, *, most=256, late_ns=0, replicate=0):
    """All arrivals by the clock of arrivals, and the blocks; each block ends so late."""
    found, blocks, base_ns, since_ns = [], [], 0, 0
    while len(found) < count:
        left = count - len(found)
        situation = Situation(most, left, 1000, 0, replicate, len(found), since_ns)
        schedule = scheduled(pattern, situation)
        blocks.append(schedule)
        found += [base_ns + at_ns for at_ns in schedule.arrivals_ns]
        end_ns = schedule.arrivals_ns[-1] + late_ns
        base_ns, since_ns = base_ns + end_ns, late_ns
    return found, blocks


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        # 0.1 s are 12 queries of 8 ms; there is room for 32.
        (Situation(256, 1000, MILLISECOND_NS, 1), 96),
        (Situation(256, 1000, 1000, 1), 256),
        (Situation(100, 1000, 1000, 1), 96),
        (Situation(256, 1000, SECOND_NS, 0), 8),
        # What is left over runs, though it is no query.
        (Situation(256, 5, MILLISECOND_NS, 1), 5),
    ],
)
def test_multi_stream_has_whole_queries(situation, expected):
    assert Schedule(expected, situation.untimed) == MultiStream().block(situation)


def test_multi_stream_needs_room_for_a_query():
    with pytest.raises(OptionError, match=r"samples_per_query must be 1 to 7, .* got 8"):
        MultiStream().block(Situation(7, 100, 1000, 0))
    assert 3 == facts_of(MultiStream(samples_per_query=3)).inferences_per_query


def test_offline_fills_the_room_there_is():
    assert Schedule(256, 1) == Offline().block(Situation(256, 1000, 1000, 1))
    assert Schedule(40) == Offline().block(Situation(256, 40, 1000, 0))
    # An answer must come within minutes.
    assert Schedule(5) == Offline().block(Situation(256, 1000, 2 * SECOND_NS, 0))


@pytest.mark.parametrize(("most", "late_ns"), [(256, 0), (256, 35 * MILLISECOND_NS), (1, 500)])
def test_frames_come_in_every_period_wherever_blocks_end(most, late_ns):
    found, blocks = arrivals(SensorRate(period_ms=20), 130, most=most, late_ns=late_ns)
    assert [20 * MILLISECOND_NS * number for number in range(1, 131)] == found
    if most > 1:
        # A second of them.
        assert 50 <= len(blocks[0].arrivals_ns) <= 52
        # Those that came while the block before went on.
        assert (blocks[1].arrivals_ns[0] < 0) == (late_ns > 20 * MILLISECOND_NS)


def test_a_slow_model_has_few_frames_in_a_block():
    situation = Situation(256, 1000, 250 * MILLISECOND_NS, 0)
    assert 4 == SensorRate(period_ms=1).block(situation).inferences
    slow = SensorRate(period_ms=5000).block(situation)
    assert Schedule(1, 0, (5 * SECOND_NS,)) == slow


def test_what_a_sensor_s_battery_is_said_to_hold():
    facts = facts_of(SensorRate(period_ms=20, power_mw=500, battery_mwh=100))
    expected = PatternFacts(
        kind="deadline", deadline_ns=20 * MILLISECOND_NS, power_mw=500, battery_mwh=100
    )
    assert expected == facts
    with pytest.raises(OptionError, match="battery_mwh needs power_mw"):
        facts_of(SensorRate(battery_mwh=100))


def test_arrivals_at_a_server_are_a_poisson_process():
    found, _ = arrivals(Server(target_rate_hz=200, seed=1), 20_000)
    gaps_s = np.diff([0, *found]) / 1e9
    # Exponential: mean and standard deviation are 1 / rate, a share exp(-1) is above the mean.
    assert found[0] > 0
    assert gaps_s.mean() == pytest.approx(1 / 200, rel=0.03)
    assert gaps_s.std() == pytest.approx(1 / 200, rel=0.03)
    assert (gaps_s > 1 / 200).mean() == pytest.approx(np.exp(-1), abs=0.015)
    assert abs(np.corrcoef(gaps_s[:-1], gaps_s[1:])[0, 1]) < 0.03


def test_arrivals_follow_from_the_seed_and_the_replicate_alone():
    def of(seed=0, **how):
        return arrivals(Server(target_rate_hz=50, seed=seed), 200, **how)[0]

    assert of() == of(most=7, late_ns=12_345_678) == of(most=1)
    assert of() != of(seed=1)
    assert of() != of(replicate=1)


def test_the_pattern_that_the_documentation_shows(monkeypatch):
    """Five at once, wherever blocks end."""
    text = (ROOT / "docs/patterns.rst").read_text()
    shown = re.search(r"code-block:: python\n\n((?:    .*\n|\n)+)", text).group(1)
    module = types.ModuleType("shown")
    monkeypatch.setitem(sys.modules, "shown", module)
    exec(textwrap.dedent(shown), module.__dict__)
    for most in (1, 7, 256):
        found, _ = arrivals(module.Bursts(), 40, most=most)
        assert [50 * MILLISECOND_NS * (1 + n // 5) for n in range(40)] == found
    assert "deadline" == facts_of(module.Bursts()).kind


class Odd(LoadPattern):
    """Says of itself what no record can keep."""

    def facts(self):
        return PatternFacts(kind="unheard", inferences_per_query=0)


def test_facts_that_cannot_be_recorded_are_refused():
    with pytest.raises(OptionError, match=r"Odd.facts\(\) cannot be recorded"):
        facts_of(Odd())
