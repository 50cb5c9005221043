"""Runs compared with one of them: a verdict on the latency, and one on the answers."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from edge_tester.core.record import PatternFacts, Replicate, RunRecord
from edge_tester.core.results.answers import shared_answers
from edge_tester.core.results.patterns import judged_ns, overloaded
from edge_tester.core.statistics.comparing import (
    Comparison,
    compare_apart,
    compare_pairs,
    corrected,
    ratio_in_turns,
)
from edge_tester.core.statistics.paired import PairedAnswers, paired_answers
from edge_tester.core.tensors import Array

# What is compared where it is not the time of inferences.
_JUDGED = {
    "query": "Compared is the latency of queries, from their arrival to the end of their last "
    "inference.",
    "throughput": "Compared is the time of a sample, one over the throughput.",
}


class Versus(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a run compared with the baseline.

    Attributes
    ----------
    name, baseline : str
    latency : Comparison or None
        Of the median latency.
    lacking : str
        Why there is none.
    together : bool
        Whether the two were measured by turns, so that what disturbs the machine cancels out.
    answers : PairedAnswers or None
        To the same samples; None where these are not known to be the same, or no classes.
    judged : str
        What was compared if not the time of inferences, in a sentence.
    """

    name: str
    baseline: str
    latency: Comparison | None
    lacking: str = ""
    together: bool = False
    answers: PairedAnswers | None = None
    judged: str = ""


def findings(verdicts: Sequence[Versus]) -> list[str]:
    """Say to somebody who must decide what all comparisons show, and nothing else.

    Parameters
    ----------
    verdicts : sequence of Versus
        Of one baseline.
    """
    found = [
        one.lacking if one.latency is None else one.latency.sentence(one.baseline, one.name)
        for one in verdicts
    ]
    found += dict.fromkeys(one.judged for one in verdicts if one.judged and one.latency)
    apart = [one.name for one in verdicts if one.latency is not None and not one.together]
    if apart:
        found.append(
            f"{_listed(apart)} {_was(apart)} measured apart from {verdicts[0].baseline}: what "
            "changed on the machine in between counts as a difference."
        )
    alike: list[str] = []
    ruled_out = 0.0
    for one in verdicts:
        if one.answers is None:
            continue
        if one.answers.difference_shown:
            found.append(one.answers.sentence(one.baseline, one.name))
        else:
            alike.append(one.name)
            ruled_out = max(ruled_out, one.answers.largest_loss)
    if alike:
        found.append(
            f"No difference in accuracy is shown between {verdicts[0].baseline} and "
            f"{_listed(alike, 'or')}; a loss of more than {100 * ruled_out:.2f} points is ruled "
            "out at 95 %."
        )
    return found


def _listed(names: Sequence[str], word: str = "and") -> str:
    return f" {word} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _was(names: Sequence[str]) -> str:
    return "was" if len(names) == 1 else "were"


def compared(
    records: Sequence[RunRecord], names: Sequence[str], baseline: int, margin: float
) -> list[Versus]:
    """Compare all other runs with one.

    Parameters
    ----------
    records : sequence of RunRecord
    names : sequence of str
        What the runs are called.
    baseline : int
        Position of the one with which all others are compared.
    margin : float
        Relative difference of the latency that does not matter.

    Returns
    -------
    list of Versus
        In the order of the others. Their verdicts hold together: the more runs, the more each
        must show.
    """
    first = records[baseline]
    found = [
        _versus(record, name, first, names[baseline], margin)
        for position, (record, name) in enumerate(zip(records, names, strict=True))
        if position != baseline
    ]
    judged = corrected([one.latency for one in found if one.latency is not None])
    settled = iter(judged)
    return [
        one if one.latency is None else msgspec.structs.replace(one, latency=next(settled))
        for one in found
    ]


def _versus(
    record: RunRecord, name: str, baseline: RunRecord, baseline_name: str, margin: float
) -> Versus:
    together = record.together is not None and record.together == baseline.together
    latency, lacking = None, ""
    alike = record.pattern.kind == baseline.pattern.kind
    kind = record.pattern.kind if alike else "inference"
    few = [
        one
        for one, run in ((baseline_name, baseline), (name, record))
        if len(measured_replicates(run)) < 2
    ]
    if few:
        lacking = (
            f"It is not known whether {baseline_name} or {name} is faster: {' and '.join(few)} "
            f"{'each have' if len(few) > 1 else 'has'} one replicate, and processes differ from "
            "each other: measure with --replicates 5."
        )
    elif grows := [
        one
        for one, run in ((baseline_name, baseline), (name, record))
        if kind == "query" and overloaded(run.replicates)
    ]:
        lacking = (
            f"Latencies of {baseline_name} and {name} cannot be compared: the queue of "
            f"{' and '.join(grows)} grows, since arrivals come faster than they are served."
        )
    elif together and (ratios := ratios_of(baseline, record, kind)) is not None:
        latency = compare_pairs(ratios, margin)
    else:
        together = False
        ours, theirs = (medians_ns(run, kind) for run in (baseline, record))
        latency = compare_apart(ours, theirs, margin)
    return Versus(
        name=name,
        baseline=baseline_name,
        latency=latency,
        lacking=lacking,
        together=together,
        answers=_paired(record, baseline),
        judged=_JUDGED.get(kind, ""),
    )


def measured_replicates(record: RunRecord) -> list[Replicate]:
    """Return the replicates that have an inference."""
    return [one for one in record.replicates if any(block.target_ns for block in one.blocks)]


def medians_ns(record: RunRecord, kind: str = "inference") -> list[float]:
    """Return the median of what is judged of each replicate [ns]."""
    found = [_blocks(record, one, kind) for one in measured_replicates(record)]
    return [float(np.median(np.concatenate(blocks))) for blocks in found if blocks]


def ratios_of(
    baseline: RunRecord, record: RunRecord, kind: str = "inference"
) -> list[float] | None:
    """Return the ratios of the median latencies of each pair of replicates, None below two.

    Parameters
    ----------
    baseline, record : RunRecord
        That were measured together.
    kind : str
        Of the load pattern whose results are judged; ``inference`` takes the time of inferences.
    """
    # The replicates of one number ran by turns; one that ended early has fewer blocks.
    pairs = [
        (_blocks(baseline, one, kind), _blocks(record, other, kind))
        for one, other in zip(baseline.replicates, record.replicates, strict=False)
    ]
    found = [
        ratio_in_turns(ours[: len(theirs)], theirs[: len(ours)])
        for ours, theirs in pairs
        if ours and theirs
    ]
    return found if len(found) >= 2 else None


def _blocks(record: RunRecord, replicate: Replicate, kind: str) -> list[Array]:
    facts = record.pattern if record.pattern.kind == kind else PatternFacts()
    return judged_ns(facts, replicate, record.batch_size)


def _paired(record: RunRecord, baseline: RunRecord) -> PairedAnswers | None:
    answers = shared_answers(record, baseline)
    if not answers:
        return None
    return paired_answers(
        [one.theirs == one.truth for one in answers], [one.ours == one.truth for one in answers]
    )
