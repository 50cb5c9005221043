"""Run a benchmark so that whatever was measured gets into its record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge_tester.core.artifact import Artifact
from edge_tester.core.backends import backend
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import EdgeTesterError
from edge_tester.core.host import HostRun, Measurement
from edge_tester.core.measurements import RunRecord, require_writable, write_record
from edge_tester.core.model import ModelWrapper
from edge_tester.core.observer import Observer
from edge_tester.core.runtime import Runtime
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.statistics import missing_values, percentile
from edge_tester.scenarios._command import Parsed

_PERCENTILES = (0.5, 0.9, 0.99)


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
    require_writable(path)
    try:
        run.execute()
    # Whatever it is, a defect included: the figures are not to blame, and it is raised again.
    except (Exception, KeyboardInterrupt) as error:
        if run.measured:
            reason = str(error) or "interrupted by the user"
            if not isinstance(error, (EdgeTesterError, KeyboardInterrupt)):
                reason = f"{type(error).__name__}: {error}"
            write_record(run.record(incomplete_reason=reason), path)
            (observer or Observer()).tell(f"Incomplete run kept in {path}")
        raise
    record = run.record()
    write_record(record, path)
    return record


def default_report(parsed: Parsed) -> dict[str, str]:
    """Return where a record goes for which no place was named: by the name of the model."""
    stem = parsed.needed(ModelWrapper).model_path.stem
    return {"report_directory": "build/report", "report_name": stem}


def show(record: RunRecord, path: Path) -> None:
    """Print the figures that people look for first."""
    table = backend("rich.table", "edge-tester").Table(
        title=record.name, show_header=False, title_justify="left"
    )
    for name, value in figures(record):
        table.add_row(name, value)
    console = backend("rich.console", "edge-tester").Console()
    console.print(table)
    for remark in record.remarks:
        console.print(f"note: {remark}", highlight=False)
    console.print(f"Record: {path}", highlight=False, soft_wrap=True)
    console.print(f"Report: edge-tester report {path}", highlight=False, soft_wrap=True)


def comparison(records: Sequence[RunRecord]) -> None:
    """Print the main figures of several records beside each other."""
    table = backend("rich.table", "edge-tester").Table(
        box=backend("rich.box", "edge-tester").SIMPLE_HEAD, pad_edge=False
    )
    table.add_column("Run", overflow="fold")
    for name in ("Accuracy", "p50", "p99", "Size", "Peak memory"):
        table.add_column(name, justify="right", no_wrap=True)
    text = backend("rich.text", "edge-tester").Text
    for record in records:
        latency_ns, accuracy = record.latency.target_ns, record.quality.accuracy
        peak_bytes = record.memory.peak_bytes
        table.add_row(
            # A user's name may look like rich's markup.
            text(record.name),
            "not measured" if accuracy is None else f"{100 * accuracy:.2f} %",
            *(_percentile(latency_ns, fraction) for fraction in (0.5, 0.99)),
            f"{record.model.size_bytes / 2**10:,.1f} KiB",
            "not measured" if peak_bytes is None else f"{peak_bytes / 2**20:,.1f} MiB",
        )
    backend("rich.console", "edge-tester").Console().print(table)


def figures(record: RunRecord) -> list[tuple[str, str]]:
    """Return names and values of the main figures, with their units."""
    quality, latency_ns = record.quality, record.latency.target_ns
    rows = []
    if quality.accuracy is not None:
        rows.append(("Accuracy", f"{100 * quality.accuracy:.2f} % of {quality.samples} samples"))
    if quality.mse is not None:
        rows.append(("Mean squared error", f"{quality.mse:.6g} over {quality.samples} samples"))
    for fraction in _PERCENTILES:
        name = f"Latency on the target, p{100 * fraction:g}"
        missing = missing_values(len(latency_ns), fraction)
        rows.append(
            (
                name,
                f"needs {missing} more inferences"
                if missing
                else _milliseconds(percentile(latency_ns, fraction)),
            )
        )
    rows.append(("First inference", _milliseconds(record.cold_start.first_inference_ns)))
    rows.append(("Load", _milliseconds(record.cold_start.load_ns)))
    rows.append(("Model size", f"{record.model.size_bytes:,} bytes"))
    if record.model.quantized_weight_share is not None:
        rows.append(("Quantized weights", f"{100 * record.model.quantized_weight_share:.1f} %"))
    if record.memory.peak_bytes is not None:
        rows.append(("Peak memory of the process", f"{record.memory.peak_bytes / 2**20:.1f} MiB"))
    return rows


def _percentile(latency_ns: Sequence[int], fraction: float) -> str:
    missing = missing_values(len(latency_ns), fraction)
    return f"needs {missing} more" if missing else _milliseconds(percentile(latency_ns, fraction))


def _milliseconds(duration_ns: int | None) -> str:
    return "not measured" if duration_ns is None else f"{duration_ns / 1e6:.4f} ms"
