"""Compare records: one column per measure, and what makes them unlike each other.

No run is called the best but by its verdict, which comes from replicates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from edge_tester.core.record import RunRecord
from edge_tester.core.results.measures import MEASURES, QUALITY
from edge_tester.core.results.values import Value
from edge_tester.core.results.verdicts import Versus
from edge_tester.core.results.words import NOT_AVAILABLE, Unit, number, ratio, span, unit_for
from edge_tester.report._baseline import FACTORS, agreement, factor
from edge_tester.report._varying import varying

SAME_ANSWER: Final = "Same answer"
VERDICT: Final = "Latency is"
Values = dict[str, Value]


class Cell(msgspec.Struct, frozen=True):
    """One number of the comparison.

    Attributes
    ----------
    text : str
        Without unit, which stands in the head of the column.
    detail : str
        Its 95 % interval, if it has one.
    factor : str
        How many times the baseline's number it is, where that is told.
    words : bool
        Whether the text says why there is no number.
    """

    text: str
    detail: str = ""
    factor: str = ""
    words: bool = False


class Column(msgspec.Struct, frozen=True):
    """One measure of the comparison, or what differs, for all records in their order."""

    title: str
    unit: str
    cells: list[Cell]


def option_columns(records: Sequence[RunRecord]) -> list[Column]:
    """Return one column for all that differs in how the records were made."""
    return [
        Column(title, "", [Cell(value) for value in values]) for title, values in varying(records)
    ]


def _agreement_column(records: Sequence[RunRecord], baseline: int) -> list[Column]:
    """Return the column of answers that are those of the baseline, none if nobody has any."""
    compared = [agreement(record, records[baseline]) for record in records]
    if not any(pair for position, pair in enumerate(compared) if position != baseline):
        return []
    cells = [
        Cell("baseline", words=True)
        if position == baseline
        else Cell(NOT_AVAILABLE, words=True)
        if pair is None
        else Cell(f"{pair[0]:,} of {pair[1]:,}")
        for position, pair in enumerate(compared)
    ]
    return [Column(SAME_ANSWER, "samples", cells)]


def _verdict_column(verdicts: Sequence[Versus], baseline: int) -> list[Column]:
    """Return the column of what the median latencies say, none if they say nothing."""
    if all(one.latency is None for one in verdicts):
        return []
    cells = [
        Cell(NOT_AVAILABLE, words=True)
        if one.latency is None
        else Cell(one.latency.verdict, f"{ratio(one.latency.low)}–{ratio(one.latency.high)[1:]}")
        for one in verdicts
    ]
    cells.insert(baseline, Cell("baseline", words=True))
    return [Column(VERDICT, "", cells)]


def columns_of(
    records: Sequence[RunRecord],
    values: Sequence[Values],
    baseline: int,
    verdicts: Sequence[Versus],
) -> list[Column]:
    """Return the columns of a comparison; tasks that no record has leave none.

    Parameters
    ----------
    records : sequence of RunRecord
    values : sequence of dict of str to Value
        Their figures.
    baseline : int
        Position of the record with which all are compared.
    verdicts : sequence of Versus
        On all others.
    """
    quality: list[Column] = []
    others: list[Column] = []
    for measure in MEASURES:
        numbers = [one.get(measure.key) for one in values]
        if all(value is None for value in numbers):
            continue
        unit = unit_for(measure.kind, [value.number for value in numbers if value])
        against = numbers[baseline] if measure.key in FACTORS else None
        cells = [
            _cell(value, unit, factor(value, against) if position != baseline else "")
            for position, value in enumerate(numbers)
        ]
        of_quality = measure.key in QUALITY
        # Of nothing known there is no unit.
        name = unit.name if any(value and value.number is not None for value in numbers) else ""
        (quality if of_quality else others).append(Column(measure.title, name, cells))
    verdict = _verdict_column(verdicts, baseline)
    return [*quality, *_agreement_column(records, baseline), *verdict, *others]


def cautions_of(records: Sequence[RunRecord]) -> list[str]:
    """Say in words what makes runs unlike each other."""

    def dataset(record: RunRecord) -> tuple[str, int]:
        names = [part.name for part in record.components if part.role == "dataset"]
        return "".join(names), record.quality.samples

    def pattern(record: RunRecord) -> object:
        # Blocks of inferences that follow each other may be of any length.
        by_arrival = record.pattern.kind != "inference"
        options = [one.options for one in record.components if one.role == "pattern"]
        return record.pattern, repr(options) if by_arrival else ""

    questions: list[tuple[str, Callable[[RunRecord], object]]] = [
        (
            "The runs took place on different targets.",
            lambda r: (r.target.hostname, r.target.boot_id),
        ),
        ("The runs differ in the number of samples per inference.", lambda r: r.batch_size),
        ("The runs used different samples.", dataset),
        ("The load patterns of the runs differ.", pattern),
        (
            "Some runs timed inferences as in a loop, others each after a pause.",
            lambda r: r.pace,
        ),
    ]
    return [
        f"{text} Compare their figures with care."
        for text, answer in questions
        if len({answer(record) for record in records}) > 1
    ]


def _cell(value: Value | None, unit: Unit, factor: str) -> Cell:
    if value is not None and value.missing:
        return Cell(f"needs about {value.missing:,} more", words=True)
    if value is None or value.number is None:
        return Cell(NOT_AVAILABLE, words=True)
    return Cell(number(value.number, unit), span(value.interval, unit), factor)
