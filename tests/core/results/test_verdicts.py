"""What records say of each other."""

import msgspec
import numpy as np
import pytest

from edge_tester.core.record import PatternFacts
from edge_tester.core.results.verdicts import compared, findings, medians_ns
from tests.core.results.series import answered, disturbed, measured
from tests.core.results.test_patterns import MILLISECOND_NS, served
from tests.report.records import record

MARGIN = 0.02
NAMES = ["old", "new", "newer"]


def pair(ratio, seed, *, together="t"):
    """Two records that feel the same machine; the second takes ``ratio`` times as long."""
    machine = disturbed(seed)
    old = measured("old", 100_000, machine, seed + 1000, together=together)
    other = machine if together else disturbed(seed + 5000)
    return [old, measured("new", 100_000 * ratio, other, seed + 2000, together=together)]


def verdict(records, margin=MARGIN):
    (one,) = compared(records, NAMES[:2], 0, margin)
    return one


def test_what_ran_together_is_compared_pair_by_pair():
    """The machine changes by 10 % from replicate to replicate, and a 5 % difference is seen."""
    for seed in range(10):
        one = verdict(pair(1.05, seed))
        assert one.together
        assert "slower" == one.latency.verdict
        assert one.latency.low < 1.05 < one.latency.high
        assert one.latency.high / one.latency.low < 1.02
        (said,) = findings([one])
        assert said.startswith("new is slower than old: it takes")


def test_what_ran_apart_has_the_wider_interval():
    one = verdict(pair(1.05, 3, together=None))
    assert not one.together
    assert one.latency.high / one.latency.low > 1.1
    assert "unknown" == one.latency.verdict
    first, second = findings([one])
    assert "more replicates" in first and "new was measured apart from old" in second


def test_the_same_thing_is_not_called_faster_or_slower():
    verdicts = [verdict(pair(1.0, seed)).latency.verdict for seed in range(60)]
    assert verdicts.count("faster") + verdicts.count("slower") <= 3
    assert verdicts.count("equivalent") >= 50
    apart = [verdict(pair(1.0, seed, together=None)).latency.verdict for seed in range(60)]
    assert apart.count("faster") + apart.count("slower") <= 6


def test_a_run_with_other_runs_is_no_run_with_this_one():
    old, new = pair(1.05, 1)
    other = msgspec.structs.replace(new, together="of others")
    assert not verdict([old, other]).together


def test_one_replicate_tells_nothing():
    one = verdict([pair(1.0, 1)[0], record("new")])
    assert one.latency is None
    assert "new has one replicate" in one.lacking and "--replicates 5" in one.lacking
    assert [one.lacking] == findings([one])


def test_what_ended_early_counts_as_far_as_it_came():
    old, new = pair(1.05, 2)
    cut = msgspec.structs.replace(new.replicates[3], blocks=new.replicates[3].blocks[:2])
    new = msgspec.structs.replace(new, replicates=[*new.replicates[:3], cut])
    one = verdict([old, new])
    assert 4 == one.latency.replicates and "slower" == one.latency.verdict


def test_many_comparisons_each_have_to_show_more():
    """Of one baseline and eight that are the same, seldom is any called different."""
    false = 0
    for seed in range(20):
        machine = disturbed(seed)
        records = [
            measured(str(number), 100_000, machine, 100 * seed + number, together="t")
            for number in range(9)
        ]
        found = compared(records, [one.name for one in records], 0, 0.0001)
        false += any(one.latency.verdict in ("faster", "slower") for one in found)
    assert false <= 3


def test_the_baseline_is_the_one_that_is_named():
    machine = disturbed(5)
    records = [
        measured(name, scale, machine, seed, together="t")
        for seed, (name, scale) in enumerate(zip(NAMES, (100_000, 110_000, 120_000), strict=True))
    ]
    found = compared(records, NAMES, 1, MARGIN)
    assert [("old", "faster"), ("newer", "slower")] == [
        (one.name, one.latency.verdict) for one in found
    ]
    assert {"new"} == {one.baseline for one in found}


def test_answers_to_the_same_samples_are_paired():
    old, new = pair(1.0, 1)
    truth = [0] * 50 + [1] * 50
    right_but = [1, 1, *truth[2:]]
    other = [0, 1, *truth[2:98], 0, 0]
    one = verdict([answered(old, truth, right_but), answered(new, truth, other)])
    assert (100, 1, 2) == (one.answers.samples, one.answers.now_right, one.answers.now_wrong)
    said = findings([one, msgspec.structs.replace(one, name="newer")])[-1]
    assert "No difference in accuracy is shown between old and new or newer; a loss of" in said
    lost = answered(new, truth, [1] * 30 + truth[30:])
    worse = verdict([answered(old, truth, truth), lost])
    assert "30.00 points less than that of old" in findings([worse])[-1]
    assert verdict([old, new]).answers is None


def test_medians_are_those_of_replicates():
    one = pair(1.0, 1)[0]
    assert [np.median(replicate.target_ns) for replicate in one.replicates] == pytest.approx(
        medians_ns(one)
    )


def under(name, kind, utilisation, service_ns):
    """A record of five replicates, at each of which the same requests arrive whoever serves."""
    parts = []
    for number in range(5):
        gaps_ns = np.random.default_rng(number).exponential(MILLISECOND_NS / utilisation, 400)
        parts.append(served(gaps_ns.cumsum().astype(int), [service_ns] * 400))
    return record(name, replicates=parts, pattern=PatternFacts(kind=kind), together="t")


def test_queries_are_compared_by_their_latency():
    """Five percent more service time are more than five percent of waiting."""
    old, new = under("old", "query", 0.8, MILLISECOND_NS), under("new", "query", 0.8, 1_050_000)
    one = verdict([old, new])
    assert "slower" == one.latency.verdict and one.latency.ratio > 1.08
    assert any("the latency of queries, from their arrival" in text for text in findings([one]))
    plain = [msgspec.structs.replace(run, pattern=PatternFacts()) for run in (old, new)]
    assert 1.05 == pytest.approx(verdict(plain).latency.ratio)
    # Unlike patterns have inferences in common.
    assert 1.05 == pytest.approx(verdict([old, plain[1]]).latency.ratio)
    assert not verdict([old, plain[1]]).judged
    overdone = verdict([old, under("new", "query", 0.8, 1_500_000)])
    assert overdone.latency is None and "the queue of new grows" in overdone.lacking


def test_throughput_is_compared_by_the_time_of_a_sample():
    """Twice as many samples in an inference that takes 1.5 times as long."""
    old, new = (under(name, "throughput", 2.0, MILLISECOND_NS) for name in ("old", "new"))
    slow = under("new", "throughput", 2.0, 1_500_000)
    one = verdict([old, msgspec.structs.replace(slow, batch_size=2)])
    assert 0.75 == pytest.approx(one.latency.ratio, rel=0.01)
    assert "faster" == one.latency.verdict and "one over the throughput" in one.judged
