"""Run a deployed model on all samples, block by block."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from edge_tester.core.pattern import LoadPattern, Schedule, Situation, facts_of, scheduled
from edge_tester.core.record import Block
from edge_tester.core.run import heard
from edge_tester.core.run.batches import Batch, same_tensors
from edge_tester.core.run.deployment import Deployment
from edge_tester.core.run.feed import Feed
from edge_tester.core.run.plan import Measurement
from edge_tester.core.system.interrupts import heed
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
        Views that are valid until the next request over the same connection.
    counters : Counters
        After it.
    again : bool
        Whether these samples were answered before: only their time counts.
    """

    block: Block | None
    batches: list[Batch]
    outputs: list[list[Array]]
    counters: Counters
    again: bool = False


class Share(NamedTuple):
    """What a replicate runs.

    Attributes
    ----------
    indices : ndarray of int
        Samples that it answers, each once.
    inferences : int
        How many inferences it runs at least; where it has fewer samples, it runs samples again.
    duration_ns : int
        How long its blocks take together at least, with all that the link takes [ns].
    replicate : int
        Which one it is, from 0 on.
    """

    indices: Array
    inferences: int = 0
    duration_ns: int = 0
    replicate: int = 0


class Start(NamedTuple):
    """What is known of a fresh deployment when its first block begins.

    Attributes
    ----------
    first : Batch
        What ran until then.
    counters : Counters
    inference_ns : int
        About how long an inference takes.
    untimed : int
        Inferences before each block that let it begin with warm caches.
    most : int
        Inferences that a block may have.
    answers : Answers or None
        To the first batch, if the model keeps a state.
    """

    first: Batch
    counters: Counters
    inference_ns: int
    untimed: int
    most: int
    answers: Answers | None = None


def begin(
    deployment: Deployment,
    first: Batch,
    measurement: Measurement,
    remark: Callable[[str], None],
) -> Start:
    """Run the first inference after loading: the cold one, apart from all others.

    One more tells whether the model answers the same input the same way, and how long it takes.

    Parameters
    ----------
    deployment : Deployment
        Freshly loaded.
    first : Batch
        The first one of its share.
    measurement : Measurement
    remark : callable
        Hears of what makes the figures doubtful.

    Raises
    ------
    EdgeTesterError
    """
    client = deployment.client
    cold, counters = _asked(client, [first], None, measurement)
    if not deployment.stateful:
        return _warm_up(client, first, cold, measurement, remark)
    most = _most(client, [*first.tensors, *cold.outputs[0]], measurement)
    answers = Answers(None, [first], cold.outputs, counters)
    return Start(first, counters, _times(cold)[0], 0, most, answers)


def blocks(
    deployment: Deployment,
    feed: Feed,
    start: Start,
    share: Share,
    pattern: LoadPattern,
    measurement: Measurement,
) -> Generator[Answers, None, None]:
    """Run a share of the samples, one block for each step.

    Parameters
    ----------
    deployment : Deployment
    feed : Feed
    start : Start
        Of this deployment.
    share : Share
    pattern : LoadPattern
    measurement : Measurement

    Raises
    ------
    EdgeTesterError
        The block of this step is lost.
    """
    # Reading ahead on the machine that infers would take processor time from it.
    ahead = describe_machine().boot_id != deployment.machine.boot_id
    waiting: Iterator[Batch] = iter([start.first])
    own, again = feed.inferences(share.indices), not len(share.indices)
    if start.answers is not None:
        yield start.answers._replace(again=again)
        waiting = iter([])
    taken = len(start.first.indices)
    # The cold inference of a model with a state is the first one of its share, and not timed.
    untimed = int(start.answers is not None)
    counters, lasted_ns, done, since_ns = start.counters, 0, untimed, 0
    placed = facts_of(pattern).kind != "inference"
    phases = (
        (feed.batches(share.indices[taken:], ahead=ahead), False),
        (feed.repeated(ahead=ahead), True),
    )
    for source, again in phases:
        # Closed at the end, whatever ends it: a thread may be reading ahead.
        with contextlib.closing(source):
            batches = itertools.chain(waiting, source) if not again else source
            while left := _left(again, own, share, done, lasted_ns, start.inference_ns):
                situation = Situation(
                    *(start.most, left, start.inference_ns, start.untimed),
                    *(share.replicate, done - untimed, since_ns),
                )
                schedule = scheduled(pattern, situation)
                heed()
                begun_ns, before = time.perf_counter_ns(), counters
                chunk = list(itertools.islice(batches, schedule.inferences))
                answer, counters = _asked(deployment.client, chunk, before, measurement, schedule)
                block = _block(answer, before, schedule, deployment.in_process, placed)
                if schedule.arrivals_ns:
                    since_ns = answer.end_ns[-1] - answer.begin_ns - schedule.arrivals_ns[-1]
                done += len(chunk)
                # Before the step ends: others may have their turn then.
                lasted_ns += time.perf_counter_ns() - begun_ns
                yield Answers(block, chunk, answer.outputs, counters, again)


def _left(again: bool, own: int, share: Share, done: int, lasted_ns: int, inference_ns: int) -> int:
    """Return how many inferences are left: of a share's own samples, or after these."""
    if not again:
        return max(0, own - done)
    missing_ns = share.duration_ns - lasted_ns
    return max(0, share.inferences - done, -(-missing_ns // max(1, inference_ns)))


def now() -> str:
    """Return the time, UTC, as records have it."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _warm_up(
    client: Client,
    first: Batch,
    cold: BlockAnswer,
    measurement: Measurement,
    remark: Callable[[str], None],
) -> Start:
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
    return Start(first, counters, inference_ns, int(warmed), most)


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
    schedule: Schedule | None = None,
) -> tuple[BlockAnswer, Counters]:
    # What has arrived already begins at once.
    arrivals_ns = [max(0, one_ns) for one_ns in schedule.arrivals_ns] if schedule else []
    answer = client.run_block(
        [batch.tensors for batch in batches],
        untimed=schedule.untimed if schedule else 0,
        arrivals_ns=arrivals_ns,
        classical=measurement.classical,
    )
    heard.require_answer(answer, len(batches), arrivals_ns)
    heard.require_growth(answer.counters, before)
    return answer, answer.counters


def _times(answer: BlockAnswer) -> list[int]:
    return [end - start for start, end in zip(answer.start_ns, answer.end_ns, strict=True)]


def _block(
    answer: BlockAnswer, before: Counters, schedule: Schedule, in_process: bool, placed: bool
) -> Block:
    """Return what is kept of a block; if ``placed`` or it has arrivals, also when each began."""
    counters, begin_ns = answer.counters, answer.begin_ns
    time_ns, earlier_ns = counters.cpu_time_ns, before.cpu_time_ns
    return Block(
        start_ns=begin_ns,
        target_ns=_times(answer),
        # One process has no other side.
        host_ns=[] if in_process else answer.host_ns,
        arrivals_ns=list(schedule.arrivals_ns),
        begins_ns=[start_ns - begin_ns for start_ns in answer.start_ns]
        if placed or schedule.arrivals_ns
        else [],
        untimed=schedule.untimed,
        cpu_time_ns=None if time_ns is None or earlier_ns is None else time_ns - earlier_ns,
        counters={"inferences": counters.inferences - before.inferences},
        readings={
            name: value - before.readings.get(name, 0.0)
            for name, value in counters.readings.items()
        },
    )
