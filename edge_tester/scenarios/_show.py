"""Show on a terminal what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_tester.core.backends import backend
from edge_tester.core.errors import OptionError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import Configurable, option
from edge_tester.core.record import Profile, RunRecord
from edge_tester.core.results.figures import told
from edge_tester.core.results.words import amount, shortened
from edge_tester.core.statistics.comparing import MARGIN
from edge_tester.report import SUFFIXES, draw
from edge_tester.report.context import report_of
from edge_tester.scenarios._command import Parsed

# Title of a report's column, and what the narrower terminal calls it.
_COMPARED = {
    "Accuracy": "Accuracy",
    "Mean squared error": "Mean squared error",
    "Latency p50": "p50",
    "Latency p99": "p99",
    "Model size": "Size",
    "Peak memory": "Memory",
}
_LEAST_NAME = 20
_MOST_NUMBER = 9
_MOST_OPERATORS = 5
# Characters of an operator, beside its share and time.
_OPERATOR = 58


class Reports(Configurable):
    """What is written beside a record."""

    report: str = option(
        "", help="Reports to write beside the record, with their plots, such as html,rst,md"
    )

    def suffixes(self) -> list[str]:
        """Return what the names of these reports end with.

        Raises
        ------
        OptionError
            There is no such format.
        """
        found = [word.strip() for word in self.report.split(",")] if self.report else []
        for word in found:
            if f".{word}" not in SUFFIXES:
                raise OptionError(
                    f"Reports.report must name formats of {', '.join(s[1:] for s in SUFFIXES)}, "
                    f"with commas, got {self.report!r}."
                )
        return [f".{word}" for word in dict.fromkeys(found)]


def default_report(parsed: Parsed) -> dict[str, str]:
    """Return where a record goes for which no place was named: by the name of the model."""
    stem = parsed.needed(ModelWrapper).model_path.stem
    return {"report_directory": "build/report", "report_name": stem}


def show(record: RunRecord, path: Path, reports: Sequence[str] = ()) -> None:
    """Print the figures that people look for first; write reports of these suffixes."""
    table = backend("rich.table", "edge-tester").Table(
        title=record.name, show_header=False, title_justify="left"
    )
    for one in record.figures():
        table.add_row(one.title, told(one, record.quality.samples))
    console = backend("rich.console", "edge-tester").Console()
    console.print(table)
    if record.profile is not None:
        _operators(console, record.profile)
    for remark in record.remarks:
        console.print(f"note: {remark}", highlight=False)
    console.print(f"Record: {path}", highlight=False, soft_wrap=True)
    for suffix in reports:
        report = path.with_suffix(suffix)
        draw(report)([record], report, sources=[path])
        console.print(f"Report: {report}", highlight=False, soft_wrap=True)
    if not reports:
        console.print(f"Report: edge-tester report {path}", highlight=False, soft_wrap=True)


def _operators(console: Any, profile: Profile) -> None:
    """Print the operators that take the most, a line for each."""
    if not profile.operators:
        console.print(f"Time per operator: not available. {profile.unavailable}", highlight=False)
        return
    most = sorted(profile.operators, key=lambda one: -one.time_ns)[:_MOST_OPERATORS]
    what = "differences" if profile.differences else "profiled"
    console.print(
        f"Time per operator, {len(most)} of {len(profile.operators)}, {what} in a run of its own: "
        "shares count",
        highlight=False,
    )
    text = backend("rich.text", "edge-tester").Text
    for one in most:
        label = f"{one.place} {one.type}" + (f"  {one.name}" if one.name != one.type else "")
        share, time = f"{100 * profile.share(one):.1f} %", amount(one.time_ns, "time")
        # A name may look like rich's markup.
        console.print(text(f"{share:>7}  {time:>8}  {shortened(label.strip(), _OPERATOR)}"))


def verdicts(
    records: Sequence[RunRecord],
    sources: Sequence[Path] = (),
    *,
    baseline: str | None = None,
    margin: float = MARGIN,
) -> None:
    """Print what a comparison shows, a sentence in each line."""
    report = report_of(records, sources=sources, baseline=baseline, margin=margin)
    console = backend("rich.console", "edge-tester").Console()
    text = backend("rich.text", "edge-tester").Text
    for sentence in report.findings:
        console.print(text(f"* {sentence}"), highlight=False)
    console.print()


def comparison(records: Sequence[RunRecord]) -> None:
    """Print the main figures of several records beside each other, in the report's units."""
    table = backend("rich.table", "edge-tester").Table(
        box=backend("rich.box", "edge-tester").SIMPLE_HEAD, pad_edge=False
    )
    report = report_of(records)
    columns = [one for title in _COMPARED for one in report.columns if one.title == title]
    # Words such as "needs 239 more" may wrap; names are what a row is found by.
    table.add_column("Run", overflow="fold", min_width=_LEAST_NAME)
    for column in columns:
        table.add_column(
            f"{_COMPARED[column.title]}\n{column.unit}", justify="right", max_width=_MOST_NUMBER
        )
    text = backend("rich.text", "edge-tester").Text
    for view in report.views:
        # A user's name may look like rich's markup.
        cells = [column.cells[view.position].text for column in columns]
        table.add_row(text(view.label), *cells)
    backend("rich.console", "edge-tester").Console().print(table)
