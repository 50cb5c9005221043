"""Say what the layers of a model cost: ``edge-tester analyze``."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edge_tester.core import registry
from edge_tester.core.analysis import Analysis, Layer, analyze, layer_rows, summary_row
from edge_tester.core.analysis.roofline import Machine, measured_machines
from edge_tester.core.backends import backend
from edge_tester.core.errors import RecordError
from edge_tester.core.graphs import Graph, Shape
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import Configurable, option, path_of
from edge_tester.core.record import RunRecord
from edge_tester.core.results.measures import measure_all
from edge_tester.core.results.tables import csv_of
from edge_tester.core.results.words import plural, shortened
from edge_tester.core.run.benchmark import run_plan
from edge_tester.core.run.plan import Plan
from edge_tester.core.system.files import write_atomically
from edge_tester.report import render_page
from edge_tester.report.analysis import analysis_page, roof_words, total_rows
from edge_tester.scenarios._choice import Chosen
from edge_tester.scenarios._command import Command, Parsed
from edge_tester.scenarios._graphs import graph_of, shapes_in
from edge_tester.scenarios._plans import completed
from edge_tester.scenarios._program import Logging, guard
from edge_tester.scenarios._progress import TerminalProgress

# Of each replicate, and how many of these: enough for a median beside an estimate.
_SAMPLES, _REPLICATES = 100, 3
_MOST_LAYERS = 40
_NAME = 27


class Analyzing(Configurable):
    """What is analyzed, and what is measured beside it."""

    batch_size: int | None = option(
        None,
        minimum=1,
        gives_way=True,
        help="Samples in an inference; that of the file, or 1 where it is open",
    )
    input_shapes: tuple[str, ...] = option(
        (),
        gives_way=True,
        help="Shape of one sample of each input where the file leaves it open, such as 3,224,224",
    )
    profile: bool = option(
        False,
        help="Run the model on this machine too: latency, memory, and the time of each layer",
    )
    roofline: bool = option(
        True, help="Measure what this machine computes and moves at most, for estimates of time"
    )
    roofline_threads: str = option(
        "one",
        choices=("one", "all"),
        help="Threads that the estimates are of; runtimes use one unless they are told",
    )
    output: Path | None = option(None, help="File for the whole analysis as JSON")
    report_directory: Path = option(
        Path("build/analyze"), help="Folder for the page, the tables and the record"
    )

    def shapes(self) -> list[Shape]:
        """Return the shapes of one sample."""
        return shapes_in(self.input_shapes)


COMMAND = Command(
    "analyze",
    "Say what each layer of a model takes: parameters, multiply-accumulates, memory, bytes that it "
    "moves, and an estimate of its time; with --profile what it takes here. Models are .onnx, "
    ".tflite and .pt2 files, and networks of PyTorch.",
    roles=("modelwrappers", "compilers", "runtimes"),
    required=("modelwrappers",),
    extras=(Analyzing,),
)


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    parsed = COMMAND.parse(arguments)
    parsed.extra(Logging).start()
    asked, model = parsed.extra(Analyzing), parsed.needed(ModelWrapper)
    graph = graph_of(model, asked.batch_size, asked.shapes())
    machines = measured_machines() if asked.roofline else []
    record = _measured(parsed, asked, graph) if asked.profile else None
    values = {} if record is None else measure_all(record)
    found = analyze(
        graph,
        machine=_chosen(machines, asked),
        profile=None if record is None else record.profile,
        measured_ns=values["p50"].number if values else None,
        measured_memory_bytes=int(values["peak"].number or 0) or None if values else None,
    )
    notes = list(model.remarks())
    if record is not None and record.profile is None:
        notes.append("The runtime tells no times of operators.")
    found = msgspec.structs.replace(found, notes=(*found.notes, *notes))
    written = _written(found, machines, asked)
    _shown(found, machines, written)


def _chosen(machines: Sequence[Machine], asked: Analyzing) -> Machine | None:
    if not machines:
        return None
    return machines[0 if asked.roofline_threads == "one" else -1]


def _measured(parsed: Parsed, asked: Analyzing, graph: Graph) -> RunRecord:
    """Run the model in an agent of its own on this machine, on random inputs."""
    random = registry.load("datasets", "random_inputs")
    data = {"inference_batch_size": graph.batch_size, "num_samples": _SAMPLES * graph.batch_size}
    dataset = Chosen("datasets", random, data)
    named = [Chosen(role, type(part), part.chosen_options()) for role, part in parsed.parts]
    parts = {one.role: one.cls.from_options(one.preset) for one in completed([*named, dataset])}
    mapping = {
        role[:-1]: {"class": path_of(type(part)), **part.chosen_options()}
        for role, part in parts.items()
        if role != "runtimeprotocols"
    }
    measurement = {"profile": True, "replicates": _REPLICATES}
    plan = Plan.from_mapping({**mapping, "measurement": measurement})
    with TerminalProgress() as progress:
        return run_plan(
            plan,
            asked.report_directory / f"{graph.name}.json",
            observer=progress,
            command_line=parsed.command_line,
        )


def _written(found: Analysis, machines: Sequence[Machine], asked: Analyzing) -> Path:
    """Write the page, the tables and the JSON; return the page."""
    directory = asked.report_directory
    files = {
        directory / "layerwise_breakdown.csv": csv_of(layer_rows(found)),
        directory / "hardware_summary.csv": csv_of([summary_row(found)]),
    }
    if asked.output is not None:
        content = msgspec.json.format(msgspec.json.encode(found), indent=1)
        files[asked.output] = content.decode()
    for path, text in files.items():
        try:
            write_atomically(path, text.encode("utf-8", "replace"))
        except OSError as error:
            raise RecordError(f"{path} cannot be written: {error.strerror}.") from error
    render_page(analysis_page(found, machines), directory / "analysis.html")
    return directory / "analysis.html"


def _shown(found: Analysis, machines: Sequence[Machine], page: Path) -> None:
    """Print a line for each layer, and the totals."""
    console = backend("rich.console", "edge-tester").Console()
    text = backend("rich.text", "edge-tester").Text
    table = backend("rich.table", "edge-tester").Table(
        box=None, pad_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("Layer", no_wrap=True)
    timed = any(one.time_share is not None for one in found.layers)
    titles = ["Params", "MACs", "Writes", "Live", "Ops/B", "Estimate"]
    for title in [*titles, *(["Share"] if timed else [])]:
        table.add_column(title, justify="right", no_wrap=True)
    shown = _most_work([one for one in found.layers if one.macs != 0 or one.moved_bytes != 0])
    for one in shown:
        label = f"{one.kind} {one.layer or one.name}"
        cells = [
            _count(one.parameters),
            _count(one.macs),
            _size(one.activation_bytes),
            _size(one.live_bytes),
            "-" if one.intensity is None else f"{one.intensity:.3g}",
            "-" if one.estimated_ns is None else _time(one.estimated_ns),
        ]
        if timed:
            share = one.time_share
            cells.append("-" if share is None else f"{100 * share:.1f} %")
        table.add_row(text(shortened(label, _NAME - 7 * timed)), *cells)
    if shown:
        console.print(table)
    if len(shown) < len(found.layers):
        console.print(
            f"{plural(len(shown), 'layer')} of {len(found.layers)}: the rest is in the page."
        )
    for title, value in total_rows(found):
        console.print(text(f"{title:<34}{value}"), highlight=False)
    for sentence in [*roof_words(machines), *found.notes]:
        console.print(text(f"* {sentence}"), highlight=False)
    console.print(f"Page: {page}", highlight=False, soft_wrap=True)


def _most_work(layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers that a terminal has room for: those of unknown or most work."""
    if len(layers) <= _MOST_LAYERS:
        return list(layers)
    most = sorted(layers, key=lambda one: -math.inf if one.macs is None else -one.macs)
    kept = {one.place for one in most[:_MOST_LAYERS]}
    return [one for one in layers if one.place in kept]


def _count(value: int | None) -> str:
    """Return a count in three digits; the page has all of them."""
    if value is None:
        return "unknown"
    for size, name in ((10**9, " G"), (10**6, " M"), (10**3, " k")):
        if value >= size:
            return f"{value / size:.3g}{name}"
    return str(value or "-")


def _size(value: int | None) -> str:
    if value is None:
        return "unknown"
    for size, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value >= size:
            return f"{value / size:.1f} {name}"
    return f"{value} B" if value else "-"


def _time(value_ns: float) -> str:
    for size, name in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if value_ns >= size:
            return f"{value_ns / size:.3g} {name}"
    return f"{value_ns:.3g} ns"


if __name__ == "__main__":
    sys.exit(guard(main))
