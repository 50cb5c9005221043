"""Where a record comes from, as tables: components, model, machines, command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from edge_tester.core.record import Machine, RunRecord
from edge_tester.core.results.patterns import query_latency_ns
from edge_tester.core.results.values import PERCENTILES
from edge_tester.core.results.words import NOT_AVAILABLE, amount, value_text
from edge_tester.core.statistics.earlystopping import (
    LOADGEN_CONFIDENCE,
    early_stopping_estimate,
)


class Table(msgspec.Struct, frozen=True):
    """Words and numbers in rows.

    Attributes
    ----------
    title : str
    head : list of str
        Empty for a table of names and values.
    rows : list of lists of str
        At least one.
    texts : int
        How many columns hold no numbers, the first ones; all by default.
    note : str
        What must be known to read it.
    """

    title: str
    head: list[str]
    rows: list[list[str]]
    texts: int = 99
    note: str = ""


def detail_tables(record: RunRecord) -> list[Table]:
    """Return everything about a run that is no measurement."""
    run = {
        "Name": record.name,
        "Created": record.created,
        "Samples": record.quality.samples,
        "Samples per inference": record.batch_size,
        **_threshold(record),
        "Version of the record's schema": record.schema_version,
    }
    tables = [_pairs("Run", run), _model(record), *_early_stopping(record)]
    if record.model.inputs or record.model.outputs:
        tables.append(_tensors(record))
    tables.extend(
        _pairs(f"{part.role.capitalize()}: {part.name}", part.options) for part in record.components
    )
    if record.dataset_facts:
        tables.append(_pairs("What the data set did to its samples", record.dataset_facts))
    tables.extend(
        _pairs(f"What went into {name}", facts) for name, facts in record.input_facts.items()
    )
    if record.model.compiler_facts:
        tables.append(_pairs("What the compiler did", record.model.compiler_facts))
    if record.runtime_facts:
        tables.append(_pairs("What the runtime really used", record.runtime_facts))
    tables.append(_machines(record.target, record.host))
    tables.append(Table("Command", [], [["Command line", shlex.join(record.command_line)]]))
    return tables


def _threshold(record: RunRecord) -> dict[str, float]:
    threshold = record.quality.threshold
    return {} if threshold is None else {"A score means class 1 above": threshold}


def _early_stopping(record: RunRecord) -> list[Table]:
    """Return what MLPerf's LoadGen would report, for those who must report it."""
    if record.pattern.kind == "query":
        size = record.pattern.inferences_per_query
        latencies = [query_latency_ns(one, size) for one in record.replicates]
    elif record.pattern.kind == "inference":
        latencies = [np.array(one.target_ns) for one in record.replicates]
    else:
        return []
    latency_ns = np.concatenate(latencies) if latencies else np.empty(0)
    rows = []
    for key, fraction in PERCENTILES.items():
        if fraction > 0.5:
            found = early_stopping_estimate(latency_ns, fraction)
            rows.append([key, "too few queries" if found is None else amount(found, "time")])
    confidence = f"{100 * LOADGEN_CONFIDENCE:g} %"
    note = (
        f"Upper bounds that would hold in {confidence} if latencies were independent of each "
        "other, which consecutive ones are not: for submissions that ask for them. The intervals "
        "above do not assume it."
    )
    return [Table("MLPerf LoadGen's early-stopping estimates", [], rows, note=note)]


def _model(record: RunRecord) -> Table:
    model = record.model
    rows = [
        ["File", model.name],
        ["Format", model.format],
        ["Size", f"{model.size_bytes:,} bytes"],
        ["SHA-256", model.sha256],
    ]
    rows.extend(
        [f"Weights of type {dtype}", f"{n:,}"] for dtype, n in model.weight_elements.items()
    )
    rows.extend(["Made from", value_text(parent)] for parent in model.parents)
    return Table("Model", [], rows)


def _tensors(record: RunRecord) -> Table:
    rows = [
        [
            side,
            spec.name,
            "×".join("any" if size is None else str(size) for size in spec.shape) or "scalar",
            spec.dtype,
            "none" if spec.scale is None else f"{spec.scale:g}, zero point {spec.zero_point or 0}",
            spec.layout or NOT_AVAILABLE,
        ]
        for side, specs in (("input", record.model.inputs), ("output", record.model.outputs))
        for spec in specs
    ]
    head = ["Tensor", "Name", "Shape", "Type", "Quantization scale", "Layout"]
    return Table("Tensors of the model", head, rows)


def _machines(target: Machine, host: Machine) -> Table:
    ours, theirs = _facts(host), _facts(target)
    rows = [
        [name, theirs.get(name, NOT_AVAILABLE), ours.get(name, NOT_AVAILABLE)]
        for name in {**theirs, **ours}
    ]
    return Table("Machines", ["", "Target", "Host"], rows)


def _facts(machine: Machine) -> dict[str, str]:
    load = machine.load_average
    facts = {
        "Name": machine.hostname,
        "System": machine.system,
        "Architecture": machine.architecture,
        "Processor": machine.cpu_model or NOT_AVAILABLE,
        "Processors": _text(machine.cpu_count),
        "Frequency governor": machine.governor or NOT_AVAILABLE,
        "Memory": amount(machine.memory_bytes, "bytes"),
        "Load average": NOT_AVAILABLE if load is None else ", ".join(f"{x:.2f}" for x in load),
        "Boot": machine.boot_id or NOT_AVAILABLE,
    }
    if machine.cpus is not None:
        facts["Processors used"] = ", ".join(map(str, machine.cpus))
    if machine.priority:
        facts["Niceness"] = str(machine.priority)
    facts.update({f"{name} version": version for name, version in machine.versions.items()})
    return facts


def _pairs(title: str, values: Mapping[str, Any]) -> Table:
    rows = [[name, value_text(value)] for name, value in values.items()]
    return Table(title, [], rows or [["Options", "none"]])


def _text(value: object) -> str:
    return NOT_AVAILABLE if value is None else str(value)
