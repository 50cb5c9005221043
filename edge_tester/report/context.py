"""Choose the numbers of a report: run records in, tables and figures out."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from edge_tester.core.record import Machine, RunRecord
from edge_tester.core.results.figures import Figure, figure_of
from edge_tester.core.results.measures import Measure, measure_all
from edge_tester.core.results.values import PERCENTILES, Value
from edge_tester.core.results.verdicts import Versus, compared, findings
from edge_tester.core.results.words import moment, plural
from edge_tester.core.statistics.comparing import MARGIN
from edge_tester.core.statistics.percentiles import missing_values, percentile
from edge_tester.report._baseline import position_of
from edge_tester.report._comparison import (
    SAME_ANSWER,
    Cell,
    Column,
    cautions_of,
    columns_of,
    option_columns,
)
from edge_tester.report._details import Table, detail_tables
from edge_tester.report._profile import profile_table
from edge_tester.report._quality import class_table, mistake_table

SHOWN_MISTAKES: Final = 10
LONGEST_LABEL: Final = 28
_SAME_ANSWER = (
    "Same answer: how many samples got the class that they got from the baseline, where index, "
    "truth and options of the data set show that they are the same samples. "
)
_INTERVALS = (
    "Given with a number is its 95 % interval: Wilson's for accuracy; for times and memory that of "
    "replicates, which are fresh processes. A run of one replicate has no interval of its times: "
    "how much another process would differ, it cannot tell. Sizes are exact. Everything else is a "
    "single observation."
)


class RecordView(msgspec.Struct, frozen=True, kw_only=True):
    """What the report says about one record.

    Attributes
    ----------
    label : str
        The record's name, numbered if another record has the same.
    source : Path or None
        Its file.
    anchor : str
        Unique in the document.
    position : int
        From 0; decides colour and marker.
    record : RunRecord
    values : dict of str to Value
        By the keys of :data:`edge_tester.core.results.measures.MEASURES`.
    summary, created : str
    incomplete : str
        Why the run ended early; empty for a complete one.
    figures : list of Figure
    host_view : list of Figure
        Times of the host; never among ``figures``.
    host_words : str
        What they span.
    mistakes, classes, profile : Table or None
    details : list of Table
    """

    label: str
    source: Path | None
    anchor: str
    position: int
    record: RunRecord
    values: dict[str, Value]
    summary: str
    created: str
    incomplete: str
    figures: list[Figure]
    host_view: list[Figure]
    host_words: str
    mistakes: Table | None
    classes: Table | None
    profile: Table | None
    details: list[Table]

    @property
    def number(self) -> int:
        """What plots call it."""
        return self.position + 1

    @property
    def brief(self) -> str:
        """Its label, or its number where the label is too long for a table or a plot."""
        return self.label if len(self.label) <= LONGEST_LABEL else f"Run {self.number}"

    @property
    def tables(self) -> list[Table]:
        """All tables but the figures, for reports in text."""
        host = _figure_table("Host's view, a cross-check", self.host_view, self.host_words)
        host_table = host if self.host_view else None
        found = [self.mistakes, self.profile, host_table, self.classes, *self.details]
        return [table for table in found if table is not None]

    @property
    def figure_table(self) -> Table:
        """The figures, for reports in text."""
        return _figure_table("Figures", self.figures)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a report says.

    Attributes
    ----------
    title, when : str
    targets : list of str
        The machines that ran the models.
    cautions : list of str
        Sentences; empty for a single record.
    columns : list of Column
        The comparison; empty for a single record.
    options : list of Column
        In what the runs differ; empty for a single record.
    baseline : str
        The record with which all are compared; empty for a single record.
    verdicts : list of Versus
        On all others, in their order; empty for a single record.
    views : list of RecordView
    failures : Table or None
        What could not be measured, and why.
    """

    title: str
    when: str
    targets: list[str]
    cautions: list[str]
    columns: list[Column]
    options: list[Column]
    baseline: str
    verdicts: list[Versus]
    views: list[RecordView]
    failures: Table | None

    @property
    def findings(self) -> list[str]:
        """What the comparison shows, in sentences: the verdicts, and nothing else."""
        return findings(self.verdicts)

    @property
    def compares(self) -> bool:
        """Whether there is more than one record."""
        return len(self.views) > 1

    @property
    def footnote(self) -> str:
        """What must be known to read the comparison."""
        return (
            f"The baseline is {self.baseline}; × says how many times its number another one is. "
            f"{_SAME_ANSWER * any(c.title == SAME_ANSWER for c in self.columns)}{_INTERVALS}"
        )

    @property
    def comparison_table(self) -> Table:
        """The comparison, for reports in text."""
        head = [f"{c.title} ({c.unit})" if c.unit else c.title for c in self.columns]
        rows = []
        for view in self.views:
            cells = [column.cells[view.position] for column in self.columns]
            name = f"{view.brief} (incomplete)" if view.incomplete else view.brief
            options = [column.cells[view.position].text for column in self.options]
            rows.append([str(view.number), name, *options, *map(_told, cells)])
        titles = [column.title for column in self.options]
        return Table("Comparison", ["", "Run", *titles, *head], rows, texts=2 + len(titles))


