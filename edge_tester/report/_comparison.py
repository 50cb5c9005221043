"""Compare records: one column per measure, and what makes them unlike each other.

No run is called the best: two runs of one model differ by more than the interval of either
about as often as not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from edge_tester.core.measurements import RunRecord
from edge_tester.report._figures import MEASURES, Value
from edge_tester.report._words import NOT_AVAILABLE, Unit, number, span, unit_for

Values = dict[str, Value]


class Cell(msgspec.Struct, frozen=True):
    """One number of the comparison.

    Attributes
    ----------
    text : str
        Without unit, which stands in the head of the column.
    detail : str
        Its 95 % interval, if it has one.
    words : bool
        Whether the text says why there is no number.
    """

    text: str
    detail: str = ""
    words: bool = False


class Column(msgspec.Struct, frozen=True):
    """One measure of the comparison, for all records in their order."""

    title: str
    unit: str
    cells: list[Cell]


def columns_of(records: Sequence[Values]) -> list[Column]:
    """Return the columns of a comparison; tasks that no record has leave none."""
    columns = []
    for measure in MEASURES:
        values = [record.get(measure.key) for record in records]
        if all(value is None for value in values):
            continue
        unit = unit_for(measure.kind, [value.number for value in values if value])
        cells = [_cell(value, unit) for value in values]
        columns.append(Column(measure.title, unit.name, cells))
    return columns


def cautions_of(records: Sequence[RunRecord]) -> list[str]:
    """Say in words what makes runs unlike each other."""

    def dataset(record: RunRecord) -> tuple[str, int]:
        names = [part.name for part in record.components if part.role == "dataset"]
        return "".join(names), record.quality.samples

    questions: list[tuple[str, Callable[[RunRecord], object]]] = [
        (
            "The runs took place on different targets.",
            lambda r: (r.target.hostname, r.target.boot_id),
        ),
        ("The runs differ in the number of samples per inference.", lambda r: r.batch_size),
        ("The runs used different samples.", dataset),
        (
            "Some runs timed inferences as in a loop, others each after a pause.",
            lambda r: r.latency.warmed,
        ),
    ]
    return [
        f"{text} Compare their figures with care."
        for text, answer in questions
        if len({answer(record) for record in records}) > 1
    ]


def _cell(value: Value | None, unit: Unit) -> Cell:
    if value is not None and value.missing:
        return Cell(f"needs {value.missing:,} more", words=True)
    if value is None or value.number is None:
        return Cell(NOT_AVAILABLE, words=True)
    return Cell(number(value.number, unit), span(value.interval, unit))
