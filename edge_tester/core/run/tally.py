"""What was answered and measured so far, whole block by whole block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edge_tester.core.figures import Quality
from edge_tester.core.record import Block, ColdStart, Memory, Predictions, Replicate
from edge_tester.core.run.evaluation import Evaluation
from edge_tester.core.run.feed import Feed, joined
from edge_tester.core.run.measuring import Answers
from edge_tester.core.run.outputs import OutputFiles
from edge_tester.core.run.recording import cold_start_of, memory_of
from edge_tester.core.system.interrupts import uninterrupted
from edge_tester.core.tensors import Array


class Tally:
    """Evaluates answers and keeps what a record needs of them.

    Whatever ends a run early, also Ctrl-C: a block is in all that is kept, or in nothing of it.

    Parameters
    ----------
    evaluation : Evaluation
    feed : Feed
    files : OutputFiles
    kept : callable
        Called with a block and its predictions when it is kept.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        feed: Feed,
        files: OutputFiles,
        kept: Callable[[Tally, Block | None, Predictions], None] = lambda *_: None,
    ) -> None:
        self.evaluation = evaluation
        self.feed = feed
        self._replicates: list[Replicate] = []
        self._blocks: list[Block] = []
        self._started = ""
        self.cold_start = ColdStart()
        self.memory = Memory()
        self.idle_w: dict[str, float] = {}
        self._files = files
        self._kept = kept
        self._indices: list[int] = []
        self._truth: list[Any] = []
        self._predicted: list[Any] = []
        self._scores: list[float | None] = []

    @property
    def replicates(self) -> list[Replicate]:
        """All that have a block; the last one may not be complete."""
        current = [self._replicate(complete=False)] if self._blocks else []
        return self._replicates + current

    @property
    def number(self) -> int:
        """How many replicates are complete."""
        return len(self._replicates)

    @property
    def median_ns(self) -> float:
        """Median latency of the replicate that was completed last [ns]."""
        last = self._replicates[-1]
        return float(np.median([one for block in last.blocks for one in block.target_ns]))

    @property
    def started(self) -> str:
        """When the replicate that goes on began, UTC, ISO 8601."""
        return self._started

    def begin(self, started: str) -> None:
        """Begin a replicate."""
        self._started, self._blocks = started, []

    def cut(self) -> int:
        """Keep what the replicate that goes on has measured, and go on with another one.

        Returns
        -------
        int
            Samples that were answered so far, by all replicates.
        """
        with uninterrupted():
            self._replicates = self.replicates
            self._blocks = []
        return len(self._indices)

    def end(self) -> None:
        """Count the replicate that goes on as complete."""
        with uninterrupted():
            self._replicates.append(self._replicate(complete=True))
            self._blocks = []

    def take(self, answers: Answers) -> int:
        """Take the answers to one block; return how many samples were answered first by it."""
        if answers.again:
            with uninterrupted():
                self._count(answers, Predictions(index=[], truth=[], predicted=[]))
            return 0
        scores = self.feed.answered(answers.batches, answers.outputs)
        pairs = zip(answers.batches, answers.outputs, strict=True) if self._files.used else ()
        # Views of what the next answer overwrites.
        outputs = [
            [self.feed.divided(np.array(output), len(batch.indices)) for output in found]
            for batch, found in pairs
        ]
        predictions = self._predictions(answers, scores)
        self._files.append(outputs)
        with uninterrupted():
            self._keep(answers, scores, predictions)
        return len(predictions.index)

    def predictions(self) -> Predictions:
        """Return all answers, as a record has them."""
        return Predictions(
            index=self._indices,
            truth=of_all(self._truth, self._indices),
            predicted=self.evaluation.settled(self._predicted),
            scores=of_all(self._scores, self._indices) or None,
        )

    def _replicate(self, *, complete: bool) -> Replicate:
        return Replicate(
            started=self._started,
            cold_start=self.cold_start,
            memory=self.memory,
            idle_w=self.idle_w,
            blocks=self._blocks,
            complete=complete,
        )

    def _predictions(self, answers: Answers, scores: list[Array]) -> Predictions:
        truth = None
        if all(batch.truth is not None for batch in answers.batches):
            parts = joined([batch.truth for batch in answers.batches if batch.truth is not None])
            translated = [self.evaluation.translated(part) for part in parts]
            truth = [one for part in translated if part is not None for one in part.tolist()]
        class_scores = [self.evaluation.class_scores(part) for part in scores]
        return Predictions(
            index=np.concatenate([batch.indices for batch in answers.batches]).tolist(),
            truth=truth,
            predicted=[one for part in scores for one in self.evaluation.predicted(part)],
            scores=[one for part in class_scores if part is not None for one in part] or None,
        )

    def _keep(self, answers: Answers, scores: list[Array], predictions: Predictions) -> None:
        truths = [batch.truth for batch in answers.batches]
        known = joined([truth for truth in truths if truth is not None])
        together = joined(scores)
        if len(together) == len(known) == 1 and all(one is not None for one in truths):
            self.evaluation.update(together[0], known[0])
        else:
            each = np.split(scores[0], len(truths)) if len(scores) < len(truths) else scores
            for one, truth in zip(each, truths, strict=True):
                self.evaluation.update(one, truth)
        self._indices += predictions.index
        self._truth += predictions.truth or []
        self._predicted += predictions.predicted
        self._scores += predictions.scores or []
        self._files.commit()
        self._count(answers, predictions)

    def _count(self, answers: Answers, predictions: Predictions) -> None:
        if answers.block is not None:
            self._blocks.append(answers.block)
        self.cold_start = cold_start_of(answers.counters)
        self.memory = memory_of(answers.counters)
        self.idle_w = dict(answers.counters.idle_w)
        self._kept(self, answers.block, predictions)


def of_all(values: list[Any], indices: list[int]) -> list[Any] | None:
    """Return values that there are for every sample; None where they are not."""
    return values if len(values) == len(indices) else None


def settled(predicted: list[Any], quality: Quality) -> list[Any]:
    """Return class indices also of single scores, as an evaluation settles them in the end."""
    if quality.threshold is None:
        return predicted
    return [None if one is None else int(one > quality.threshold) for one in predicted]
