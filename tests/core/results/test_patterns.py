"""Figures of load patterns, on queues whose truth is known."""

import numpy as np
import pytest

from edge_tester.core.record import Block, PatternFacts, Replicate
from edge_tester.core.results.figures import figure_of, figures_of
from edge_tester.core.results.measures import MEASURES, measure_all
from edge_tester.core.results.patterns import (
    arrival_ns,
    overloaded,
    pattern_remarks,
    pattern_values,
    query_latency_ns,
    waiting_ns,
)
from edge_tester.core.statistics.intervals import replicate_interval, shares_interval
from edge_tester.core.statistics.intervals import wilson_interval as wilson
from edge_tester.core.statistics.percentiles import smallest_not_exceeded
from tests.report.records import record

MILLISECOND_NS = 1_000_000
QUERY = PatternFacts(kind="query")


def replicate(*blocks):
    return Replicate(started="2026-11-21T04:07:00+00:00", blocks=list(blocks), complete=True)


def block(target_ns, begins_ns, arrivals_ns=(), **more):
    return Block(
        start_ns=10**15,
        target_ns=list(target_ns),
        begins_ns=list(begins_ns),
        arrivals_ns=list(arrivals_ns),
        **more,
    )


def served(arrivals_ns, service_ns, size=64):
    """Serve arrivals in their order, in blocks whose clocks begin when the one before ended."""
    blocks, free_ns, base_ns = [], 0, 0
    for first in range(0, len(arrivals_ns), size):
        arrivals, times, begins = [], [], []
        for at_ns, time_ns in zip(
            arrivals_ns[first : first + size], service_ns[first : first + size], strict=True
        ):
            begin_ns = max(int(at_ns), free_ns)
            free_ns = begin_ns + int(time_ns)
            arrivals.append(int(at_ns) - base_ns)
            begins.append(begin_ns - base_ns)
            times.append(int(time_ns))
        blocks.append(block(times, begins, arrivals))
        base_ns = free_ns
    return replicate(*blocks)


def poisson(utilisation, count, seed, service_ns=MILLISECOND_NS, size=64):
    generator = np.random.default_rng(seed)
    arrivals_ns = generator.exponential(service_ns / utilisation, count).cumsum()
    return served(arrivals_ns.astype(int), [service_ns] * count, size)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_blocks_do_not_change_what_one_waits(size):
    """The recursion of D. V. Lindley (1952): what waits, waits over the ends of blocks."""
    generator = np.random.default_rng(1)
    gaps = generator.integers(1, 2000, 500)
    times = generator.integers(1, 1500, 500)
    found = served(gaps.cumsum(), times, size)
    waits = [0]
    for gap, time in zip(gaps[1:], times[:-1], strict=True):
        waits.append(max(0, waits[-1] + int(time) - int(gap)))
    assert waits == waiting_ns(found).tolist()
    assert (np.array(waits) + times).tolist() == query_latency_ns(found, 1).tolist()
    assert gaps.sum() == arrival_ns(found)


@pytest.mark.parametrize("utilisation", [0.3, 0.5, 0.7])
def test_waiting_is_that_of_theory(utilisation):
    """M/D/1: rho / (2 (1 - rho)) service times (A. Khinchin, 1932, after F. Pollaczek, 1930)."""
    parts = [poisson(utilisation, 20_000, seed) for seed in range(5)]
    values = pattern_values(QUERY, parts, 1)
    expected_ns = utilisation / (2 * (1 - utilisation)) * MILLISECOND_NS
    assert values["waiting"].number == pytest.approx(expected_ns, rel=0.05)
    low, high = values["waiting"].interval
    assert low <= values["waiting"].number <= high
    assert values["utilisation"].number == pytest.approx(utilisation, rel=0.02)
    assert not overloaded(parts)
    assert [] == pattern_remarks(QUERY, parts)


def test_latency_of_a_query_counts_from_its_arrival():
    parts = [poisson(0.5, 2000, seed) for seed in range(4)]
    values = pattern_values(QUERY, parts, 1)
    together = np.concatenate([waiting_ns(one) + MILLISECOND_NS for one in parts])
    assert smallest_not_exceeded(together, 0.9) == values["query_p90"].number
    assert values["query_p90"].number > 2 * MILLISECOND_NS
    low, high = values["query_p90"].interval
    assert low <= values["query_p90"].number <= high


@pytest.mark.parametrize("utilisation", [1.2, 2.0])
def test_a_queue_that_grows_has_no_latency(utilisation):
    parts = [poisson(utilisation, 300, seed) for seed in range(3)]
    one = record(replicates=parts, pattern=QUERY)
    values = measure_all(one)
    assert [None] * 4 == [
        values[key].number for key in ("waiting", "query_p50", "query_p90", "query_p99")
    ]
    assert values["utilisation"].number == pytest.approx(utilisation, rel=0.1)
    (told,) = [f for f in figures_of(one) if f.title == "Query latency p99"]
    assert ("not available", "arrivals come faster than they are served, so the queue grows") == (
        told.text,
        told.detail,
    )
    (remark,) = pattern_remarks(QUERY, parts)
    assert "arrived faster than they were served" in remark


def test_a_queue_grows_also_where_time_between_inferences_is_what_lacks():
    """The inferences take 0.9 of the time, and getting at their inputs another 0.3."""
    times = [900_000] * 200
    arrivals = np.arange(1, 201) * MILLISECOND_NS
    begins = [MILLISECOND_NS + index * 1_200_000 for index in range(200)]
    late = [replicate(block(times, begins, arrivals))]
    assert pattern_values(QUERY, late, 1)["utilisation"].number < 1
    assert overloaded(late)
    # Too few to tell.
    short = [replicate(block(times[:20], begins[:20], arrivals[:20]))]
    assert not overloaded(short)


