"""Records as tables: a row for each inference, block, replicate, run or operator."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Literal, Protocol

from edge_tester.core.results.measures import MEASURES, Measured, measure_all
from edge_tester.core.results.parts import Machine
from edge_tester.core.results.profile import Profile

Rows = Literal["inference", "block", "replicate", "run", "operator"]
Row = dict[str, Any]


class Tabled(Measured, Protocol):
    """What a table is made of: a run record."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def created(self) -> str:
        """Start, UTC, ISO 8601."""

    @property
    def complete(self) -> bool:
        """Whether it ended by itself."""

    @property
    def batch_size(self) -> int:
        """Samples per inference."""

    @property
    def target(self) -> Machine:
        """What ran the model."""

    @property
    def profile(self) -> Profile | None:
        """Time per operator."""


def rows_of(records: Sequence[Tabled], rows: Rows) -> list[Row]:
    """Return a table; what a record does not have is None.

    Parameters
    ----------
    records : sequence of Tabled
    rows : str
        What a row is of: ``inference``, ``block``, ``replicate``, ``run`` or, of records with a
        profile, ``operator``.

    Returns
    -------
    list of dict
        All have the same keys in the same order. Units are in the names; numbers count from 0.
    """
    found = [row for record in records for row in _ROWS[rows](record)]
    names = list(dict.fromkeys(name for row in found for name in row))
    return [{name: row.get(name) for name in names} for row in found]


def csv_of(table: Sequence[Row]) -> str:
    """Return a table as CSV, with a line of names; empty where it has no row.

    Notes
    -----
    Source: RFC 4180.
    """
    text = io.StringIO()
    if table:
        writer = csv.DictWriter(text, list(table[0]), lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(table)
    return text.getvalue()


def _inferences(record: Tabled) -> Iterator[Row]:
    for number, replicate in enumerate(record.replicates):
        for position, block in enumerate(replicate.blocks):
            each = len(block.host_ns) == len(block.target_ns)
            for inference, time_ns in enumerate(block.target_ns):
                yield {
                    "record": record.name,
                    "replicate": number,
                    "block": position,
                    "inference": inference,
                    "target_ns": time_ns,
                    "host_ns": block.host_ns[inference] if each else None,
                }


def _blocks(record: Tabled) -> Iterator[Row]:
    for number, replicate in enumerate(record.replicates):
        for position, block in enumerate(replicate.blocks):
            yield {
                "record": record.name,
                "replicate": number,
                "block": position,
                "start_ns": block.start_ns,
                "inferences": len(block.target_ns),
                "untimed": block.untimed,
                "median_ns": _median(block.target_ns),
                "sum_ns": sum(block.target_ns),
                "cpu_time_ns": block.cpu_time_ns,
                **block.readings,
            }


def _replicates(record: Tabled) -> Iterator[Row]:
    for number, replicate in enumerate(record.replicates):
        yield {
            "record": record.name,
            "replicate": number,
            "started": replicate.started,
            "complete": replicate.complete,
            "load_ns": replicate.cold_start.load_ns,
            "first_inference_ns": replicate.cold_start.first_inference_ns,
            "before_load_bytes": replicate.memory.before_load_bytes,
            "peak_bytes": replicate.memory.peak_bytes,
            "load_peak_bytes": replicate.memory.load_peak_bytes,
            "inference_peak_bytes": replicate.memory.inference_peak_bytes,
            "inferences": len(replicate.target_ns),
            "median_ns": _median(replicate.target_ns),
            "sum_ns": sum(replicate.target_ns),
            "cpu_time_ns": replicate.cpu_time_ns,
        }


_KINDS: Final = {one.key: one.kind for one in MEASURES}
_UNITS: Final = {
    "time": "_ns",
    "bytes": "_bytes",
    "percent": "",
    "number": "",
    "rate": "_per_s",
    "energy": "_j",
    "lifetime": "_s",
}


def _runs(record: Tabled) -> Iterator[Row]:
    names = {part.role: part.name.rpartition(".")[2] for part in record.components}
    row: Row = {
        "record": record.name,
        "created": record.created,
        "complete": record.complete,
        "model": record.model.name,
        "format": record.model.format,
        "sha256": record.model.sha256,
        **{role: names.get(role) for role in ("compiler", "runtime", "dataset")},
        "target": record.target.hostname,
        "samples": record.quality.samples,
        "batch_size": record.batch_size,
        "replicates": len(record.replicates),
        "inferences": sum(len(one.target_ns) for one in record.replicates),
    }
    for measure, value in measure_all(record).items():
        name = measure + _UNITS[_KINDS[measure]]
        low, high = value.interval or (None, None)
        row |= {name: value.number, f"{name}_low": low, f"{name}_high": high}
    yield row


def _operators(record: Tabled) -> Iterator[Row]:
    profile = record.profile
    if profile is None:
        return
    for one in profile.operators:
        yield {
            "record": record.name,
            "place": one.place,
            "type": one.type,
            "name": one.name,
            "time_ns": one.time_ns,
            "share": profile.share(one),
            "shapes": None if one.shapes is None else _joined(map(_sizes, one.shapes)),
            "dtypes": None if one.dtypes is None else _joined(one.dtypes),
            "delegate": one.delegate,
            "fused": _joined(one.fused),
            "difference": profile.differences,
        }


def _sizes(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _joined(words: Iterable[str]) -> str:
    return " ".join(words)


def _median(times_ns: Sequence[int]) -> float | None:
    return float(statistics.median(times_ns)) if times_ns else None


_ROWS: Final[dict[Rows, Callable[[Tabled], Iterator[Row]]]] = {
    "inference": _inferences,
    "block": _blocks,
    "replicate": _replicates,
    "run": _runs,
    "operator": _operators,
}
