"""Run a deployed model on all samples, block by block."""

from __future__ import annotations

import contextlib
import datetime
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from edge_tester.core.record import Block, Replicate
from edge_tester.core.run import heard
from edge_tester.core.run.batches import Batch, same_tensors
from edge_tester.core.run.deployment import Deployment
from edge_tester.core.run.feed import Feed
from edge_tester.core.run.pattern import LoadPattern, Situation, scheduled
from edge_tester.core.run.plan import Measurement
from edge_tester.core.run.recording import cold_start_of, memory_of
from edge_tester.core.system.machine import describe_machine
from edge_tester.core.tensors import Array
from edge_tester.core.wire.client import BlockAnswer, Client
from edge_tester.core.wire.payloads import Counters

# A pause between two inferences lets caches and branch predictors go cold, which was
# seen to add up to 0.03 ms to an inference: above this time, less than one percent.
_WARMED_BELOW_NS = 5_000_000
# Tensors of a block lie in memory on both sides.
_MOST_BYTES = 16 << 20


class Answers(NamedTuple):
    """What some inferences came to.

    Attributes
    ----------
    block : Block or None
        None for the cold inference of a model with a state, which is never run twice for a
        sample: it is the answer to the first one.
    batches : list of Batch
        What was asked.
    outputs : list of lists of ndarray
        Views that are valid until the next request.
    counters : Counters
        After it.
    """

    block: Block | None
    batches: list[Batch]
    outputs: list[list[Array]]
    counters: Counters


class _Start(NamedTuple):
    """What is known when the first block begins."""

    counters: Counters
    inference_ns: int
    untimed: int
    most: int


def measure(
    deployment: Deployment,
    feed: Feed,
    pattern: LoadPattern,
    measurement: Measurement,
    on_block: Callable[[Answers], None],
    remark: Callable[[str], None],
) -> Replicate:
    """Run all samples once.

    The first inference after loading is the cold one, apart from all others. One more tells
    whether the model answers the same input the same way, and how long it takes.

    Parameters
    ----------
    deployment : Deployment
        Freshly loaded.
    feed : Feed
    pattern : LoadPattern
    measurement : Measurement
    on_block : callable
        Hears of each block when it is whole: one that fails is lost.
    remark : callable
        Hears of what makes the figures doubtful.

    Raises
    ------
    EdgeTesterError
        What was heard until then counts.
    """
    client, started = deployment.client, now()
    blocks: list[Block] = []
    left = feed.inferences
    # Reading ahead on the machine that infers would take processor time from it.
    ahead = describe_machine().boot_id != deployment.machine.boot_id
    # Closed at the end, whatever ends it: a thread may be reading ahead.
    with contextlib.closing(feed.batches(ahead=ahead)) as batches:
        first = next(batches)
        cold, counters = _asked(client, [first], None, measurement)
        if deployment.stateful:
            most = _most(client, [*first.tensors, *cold.outputs[0]], measurement)
            start = _Start(counters, _times(cold)[0], 0, most)
            on_block(Answers(None, [first], cold.outputs, counters))
            left -= 1
            waiting: Iterator[Batch] = batches
        else:
            start = _warm_up(client, first, cold, measurement, remark)
            waiting = itertools.chain([first], batches)
        counters = start.counters
        while left:
            situation = Situation(start.most, left, start.inference_ns, start.untimed)
            schedule = scheduled(pattern, situation)
            chunk = list(itertools.islice(waiting, schedule.inferences))
            before = counters
            answer, counters = _asked(
                client, chunk, before, measurement, schedule.untimed, schedule.arrivals_ns
            )
            block = _block(answer, counters, before, schedule.untimed, deployment.in_process)
            on_block(Answers(block, chunk, answer.outputs, counters))
            blocks.append(block)
            left -= len(chunk)
    return Replicate(
        started=started,
        cold_start=cold_start_of(counters),
        memory=memory_of(counters),
        blocks=blocks,
        complete=True,
    )


def now() -> str:
    """Return the time, UTC, as records have it."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _warm_up(
    client: Client,
    first: Batch,
    cold: BlockAnswer,
    measurement: Measurement,
    remark: Callable[[str], None],
) -> _Start:
    once = [np.array(output) for output in cold.outputs[0]]
    again, counters = _asked(client, [first], cold.counters, measurement)
    (inference_ns,) = _times(again)
    same = all(map(same_tensors, once, again.outputs[0]))
    if not same:
        remark(
            "The model gave two different outputs for the same input: it keeps a state or "
            "draws random numbers, so its quality depends on the order of the samples."
        )
    warmed = measurement.pace == "loop" and same and inference_ns < _WARMED_BELOW_NS
    most = _most(client, [*first.tensors, *once], measurement)
    return _Start(counters, inference_ns, int(warmed), most)


def _most(client: Client, tensors: Sequence[Array], measurement: Measurement) -> int:
    """Return how many inferences a block may have."""
    if measurement.classical or measurement.pace == "isolated":
        return 1
    each = sum(one.nbytes for one in tensors) or 1
    return max(1, min(client.slots, _MOST_BYTES // each))


def _asked(
    client: Client,
    batches: Sequence[Batch],
    before: Counters | None,
    measurement: Measurement,
    untimed: int = 0,
    arrivals_ns: Sequence[int] = (),
) -> tuple[BlockAnswer, Counters]:
    answer = client.run_block(
        [batch.tensors for batch in batches],
        untimed=untimed,
        arrivals_ns=arrivals_ns,
        classical=measurement.classical,
    )
    heard.require_answer(answer, len(batches))
    heard.require_growth(answer.counters, before)
    return answer, answer.counters


def _times(answer: BlockAnswer) -> list[int]:
    return [end - start for start, end in zip(answer.start_ns, answer.end_ns, strict=True)]


def _block(
    answer: BlockAnswer, counters: Counters, before: Counters, untimed: int, in_process: bool
) -> Block:
    time_ns, earlier_ns = counters.cpu_time_ns, before.cpu_time_ns
    return Block(
        start_ns=answer.begin_ns,
        target_ns=_times(answer),
        # One process has no other side.
        host_ns=[] if in_process else answer.host_ns,
        untimed=untimed,
        cpu_time_ns=None if time_ns is None or earlier_ns is None else time_ns - earlier_ns,
        counters={"inferences": counters.inferences - before.inferences},
        readings={
            name: value - before.readings.get(name, 0.0)
            for name, value in counters.readings.items()
        },
    )
