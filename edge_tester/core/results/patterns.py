"""The figures of load patterns: queries, deadlines, throughput.

Sources of the definitions: V. J. Reddi et al., "MLPerf Inference Benchmark", ISCA 2020, section
III.C (latency of queries, from the scheduled arrival; throughput); L. Kleinrock, "Queueing
Systems", volume 1, 1975, section 2.1 (utilisation, waiting time).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from edge_tester.core.results.parts import Block, PatternFacts, Replicate
from edge_tester.core.results.values import PERCENTILES, Value, latency_values, with_interval
from edge_tester.core.statistics.intervals import replicate_interval, shares_interval
from edge_tester.core.tensors import Array

_GROWS: Final = "arrivals come faster than they are served, so the queue grows"
_AT_ONCE: Final = "all samples are there at once: the time of one is no latency"
# With fewer arrivals a queue that has not been empty for long is nothing unusual.
_LEAST_ARRIVALS: Final = 40


def pattern_values(
    facts: PatternFacts, replicates: Sequence[Replicate], batch_size: int
) -> dict[str, Value]:
    """Return the figures of a load pattern, by the keys of ``MEASURES``.

    Parameters
    ----------
    facts : PatternFacts
        What of the inferences is a result.
    replicates : sequence of Replicate
    batch_size : int
        Samples per inference.
    """
    known = [one for one in replicates if any(block.begins_ns for block in one.blocks)]
    if facts.kind == "inference" or not known:
        return {}
    if facts.kind == "throughput":
        return {
            **dict.fromkeys(PERCENTILES, Value(None, why=_AT_ONCE)),
            "throughput": _ratio(
                [batch_size * sum(map(len, map(_ends_ns, one.blocks))) for one in known],
                [busy_span_ns(one) / 1e9 for one in known],
            ),
        }
    arriving = [one for one in known if _arrive(one)]
    values: dict[str, Value] = {}
    if facts.kind == "query":
        values |= _queries(facts.inferences_per_query, known)
    if not arriving:
        return values
    offered = _offered(arriving)
    if facts.kind == "query":
        waits_ns = [float(waiting_ns(one).mean()) for one in arriving]
        counts = [len(waiting_ns(one)) for one in arriving]
        mean_ns = float(np.average(waits_ns, weights=counts))
        values["waiting"] = with_interval(mean_ns, replicate_interval(waits_ns))
        values["utilisation"] = offered
        if overloaded(arriving):
            grows = dict.fromkeys(("waiting", *_query_keys()), Value(None, why=_GROWS))
            values |= grows
        return values
    return {**values, **_deadlines(facts, arriving, offered)}


def pattern_remarks(facts: PatternFacts, replicates: Sequence[Replicate]) -> list[str]:
    """Return what makes the figures of a load pattern doubtful."""
    remarks = []
    arriving = [one for one in replicates if _arrive(one)]
    if arriving and overloaded(arriving):
        share = _offered(arriving).number or 0.0
        remarks.append(
            f"Inferences arrived faster than they were served (utilisation {100 * share:.0f} %): "
            "the queue grows for as long as that goes on, so that there is no latency that they "
            "have. There is one at a lower rate."
        )
    if facts.power_mw is not None:
        remarks.append(
            "Energy per event and battery life are estimates, not measurements: the target is said "
            f"to draw {facts.power_mw:g} mW while it infers, and what it draws between frames is "
            "not counted."
        )
    return remarks


def query_latency_ns(replicate: Replicate, size: int) -> Array:
    """Return the latency of each whole query of so many inferences, in their order [ns].

    It is from the arrival, or from the begin of the first inference where there is none, to the end
    of the last one.
    """
    return np.concatenate(
        [np.empty(0, np.int64), *(_query_latency_ns(block, size) for block in replicate.blocks)]
    )


def judged_ns(facts: PatternFacts, replicate: Replicate, batch_size: int) -> list[Array]:
    """Return what comparisons judge of each block that has something of it [ns].

    It is the latency of each query, where these are what a pattern is about; where it is
    throughput, the time of a sample; otherwise the time of each inference.
    """
    if facts.kind == "query":
        size = facts.inferences_per_query
        found = [_query_latency_ns(block, size) for block in replicate.blocks]
    elif facts.kind == "throughput":
        spans = [(_span_ns(block), len(block.target_ns)) for block in replicate.blocks]
        found = [np.array([span / count / batch_size]) for span, count in spans if span]
    else:
        found = [np.array(block.target_ns, np.int64) for block in replicate.blocks]
    return [one for one in found if len(one)]


def waiting_ns(replicate: Replicate) -> Array:
    """Return how long each inference that has an arrival waited until it began [ns]."""
    pairs = [
        (begin_ns, at_ns)
        for block in replicate.blocks
        for begin_ns, at_ns in zip(block.begins_ns, block.arrivals_ns, strict=False)
    ]
    return np.array([begin_ns - at_ns for begin_ns, at_ns in pairs], np.int64)


def arrival_ns(replicate: Replicate) -> int:
    """Return when the last inference arrived, by the clock of arrivals [ns].

    That clock begins with the first block and stands still between blocks.
    """
    blocks = [block for block in replicate.blocks if block.arrivals_ns and block.begins_ns]
    return sum(_ends_ns(block)[-1] for block in blocks[:-1]) + blocks[-1].arrivals_ns[-1]


def busy_span_ns(replicate: Replicate) -> int:
    """Return the time from the first begin to the last end of each block, together [ns].

    Nothing of what the link takes between blocks is in it.
    """
    return sum(map(_span_ns, replicate.blocks))


def overloaded(replicates: Sequence[Replicate]) -> bool:
    """Tell whether inferences arrived faster than they were served, and the queue grew.

    Either the work that arrived was more than there was time for, or in no replicate was the queue
    ever empty again in the second half.
    """
    if 0 < sum(map(arrival_ns, replicates)) <= sum(map(_busy_ns, replicates)):
        return True
    judged = [one for one in map(_found_empty, replicates) if len(one) >= _LEAST_ARRIVALS]
    return bool(judged) and not any(any(one[len(one) // 2 :]) for one in judged)


def _found_empty(replicate: Replicate) -> list[bool]:
    """Return of each arrival whether all before it had ended by then."""
    found = []
    for block in replicate.blocks:
        ready_ns = [0, *_ends_ns(block)[:-1]]
        pairs = zip(block.arrivals_ns, ready_ns, strict=False)
        found += [at_ns > before_ns for at_ns, before_ns in pairs]
    return found


def _arrive(replicate: Replicate) -> bool:
    return any(block.arrivals_ns and block.begins_ns for block in replicate.blocks)


def _query_keys() -> list[str]:
    return [f"query_{key}" for key in PERCENTILES]


def _queries(size: int, replicates: Sequence[Replicate]) -> dict[str, Value]:
    found = latency_values([query_latency_ns(one, size) for one in replicates])
    # What is missing is said in inferences.
    return {
        f"query_{key}": value._replace(missing=size * value.missing) for key, value in found.items()
    }


def _deadlines(
    facts: PatternFacts, replicates: Sequence[Replicate], offered: Value
) -> dict[str, Value]:
    missed, counts = [], []
    for one in replicates:
        late = query_latency_ns(one, 1) > (facts.deadline_ns or 0)
        missed.append(int(late.sum()))
        counts.append(len(late))
    share = sum(missed) / sum(counts)
    values = {
        "missed": Value(share, shares_interval(missed, counts)),
        # What arrives beyond all the time there is leaves it all busy.
        "duty": _at_most_one(offered),
    }
    if facts.power_mw is not None:
        busy_s = sum(map(_busy_ns, replicates)) / 1e9
        values["energy"] = Value(facts.power_mw / 1e3 * busy_s / sum(counts))
        drawn_w = facts.power_mw / 1e3 * (values["duty"].number or 0.0)
        if facts.battery_mwh is not None and drawn_w > 0:
            values["battery"] = Value(facts.battery_mwh * 3.6 / drawn_w)
    return values


def _offered(replicates: Sequence[Replicate]) -> Value:
    """Return the work that arrived, as a share of the time in which it did."""
    return _ratio(list(map(_busy_ns, replicates)), list(map(arrival_ns, replicates)))


def _ratio(parts: Sequence[float], wholes: Sequence[float]) -> Value:
    """Return the ratio of what replicates have together, with its interval over them."""
    if min(wholes) <= 0:
        return Value(None)
    ratios = [part / whole for part, whole in zip(parts, wholes, strict=True)]
    value = with_interval(sum(parts) / sum(wholes), replicate_interval(ratios))
    return value._replace(single=len(ratios) == 1)


def _at_most_one(value: Value) -> Value:
    if value.number is None:
        return value
    interval = value.interval and (min(1.0, value.interval[0]), min(1.0, value.interval[1]))
    return value._replace(number=min(1.0, value.number), interval=interval)


def _busy_ns(replicate: Replicate) -> int:
    return sum(sum(block.target_ns) for block in replicate.blocks)


def _query_latency_ns(block: Block, size: int) -> Array:
    origins_ns, ends_ns = block.arrivals_ns or block.begins_ns, _ends_ns(block)
    whole = len(ends_ns) - len(ends_ns) % size
    first = np.array(origins_ns[:whole:size], np.int64)
    return np.array(ends_ns[size - 1 : whole : size], np.int64) - first


def _span_ns(block: Block) -> int:
    return _ends_ns(block)[-1] - block.begins_ns[0] if block.begins_ns else 0


def _ends_ns(block: Block) -> list[int]:
    pairs = zip(block.begins_ns, block.target_ns, strict=False)
    return [begin_ns + time_ns for begin_ns, time_ns in pairs]
