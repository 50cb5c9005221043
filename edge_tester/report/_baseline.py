"""Compare each record with one of them: factors, and answers to the same samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from edge_tester.core.errors import OptionError
from edge_tester.core.options import hint
from edge_tester.core.record import RunRecord
from edge_tester.core.results.answers import shared_answers
from edge_tester.core.results.values import Value
from edge_tester.core.results.words import ratio

FACTORS: Final = ("p50", "size", "peak")
"""Keys of the measures of which a factor is told."""


def position_of(baseline: str | None, labels: Sequence[str], stems: Sequence[str]) -> int:
    """Return the position of the record that is named, the first if none is.

    Parameters
    ----------
    baseline : str, optional
    labels : sequence of str
        Names of the records.
    stems : sequence of str
        Names of their files without suffix; empty where they have none.

    Raises
    ------
    OptionError
        No record, or more than one, has this name.
    """
    if baseline is None:
        return 0
    for names in (labels, stems):
        if names.count(baseline) == 1:
            return names.index(baseline)
    if baseline in stems:
        raise OptionError(f"--baseline {baseline!r} is the name of several files of records.")
    raise OptionError(
        f"--baseline must be the name of one of the records ({', '.join(labels)}), "
        f"got {baseline!r}{hint(baseline, labels)}"
    )


def factor(value: Value | None, baseline: Value | None) -> str:
    """Return how many times the baseline's number a number is, empty where that is unknown."""
    if value is None or baseline is None or value.number is None or not baseline.number:
        return ""
    return ratio(value.number / baseline.number)


def agreement(record: RunRecord, baseline: RunRecord) -> tuple[int, int] | None:
    """Return how many samples got the same answer, of how many that both answered about.

    Returns
    -------
    (int, int) or None
        None where that is not known. A sample without an answer got no same answer.
    """
    answers = shared_answers(record, baseline)
    if answers is None:
        return None
    return sum(one.ours is not None and one.ours == one.theirs for one in answers), len(answers)
