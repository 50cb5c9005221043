"""Run a benchmark so that whatever was measured gets into its record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge_tester.core.artifact import Artifact
from edge_tester.core.backends import backend
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import EdgeTesterError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.record import (
    RunRecord,
    require_encodable,
    require_writable,
    write_record,
)
from edge_tester.core.results.measures import told
from edge_tester.core.results.words import moment
from edge_tester.core.run.host import HostRun, Measurement
from edge_tester.core.run.observer import Observer
from edge_tester.core.runtime import Runtime
from edge_tester.core.runtimeprotocol import RuntimeProtocol
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


def record_run(
    path: Path,
    model: ModelWrapper,
    dataset: Dataset,
    protocol: RuntimeProtocol,
    runtime: Runtime,
    compiler: ModelCompiler | None,
    measurement: Measurement | None,
    observer: Observer | None,
    command_line: Sequence[str],
    artifact: Artifact | None = None,
) -> RunRecord:
    """Run a benchmark and write its record, an interrupted one marked incomplete."""
    run = HostRun(
        path.stem,
        model,
        dataset,
        protocol,
        runtime,
        compiler,
        measurement,
        observer,
        command_line,
        artifact,
    )
    earlier = require_writable(path)
    require_encodable(**{"The command line": list(command_line)})
    try:
        run.execute()
    # Whatever it is, a defect included: the figures are not to blame, and it is raised again.
    except (Exception, KeyboardInterrupt) as error:
        if run.measured:
            reason = str(error) or "interrupted by the user"
            if not isinstance(error, (EdgeTesterError, KeyboardInterrupt)):
                reason = f"{type(error).__name__}: {error}"
            write_record(run.record(incomplete_reason=reason), path)
            (observer or Observer()).tell(f"Incomplete run kept in {path}{_replacing(earlier)}")
        raise
    record = run.record()
    write_record(record, path)
    if earlier is not None:
        (observer or Observer()).tell(f"Record written{_replacing(earlier)}")
    return record


def _replacing(earlier: RunRecord | None) -> str:
    return "" if earlier is None else f", in place of the earlier one of {moment(earlier.created)}"


def default_report(parsed: Parsed) -> dict[str, str]:
    """Return where a record goes for which no place was named: by the name of the model."""
    stem = parsed.needed(ModelWrapper).model_path.stem
    return {"report_directory": "build/report", "report_name": stem}


def show(record: RunRecord, path: Path) -> None:
    """Print the figures that people look for first."""
    table = backend("rich.table", "edge-tester").Table(
        title=record.name, show_header=False, title_justify="left"
    )
    for one in record.figures():
        table.add_row(one.title, told(one, record.quality.samples))
    console = backend("rich.console", "edge-tester").Console()
    console.print(table)
    for remark in record.remarks:
        console.print(f"note: {remark}", highlight=False)
    console.print(f"Record: {path}", highlight=False, soft_wrap=True)
    console.print(f"Report: edge-tester report {path}", highlight=False, soft_wrap=True)


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