def _told(cell: Cell) -> str:
    more = [part for part in (cell.detail, cell.factor) if part]
    return f"{cell.text} ({', '.join(more)})" if more else cell.text


def report_of(
    records: Sequence[RunRecord],
    failures: Sequence[tuple[str, str]] = (),
    *,
    sources: Sequence[Path] = (),
    baseline: str | None = None,
    margin: float = MARGIN,
) -> Report:
    """Choose what a report on these records says; the records stay as they are.

    Parameters
    ----------
    records : sequence of RunRecord
        At least one.
    failures : sequence of (str, str)
        Names of runs that gave no record, and why.
    sources : sequence of Path
        The files of the records, or none of them.
    baseline : str, optional
        Name of the record with which all are compared; the first by default.
    margin : float
        Relative difference of the latency that does not matter.

    Raises
    ------
    OptionError
        No record has the name of the baseline.
    """
    labels = distinct([record.name for record in records])
    views = [
        _view(label, record, position, sources[position] if sources else None)
        for position, (label, record) in enumerate(zip(labels, records, strict=True))
    ]
    reference = position_of(baseline, labels, [path.stem for path in sources])
    created = sorted({record.created for record in records})
    first, last = moment(created[0]), moment(created[-1])
    single = len(views) == 1
    values = [view.values for view in views]
    verdicts = [] if single else compared(records, [v.brief for v in views], reference, margin)
    return Report(
        title=labels[0] if single else f"{len(views)} runs compared",
        when=first if first == last else f"{first} to {last}",
        targets=sorted({_machine(record.target) for record in records}),
        cautions=[] if single else cautions_of(records),
        columns=[] if single else columns_of(records, values, reference, verdicts),
        options=[] if single else option_columns(records),
        baseline="" if single else views[reference].brief,
        verdicts=verdicts,
        views=views,
        failures=_failures_table(failures),
    )


def _failures_table(failures: Sequence[tuple[str, str]]) -> Table | None:
    if not failures:
        return None
    return Table("Not measured", ["Run", "Reason"], [list(one) for one in failures])


def distinct(names: Sequence[str]) -> list[str]:
    """Return the names, numbered where several records have the same."""
    counts = collections.Counter(names)
    taken = {name for name, count in counts.items() if count == 1}
    labels = []
    for name in names:
        label = name
        if counts[name] > 1:
            numbered = (f"{name} ({number})" for number in itertools.count(1))
            label = next(one for one in numbered if one not in taken)
            taken.add(label)
        labels.append(label)
    return labels


def _view(label: str, record: RunRecord, position: int, source: Path | None) -> RecordView:
    values = measure_all(record)
    reason = record.incomplete_reason or "the record does not say why"
    return RecordView(
        label=label,
        source=source,
        anchor=f"record-{position + 1}",
        position=position,
        record=record,
        values=values,
        summary=_summary(record),
        created=moment(record.created),
        incomplete="" if record.complete else reason.rstrip("."),
        figures=record.figures(),
        host_view=_host_view(record),
        host_words=(
            f"Time by the host's own clock {_host_interval(record)}, the "
            "link included. The target's times above are the measurement."
        ),
        mistakes=mistake_table(record, SHOWN_MISTAKES),
        classes=class_table(record.quality),
        profile=profile_table(record.profile),
        details=detail_tables(record),
    )


def _figure_table(title: str, figures: Sequence[Figure], note: str = "") -> Table:
    rows = [
        [one.title, f"{one.text} ({one.detail})" if one.detail else one.text] for one in figures
    ]
    return Table(title, [], rows, note=note)


def _summary(record: RunRecord) -> str:
    """Return model, compiler, runtime, data set and amount in a line."""
    names = {part.role: part.name.rpartition(".")[2] for part in record.components}
    used = [names[role] for role in ("compiler", "runtime", "dataset") if role in names]
    inferences = plural(len(record.target_ns), "inference")
    each = plural(record.batch_size, "sample")
    pace = "timed as in a loop" if record.pace == "loop" else ""
    parts = [record.model.name, *used, f"{inferences} of {each}", pace]
    return " · ".join(part for part in parts if part)


def _host_interval(record: RunRecord) -> str:
    if record.host_interval == "between_oks":
        return "between OK (started) and OK (finished)"
    if all(len(block.host_ns) == len(block.target_ns) for block in record.blocks):
        return "from sending the requests of a sample to having heard all answers"
    return (
        "from sending the requests of a block to having heard all answers, shared by its inferences"
    )


def _host_view(record: RunRecord) -> list[Figure]:
    host_ns = record.host_ns
    figures = []
    for key, fraction in PERCENTILES.items() if host_ns else ():
        missing = missing_values(len(host_ns), fraction)
        value = Value(None if missing else percentile(host_ns, fraction), None, missing)
        figures.append(figure_of(Measure(key, f"Host's time {key}", "time"), value))
    return figures


def _machine(machine: Machine) -> str:
    parts = [machine.hostname, machine.cpu_model, machine.architecture, machine.system]
    return ", ".join(part for part in parts if part)
