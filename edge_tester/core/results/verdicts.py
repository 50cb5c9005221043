"""Runs compared with one of them: a verdict on the latency, and one on the answers."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from edge_tester.core.record import Replicate, RunRecord
from edge_tester.core.results.answers import shared_answers
from edge_tester.core.statistics.comparing import (
    Comparison,
    compare_apart,
    compare_pairs,
    corrected,
    ratio_in_turns,
)
from edge_tester.core.statistics.paired import PairedAnswers, paired_answers
from edge_tester.core.tensors import Array


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
    """

    name: str
    baseline: str
    latency: Comparison | None
    lacking: str = ""
    together: bool = False
    answers: PairedAnswers | None = None


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
    elif together and (ratios := ratios_of(baseline, record)) is not None:
        latency = compare_pairs(ratios, margin)
    else:
        together = False
        latency = compare_apart(medians_ns(baseline), medians_ns(record), margin)
    return Versus(
        name=name,
        baseline=baseline_name,
        latency=latency,
        lacking=lacking,
        together=together,
        answers=_paired(record, baseline),
    )


def measured_replicates(record: RunRecord) -> list[Replicate]:
    """Return the replicates that have an inference."""
    return [one for one in record.replicates if any(block.target_ns for block in one.blocks)]


def medians_ns(record: RunRecord) -> list[float]:
    """Return the median latency of each replicate [ns]."""
    return [float(np.median(np.concatenate(_blocks(one)))) for one in measured_replicates(record)]


def ratios_of(baseline: RunRecord, record: RunRecord) -> list[float] | None:
    """Return the ratios of the median latencies of each pair of replicates, None below two.

    Parameters
    ----------
    baseline, record : RunRecord
        That were measured together.
    """
    # The replicates of one number ran by turns; one that ended early has fewer blocks.
    pairs = [
        (_blocks(one), _blocks(other))
        for one, other in zip(baseline.replicates, record.replicates, strict=False)
    ]
    found = [
        ratio_in_turns(ours[: len(theirs)], theirs[: len(ours)])
        for ours, theirs in pairs
        if ours and theirs
    ]
    return found if len(found) >= 2 else None


def _blocks(replicate: Replicate) -> list[Array]:
    return [np.array(block.target_ns, np.int64) for block in replicate.blocks if block.target_ns]


def _paired(record: RunRecord, baseline: RunRecord) -> PairedAnswers | None:
    answers = shared_answers(record, baseline)
    if not answers:
        return None
    return paired_answers(
        [one.theirs == one.truth for one in answers], [one.ours == one.truth for one in answers]
    )
