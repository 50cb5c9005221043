"""Run several plans together, so that what disturbs one disturbs all alike.

Whatever a machine does over minutes, such as getting warm or being busy with something else, falls
on all of them, and their ratios hardly feel it. Source: R. A. Fisher, "The Design of
Experiments", 1935, chapter 4 (randomized blocks).
"""

from __future__ import annotations

import contextlib
import random
import uuid
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import NamedTuple

from edge_tester.core.artifact import Artifact
from edge_tester.core.errors import EdgeTesterError, OptionError
from edge_tester.core.record import RunRecord
from edge_tester.core.run.observer import Observer
from edge_tester.core.run.plan import Plan
from edge_tester.core.run.running import Run, started


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
        order.shuffle(going)
        at_once = all(runs[number].plan.protocol is None for number in going)
        for group in [going] if at_once else [[number] for number in going]:
            with contextlib.ExitStack() as stack:
                steps = {
                    number: stack.enter_context(contextlib.closing(runs[number].replicate()))
                    for number in group
                }
                for number, error in _round(steps, order):
                    failed[number] = error
                    runs[number].keep(error)
    return failed


def _round(
    steps: dict[int, Generator[None, None, None]], order: random.Random
) -> Generator[tuple[int, EdgeTesterError], None, None]:
    """Take a step of each by turns, in random order, until all have ended; yield what fails."""
    while steps:
        turns = list(steps)
        order.shuffle(turns)
        for number in turns:
            try:
                next(steps[number])
            except StopIteration:
                del steps[number]
            except EdgeTesterError as error:
                del steps[number]
                yield number, error
