"""Compare records: one column per measure, and what is certain enough to be said."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from edge_tester.core.measurements import RunRecord
from edge_tester.report._figures import MEASURES, Measure, Value
from edge_tester.report._words import NOT_AVAILABLE, Unit, amount, number, span, unit_for

Values = dict[str, Value]


class Cell(msgspec.Struct, frozen=True):
    """One number of the comparison.

    Attributes
    ----------
    text : str
        Without unit, which stands in the head of the column.
    detail : str
        Its 95 % interval, if it has one.
    best : bool
        Whether it is better than all others of its column by more than chance.
    words : bool
        Whether the text says why there is no number.
    """

    text: str
    detail: str = ""
    best: bool = False
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
        best = winner(values, measure)
        cells = [_cell(value, unit, i == best) for i, value in enumerate(values)]
        columns.append(Column(measure.title, unit.name, cells))
    return columns


def winner(values: Sequence[Value | None], measure: Measure) -> int | None:
    """Return the position of the one value that is certainly the best.

    It must be better than all others by more than chance: no intervals may
    touch, and nobody may have a number without an interval unless the measure
    is exact. Who has no number does not take part.
    """
    if not measure.better:
        return None
    sign = 1 if measure.better == "lower" else -1
    bounds: list[tuple[float, float, int]] = []
    for position, value in enumerate(values):
        if value is None or value.number is None:
            continue
        interval = (value.number, value.number) if measure.exact else value.interval
        if interval is None:
            return None
        low, high = sorted(sign * end for end in interval)
        bounds.append((low, high, position))
    bounds.sort()
    # The best reaches less far than the second begins, so less far than all begin.
    return bounds[0][2] if len(bounds) > 1 and bounds[0][1] < bounds[1][0] else None


def findings_of(labels: Sequence[str], records: Sequence[Values]) -> list[str]:
    """Say in words which record is the best, where that is more than chance."""
    findings = []
    for key, superlative, comparative in (
        ("accuracy", "Most accurate", "more accurate"),
        ("p50", "Fastest", "faster"),
        ("size", "Smallest", "smaller"),
    ):
        measure = next(measure for measure in MEASURES if measure.key == key)
        values = [record.get(key) for record in records]
        if sum(value is not None and value.number is not None for value in values) < 2:
            continue
        best = winner(values, measure)
        value = None if best is None else values[best]
        if best is None or value is None:
            certainly = "" if measure.exact else " by more than chance"
            findings.append(f"No run is {comparative} than all others{certainly}.")
        else:
            told = amount(value.number, measure.kind)
            what = measure.title[0].lower() + measure.title[1:]
            findings.append(f"{superlative}: {labels[best]} ({what} {told}).")
    return findings


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


def _cell(value: Value | None, unit: Unit, best: bool) -> Cell:
    if value is not None and value.missing:
        return Cell(f"needs {value.missing:,} more", words=True)
    if value is None or value.number is None:
        return Cell(NOT_AVAILABLE, words=True)
    return Cell(number(value.number, unit), span(value.interval, unit), best)
