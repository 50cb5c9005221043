"""Run several plans together, so that what disturbs one disturbs all alike.

Whatever a machine does over minutes, such as getting warm or being busy with something else, falls
on all of them, and their ratios hardly feel it. Source: R. A. Fisher, "The Design of
Experiments", 1935, chapter 4 (randomized blocks).
"""

from __future__ import annotations

import contextlib
import random
import time
import uuid
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import NamedTuple

from edge_tester.core.artifact import Artifact
from edge_tester.core.errors import EdgeTesterError, OptionError, UnreachableError
from edge_tester.core.record import RunRecord
from edge_tester.core.run.deployment import Company
from edge_tester.core.run.observer import Observer
from edge_tester.core.run.plan import Plan
from edge_tester.core.run.running import Run, started
from edge_tester.core.run.targets import place_of

# Each has a model in the memory of the target.
_AT_ONCE = 6


class Job(NamedTuple):
    """What is run together with others.

    Attributes
    ----------
    plan : Plan
        Its data set is not prepared.
    path : Path
        The record.
    artifact : Artifact or None
        What the compiler has made of the model before; without it, it does so now.
    """

    plan: Plan
    path: Path
    artifact: Artifact | None = None


def run_together(
    jobs: Sequence[Job],
    *,
    observer: Observer | None = None,
    command_line: Sequence[str] = (),
    seed: int = 0,
) -> list[RunRecord | EdgeTesterError]:
    """Run plans in rounds of one replicate each, their blocks in random order.

    Where a target cannot hold several models at once, the replicates of a round follow each
    other in random order.

    Parameters
    ----------
    jobs : sequence of Job
    observer : Observer, optional
    command_line : sequence of str
        For the records.
    seed : int
        Of the order.

    Returns
    -------
    list of RunRecord or EdgeTesterError
        In the order of the jobs; an error where a run failed, whose record is incomplete if
        there is one. The others went on without it.

    Raises
    ------
    OptionError
        Two would write outputs into the same folder.
    KeyboardInterrupt
        What was measured until then is in the records, marked incomplete.
    """
    _require_own_folders(jobs)
    observer, order = observer or Observer(), random.Random(seed)
    together = uuid.uuid4().hex if len(jobs) > 1 else None
    outcomes: list[RunRecord | EdgeTesterError | None] = [None] * len(jobs)
    with contextlib.ExitStack() as stack:
        runs: dict[int, Run] = {}
        for number, (plan, path, artifact) in enumerate(jobs):
            try:
                runs[number] = stack.enter_context(
                    started(plan, path, observer, command_line, artifact, together)
                )
            except EdgeTesterError as error:
                outcomes[number] = error
        failed = _measured(runs, order)
        for number, run in runs.items():
            try:
                outcomes[number] = failed.get(number) or run.written()
            except EdgeTesterError as error:
                outcomes[number] = error
    return [one for one in outcomes if one is not None]


def _require_own_folders(jobs: Sequence[Job]) -> None:
    folders = [job.plan.measurement.outputs_directory for job in jobs]
    for folder in folders:
        if folder is not None and folders.count(folder) > 1:
            raise OptionError(
                f"Several runs would write their outputs into {folder}: each needs a folder of its "
                "own."
            )


def _measured(runs: dict[int, Run], order: random.Random) -> dict[int, EdgeTesterError]:
    """Run all replicates of all runs; return what went wrong with those that failed."""
    failed: dict[int, EdgeTesterError] = {}
    while going := [number for number, run in runs.items() if run.more and number not in failed]:
        ended: dict[int, EdgeTesterError] = {}
        order.shuffle(going)
        while going:
            with contextlib.ExitStack() as stack:
                steps, going = _deployed(runs, going, stack, ended)
                _take_turns(steps, order, ended)
        pause_s = 0.0
        for number, error in ended.items():
            try:
                if not isinstance(error, UnreachableError):
                    raise error
                pause_s = max(pause_s, runs[number].broke(error))
            except EdgeTesterError as given_up:
                failed[number] = given_up
                runs[number].keep(given_up)
        # Those whose links were lost go on in the next round.
        time.sleep(pause_s)
    return failed


def _deployed(
    runs: dict[int, Run],
    going: Sequence[int],
    stack: contextlib.ExitStack,
    ended: dict[int, EdgeTesterError],
) -> tuple[dict[int, Generator[None, None, None]], list[int]]:
    """Deploy as many as their targets can hold; return what runs them, and who has to wait."""
    companies: dict[str, Company] = {}
    steps: dict[int, Generator[None, None, None]] = {}
    later: list[int] = []
    for number in going:
        plan = runs[number].plan
        owned = plan.protocol is not None and plan.protocol.owned
        # Where no target is named, or its link starts one, each has an agent of its own.
        place = None if owned else place_of(plan)
        company = None if place is None else companies.setdefault(place, Company(_AT_ONCE))
        if company is not None and company.full:
            later.append(number)
            continue
        deploying = stack.enter_context(contextlib.closing(runs[number].replicate(company)))
        if _stepped(deploying, number, ended):
            steps[number] = deploying
    return steps, later


def _take_turns(
    steps: dict[int, Generator[None, None, None]],
    order: random.Random,
    ended: dict[int, EdgeTesterError],
) -> None:
    """Take a step of each by turns, in random order, until none has another."""
    while steps:
        turns = list(steps)
        order.shuffle(turns)
        for number in turns:
            if not _stepped(steps[number], number, ended):
                del steps[number]


def _stepped(
    steps: Generator[None, None, None], number: int, ended: dict[int, EdgeTesterError]
) -> bool:
    """Take one step; return whether there may be more, and note what has ended them."""
    try:
        next(steps)
    except StopIteration:
        return False
    except EdgeTesterError as error:
        ended[number] = error
        return False
    return True