def test_a_query_is_several_inferences_with_what_is_between_them():
    """Two whole queries of three, and one inference that is left over."""
    one = replicate(block([10, 10, 10, 20, 20, 20, 99], [5, 20, 40, 100, 125, 150, 200]))
    assert [45, 70] == query_latency_ns(one, 3).tolist()
    values = pattern_values(PatternFacts(kind="query", inferences_per_query=3), [one] * 3, 1)
    assert {"query_p50", "query_p90", "query_p99"} == set(values)
    # 300 are needed for a percentile of 99; what is missing is said in inferences.
    assert 3 * 293 == values["query_p99"].missing


def test_throughput_is_without_what_is_between_blocks():
    """Each block: 4 inferences from 1 ms to 9 ms by its clock, whenever it began."""
    facts = PatternFacts(kind="throughput")
    blocks = [
        block([2 * MILLISECOND_NS] * 4, [(1 + 2 * i) * MILLISECOND_NS for i in range(4)])
        for _ in range(3)
    ]
    slower = block([4 * MILLISECOND_NS] * 4, [4 * i * MILLISECOND_NS for i in range(4)])
    parts = [replicate(*blocks), replicate(slower)]
    values = pattern_values(facts, parts, 2)
    assert 2 * 16 / 0.040 == pytest.approx(values["throughput"].number)
    assert replicate_interval([1000, 500]) == pytest.approx(values["throughput"].interval)
    assert values["p50"].number is None and "no latency" in values["p50"].why
    found = {
        one.title: one for one in figures_of(record(replicates=parts, batch_size=2, pattern=facts))
    }
    assert "800.0 samples/s" == found["Throughput"].text
    assert "not available" == found["Latency p50"].text
    few = record(replicates=[replicate(block([5] * 4, [0, 5, 10, 15]))], pattern=facts)
    assert "Latency of each inference" not in {one.title for one in figures_of(few)}
    one = pattern_values(facts, parts[:1], 1)["throughput"]
    assert one.single and one.interval is None


def test_deadlines_and_what_a_battery_gives():
    """Four frames of 10 ms each; two are ready later than 10 ms after they came."""
    arrivals = [10, 20, 30, 40]
    begins, times = [10, 20, 33, 41], [4, 11, 5, 9]
    scaled = [[value * MILLISECOND_NS for value in row] for row in (times, begins, arrivals)]
    one = replicate(block(*scaled))
    facts = PatternFacts(
        kind="deadline", deadline_ns=9 * MILLISECOND_NS, power_mw=500, battery_mwh=1000
    )
    values = pattern_values(facts, [one, one], 1)
    assert (0.5, pytest.approx(wilson(4, 8))) == (
        values["missed"].number,
        values["missed"].interval,
    )
    # 29 ms of work came in 40 ms.
    assert 29 / 40 == values["duty"].number
    assert 0.5 * 29e-3 / 4 == pytest.approx(values["energy"].number)
    assert 3600 / (0.5 * 29 / 40) == pytest.approx(values["battery"].number)
    (remark,) = pattern_remarks(facts, [one])
    assert "estimates, not measurements: the target is said to draw 500 mW" in remark
    titles = {m.key: figure_of(m, values[m.key]) for m in MEASURES if m.key in values}
    assert "Energy per event (estimate)" == titles["energy"].title
    assert ("Battery life (estimate)", "2.759 hours") == (
        titles["battery"].title,
        titles["battery"].text,
    )
    bare = PatternFacts(kind="deadline", deadline_ns=10 * MILLISECOND_NS)
    assert {"missed", "duty"} == set(pattern_values(bare, [one], 1))
    assert 0.25 == pattern_values(bare, [one], 1)["missed"].number


def test_what_arrives_beyond_all_time_leaves_it_all_busy():
    values = pattern_values(
        PatternFacts(kind="deadline", deadline_ns=MILLISECOND_NS),
        [served(np.arange(1, 101) * MILLISECOND_NS, [1_500_000] * 100)] * 2,
        1,
    )
    assert (1.0, 1.0) == (values["duty"].number, values["missed"].number)
    assert (1.0, 1.0) == values["duty"].interval


def test_where_nothing_comes_after_the_first_there_is_no_rate():
    one = replicate(block([10, 10], [0, 10], [0, 0]))
    found = pattern_values(PatternFacts(kind="deadline", deadline_ns=15, power_mw=1), [one], 1)
    assert (0.5, None) == (found["missed"].number, found["duty"].number)
    assert not overloaded([one])


def test_a_record_of_single_stream_has_no_such_figure():
    assert {} == pattern_values(PatternFacts(), record().replicates, 1)
    assert {} == pattern_values(QUERY, record().replicates, 1)
    assert [] == pattern_remarks(QUERY, record().replicates)


def test_the_interval_of_a_share_holds_it_as_often_as_it_says():
    """Replicates that differ, and replicates that do not; 95 % with room for chance."""
    generator = np.random.default_rng(5)
    for spread in (0.0, 0.5):
        held = 0
        for _ in range(1000):
            logits = generator.normal(-1.5, spread, 5)
            shares = 1 / (1 + np.exp(-logits))
            low, high = shares_interval(generator.binomial(100, shares).tolist(), [100] * 5)
            truth = 1 / (1 + np.exp(-generator.normal(-1.5, spread, 200_000))) if spread else shares
            held += low <= truth.mean() <= high
        assert held >= 925
    assert wilson(0, 50) == shares_interval([0, 0], [20, 30])
    assert wilson(3, 10) == shares_interval([3], [10])
