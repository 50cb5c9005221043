"""A run from its first replicate to its record."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edge_tester.core.artifact import Artifact
from edge_tester.core.errors import (
    EdgeTesterError,
    LocalProtocolError,
    RecordError,
    UnreachableError,
)
from edge_tester.core.record import (
    RunRecord,
    require_encodable,
    require_writable,
    write_record,
)
from edge_tester.core.results.disturbances import disturbances
from edge_tester.core.results.patterns import pattern_remarks
from edge_tester.core.results.profile import Profile
from edge_tester.core.results.words import moment, plural
from edge_tester.core.run.deployment import Company, Deployment, deploy, fed
from edge_tester.core.run.evaluation import Evaluation
from edge_tester.core.run.feed import Feed
from edge_tester.core.run.journal import Journal, open_journal
from edge_tester.core.run.measuring import begin, blocks, now
from edge_tester.core.run.observer import Observer
from edge_tester.core.run.outputs import OutputFiles
from edge_tester.core.run.plan import Plan
from edge_tester.core.run.preparing import made, prepared, target
from edge_tester.core.run.profiling import profile_of
from edge_tester.core.run.recording import clock_remarks, closed, opening
from edge_tester.core.run.replication import Replication
from edge_tester.core.run.tally import Tally
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.system.interrupts import uninterrupted

# Between attempts to make a lost link anew; each is twice as long as the one before.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0


class _Opened(NamedTuple):
    """What is known from the first replicate on."""

    record: RunRecord
    deployment: Deployment
    feed: Feed
    tally: Tally
    replication: Replication


class _Lost(NamedTuple):
    """A link that is to be made anew: what was noticed first and when, and how long one waits."""

    error: UnreachableError
    since_s: float
    waited_s: float
    pause_s: float


class Run:
    """A plan while it is measured; made by :func:`started`.

    Parameters
    ----------
    plan : Plan
        Prepared.
    path : Path
        The record.
    link : RuntimeProtocol
        To the target, not connected.
    artifact : Artifact
        What is deployed.
    evaluation : Evaluation
    journal : Journal
    files : OutputFiles
    observer : Observer
    identity : dict
        What the record says of itself.
    replacing : str
        What is told of an earlier record in its place.
    """

    def __init__(
        self,
        plan: Plan,
        path: Path,
        link: RuntimeProtocol,
        artifact: Artifact,
        evaluation: Evaluation,
        journal: Journal,
        files: OutputFiles,
        observer: Observer,
        identity: dict[str, Any],
        replacing: str,
    ) -> None:
        self.plan = plan
        self.path = path
        self._link = link
        self._artifact = artifact
        self._evaluation = evaluation
        self._journal = journal
        self._files = files
        self._observer = observer
        self._identity = identity
        self._replacing = replacing
        self._opened: _Opened | None = None
        self._lost: _Lost | None = None
        self._remarks: dict[str, None] = {}
        self._settled = False
        self._profile: Profile | None = None

    @property
    def more(self) -> bool:
        """Whether there is another replicate to run."""
        return self._opened is None or self._opened.replication.more

    def replicate(self, company: Company | None = None) -> Generator[None, None, None]:
        """Run the next replicate; in the first step it is deployed, in each other runs a block.

        Parameters
        ----------
        company : Company, optional
            Who else has a model on the target meanwhile.

        Raises
        ------
        EdgeTesterError
            The step is lost.
        """
        plan, earlier, begun = self.plan, self._opened, now()
        first = earlier.deployment if earlier else None
        target = self._artifact, self._observer, self._link
        with deploy(plan, *target, first, company) as deployment:
            opened = earlier or self._open(deployment)
            tally, replication, feed = opened.tally, opened.replication, opened.feed
            tally.begin(begun)
            yield
            start = begin(deployment, replication.first(), plan.measurement, self._remark)
            load_s = max(deployment.load_s, (start.counters.load_ns or 0) / 1e9)
            share = replication.next(start.inference_ns, load_s)
            steps = blocks(deployment, feed, start, share, plan.pattern, plan.measurement)
            with contextlib.closing(steps):
                for answers in steps:
                    self._observer.advance(tally.take(answers))
                    # Not before: what ends with every link would be begun again for ever.
                    self._mended(tally)
                    yield
            tally.end()
            if (said := replication.heard(tally.median_ns)) is not None:
                self._observer.tell(said)

    def broke(self, error: UnreachableError) -> float:
        """Take it that the link was lost; the next replicate makes it anew.

        Parameters
        ----------
        error : UnreachableError
            What was noticed.

        Returns
        -------
        float
            How long to wait before [s].

        Raises
        ------
        UnreachableError
            There is nothing to go on with: nothing was measured, the model keeps a state that is
            gone, the agent was started for this run, or too much time has passed.
        """
        opened = self._opened
        lost = self._lost or _Lost(error, time.monotonic(), 0.0, _FIRST_PAUSE_S)
        if opened is None or self.plan.local or opened.deployment.stateful:
            raise lost.error
        # What others measure meanwhile takes nothing of it.
        waited_s = lost.waited_s + lost.pause_s
        if waited_s > self.plan.measurement.reconnect_s:
            raise lost.error
        opened.replication.repeat(opened.tally.cut())
        self._observer.tell(f"{lost.error} It is tried again in {lost.pause_s:g} s.")
        following_s = min(2 * lost.pause_s, _LONGEST_PAUSE_S)
        self._lost = lost._replace(waited_s=waited_s, pause_s=following_s)
        return lost.pause_s

    def written(self) -> RunRecord:
        """Write the record of a run that is complete; profile the model first, if that is wanted.

        Raises
        ------
        RecordError
        """
        if self._opened is None:
            raise LocalProtocolError("Nothing was run that could be recorded.")
        if self.plan.measurement.profile:
            self._profile = self._profiled(self._opened)
        record = self._record(self._opened, None)
        self._write(record)
        if self._replacing:
            self._observer.tell(f"Record written{self._replacing}")
        return record

    def keep(self, error: BaseException) -> None:
        """Write what was measured until a run ended early, if there is something."""
        if self._settled or self._opened is None or not self._opened.tally.replicates:
            return
        self._write(self._record(self._opened, _reason(error)))
        self._observer.tell(f"Incomplete run kept in {self.path}{self._replacing}")

    def _open(self, deployment: Deployment) -> _Opened:
        plan, evaluation, observer = self.plan, self._evaluation, self._observer
        feed = fed(plan, deployment, observer)
        evaluation.check(deployment.outputs, batched=deployment.batched)
        record = opening(plan, deployment, evaluation, **self._identity)
        self._journal.begin(record)
        observer.begin("Running", len(feed.indices), "samples")
        self._opened = _Opened(
            record,
            deployment,
            feed,
            Tally(evaluation, feed, self._files, self._journal.keep),
            Replication(
                plan.measurement, feed, stateful=deployment.stateful, single=deployment.in_process
            ),
        )
        return self._opened

    def _record(self, opened: _Opened, reason: str | None) -> RunRecord:
        plan, evaluation, feed, tally = self.plan, self._evaluation, opened.feed, opened.tally
        fewer = opened.replication.remark
        blocks = [one for part in tally.replicates for one in part.blocks]
        return closed(
            opened.record,
            tally.replicates,
            tally.predictions(),
            evaluation.summary(),
            incomplete_reason=reason,
            dataset_facts=plan.dataset.facts(),
            input_facts=feed.input_facts(),
            profile=self._profile,
            remarks=[
                *plan.model.remarks(),
                *plan.dataset.remarks(),
                *opened.record.remarks,
                *self._remarks,
                *([fewer] if fewer else []),
                *feed.remarks(at_chance=evaluation.at_chance()),
                *evaluation.remarks(),
                *clock_remarks(blocks),
                *disturbances(blocks, opened.record.target),
                *pattern_remarks(opened.record.pattern, tally.replicates),
            ],
        )

    def _profiled(self, opened: _Opened) -> Profile | None:
        """Return the time per operator; whatever goes wrong with it costs no other figure."""
        times_ns = opened.tally.median_ns
        try:
            with deploy(
                self.plan, self._artifact, self._observer, self._link, opened.deployment
            ) as deployment:
                return profile_of(deployment, opened.feed, times_ns, self._observer.tell)
        except EdgeTesterError as error:
            self._remark(f"There is no time per operator, the profiled run failed: {error}")
            return None

    def _write(self, record: RunRecord) -> None:
        # Whoever presses Ctrl-C now shall have either the record or the journal.
        with uninterrupted():
            try:
                write_record(record, self.path)
            except RecordError as error:
                raise RecordError(f"{error} {self._journal.advice}") from error
            self._journal.remove()
        self._settled = True

    def _mended(self, tally: Tally) -> None:
        """Say in the record that the link was lost for a time, if it was."""
        lost, self._lost = self._lost, None
        if lost is not None:
            self._remark(
                f"The link was lost after {plural(len(tally.predictions().index), 'sample')} "
                f"({lost.error}) and made anew after {time.monotonic() - lost.since_s:.1f} s: a "
                "fresh process went on with the next block."
            )

    def _remark(self, text: str) -> None:
        # Replicates have the same to say.
        self._remarks[text] = None


@contextlib.contextmanager
def started(
    plan: Plan,
    path: Path,
    observer: Observer,
    command_line: Sequence[str],
    artifact: Artifact | None = None,
    together: str | None = None,
) -> Iterator[Run]:
    """Begin a run: whatever ends it, what was measured is in its record.

    Parameters
    ----------
    plan : Plan
        Its data set is not prepared.
    path : Path
        The record.
    observer : Observer
    command_line : sequence of str
        For the record.
    artifact : Artifact, optional
        What the compiler has made of the model before; without it, it does so now.
    together : str, optional
        What the records of runs that are measured together have in common.

    Raises
    ------
    EdgeTesterError, KeyboardInterrupt
    """
    identity: dict[str, Any] = {
        "name": path.stem,
        "created": now(),
        "command_line": list(command_line),
        "together": together,
    }
    require_encodable(**{"The command line": identity["command_line"]})
    earlier = require_writable(path)
    replacing = f", in place of the earlier one of {moment(earlier.created)}" if earlier else ""
    with contextlib.ExitStack() as stack:
        journal = stack.enter_context(open_journal(path, observer.tell))
        evaluation = prepared(plan, path)
        link = stack.enter_context(target(plan))
        found = artifact or made(plan, link, evaluation, observer)
        files = stack.enter_context(OutputFiles(plan.measurement.outputs_directory))
        run = Run(
            plan, path, link, found, evaluation, journal, files, observer, identity, replacing
        )
        try:
            yield run
        # Whatever it is, a defect included: the figures are not to blame, and it is raised again.
        except (Exception, KeyboardInterrupt) as error:
            run.keep(error)
            raise


def _reason(error: BaseException) -> str:
    if isinstance(error, (EdgeTesterError, KeyboardInterrupt)):
        return str(error) or "interrupted by the user"
    return f"{type(error).__name__}: {error}"
