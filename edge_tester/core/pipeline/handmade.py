"""Results that somebody measured by hand, or with the tools of a phone, in a checked form."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge_tester.core.errors import RecordError
from edge_tester.core.options import hint
from edge_tester.core.results.known import Known

# Numbers of the form, and the figure of a candidate that each is, with what takes it there.
_FIGURES = {
    "latency_p50_ms": ("latency_p50_ms", 1.0),
    "latency_p95_ms": ("latency_p95_ms", 1.0),
    "power_w": ("power_w", 1.0),
    "power_mw": ("power_w", 1e-3),
    "memory_mib": ("memory_mib", 1.0),
    "cost": ("cost", 1.0),
}
_ONE = "one observation, without an interval"


class ByHand(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody measured of a candidate.

    Attributes
    ----------
    candidate : str
        Name of the candidate.
    device : str
        Where it was measured.
    figures : dict of str to Known
        By the names of the thresholds.
    accuracy : float or None
        0 to 1.
    source : str
        The file, and what wrote it.
    """

    candidate: str
    device: str
    figures: dict[str, Known]
    accuracy: float | None = None
    source: str = ""


class Import(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file to be read.

    Attributes
    ----------
    file : Path
    candidate : str
        Whose results a file of another tool has; a file of the form says it itself.
    device : str
        Where they come from; likewise.
    label : str
        Of events in a trace, those with this name alone.
    """

    file: Path
    candidate: str = ""
    device: str = ""
    label: str = ""


def read_by_hand(asked: Import) -> list[ByHand]:
    """Read results; the kind of file is told by its content.

    Read are: the form itself (CSV or JSON with the columns ``candidate``, ``device`` and
    ``latency_p50_ms``, ``latency_p95_ms``, ``power_w`` or ``power_mw``, ``memory_mib``,
    ``accuracy``, ``cost``, those that are known); what TensorFlow Lite's ``benchmark_model``
    prints; Perfetto, as CSV of a query with a column ``dur`` in ns or as Chrome's JSON with
    ``traceEvents``; Xcode's Instruments, as XML by ``xctrace export``.

    Raises
    ------
    RecordError
        The file is none of these, has columns or values that it may not have, or does not say
        whose results they are.
    """
    path = asked.file
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"The results {path} cannot be read: {error}.") from error
    if re.search(r"Inference \(avg\): [\d.e+]+", text):
        return [_benchmark_model(text, asked)]
    if text.lstrip().startswith("<"):
        return [_latencies(list(_instruments(text, asked)), asked, "Xcode Instruments")]
    if text.lstrip().startswith(("{", "[")):
        try:
            content = json.loads(text)
        except ValueError as error:
            raise RecordError(f"The results {path} are no JSON: {error}.") from error
        if isinstance(content, dict) and "traceEvents" in content:
            found = list(_chrome(content["traceEvents"], asked))
            return [_latencies(found, asked, "Perfetto")]
        rows = content if isinstance(content, list) else [content]
    else:
        rows = list(csv.DictReader(io.StringIO(text)))
        if rows and "dur" in rows[0] and "candidate" not in rows[0]:
            return [_latencies(_perfetto(rows, asked), asked, "Perfetto")]
    if not rows:
        raise RecordError(f"The results {path} are empty.")
    return [_row(row, number, asked) for number, row in enumerate(rows, 1)]


def _row(row: object, number: int, asked: Import) -> ByHand:
    where = f"{asked.file}, result {number}"
    if not isinstance(row, Mapping):
        raise RecordError(f"{where} must have columns such as candidate, got {row!r}.")
    known = {"candidate", "device", "accuracy", *_FIGURES}
    for key in row:
        if key not in known:
            raise RecordError(f"{where} has an unknown column {key!r}{hint(str(key), known)}")
    figures: dict[str, Known] = {}
    for key, (name, factor) in _FIGURES.items():
        if (value := _value(row, key, where)) is not None:
            if name in figures:
                raise RecordError(f"{where} says {name} twice, in two units.")
            figures[name] = Known(number=value * factor, why=_ONE)
    accuracy = _value(row, "accuracy", where)
    if accuracy is not None and accuracy > 1:
        raise RecordError(f"{where}: accuracy must be a part, 0 to 1, got {accuracy:g}.")
    candidate, device = (
        str(row.get(key) or getattr(asked, key)) for key in ("candidate", "device")
    )
    _require_named(candidate, device, where)
    return ByHand(
        candidate=candidate,
        device=device,
        figures=figures,
        accuracy=accuracy,
        source=asked.file.name,
    )


def _value(row: Mapping[Any, Any], key: str, where: str) -> float | None:
    text = row.get(key)
    if text is None or text == "":
        return None
    try:
        value = float(text)
    except (TypeError, ValueError):
        raise RecordError(f"{where}: {key} must be a number, got {text!r}.") from None
    if not np.isfinite(value) or value < 0:
        raise RecordError(f"{where}: {key} must be at least 0, got {text!r}.")
    return value


def _benchmark_model(text: str, asked: Import) -> ByHand:
    """Source: tensorflow/lite/tools/benchmark/benchmark_model.cc and stat_summarizer, in us."""
    last = [m for m in re.finditer(r"\bcount=(\d+).*", text)][-1:]
    stats = {
        m[1]: float(m[2]) for m in re.finditer(r"(\w+)=([\d.e+]+)", last[0][0] if last else "")
    }
    mean = float(re.findall(r"Inference \(avg\): ([\d.e+]+)", text)[-1])
    # Older versions tell the mean alone, which is no median.
    median_us = stats.get("median")
    why = f"{_ONE}; {int(stats['count'])} inferences of one process" if "count" in stats else _ONE
    figures = {}
    if median_us is not None:
        figures["latency_p50_ms"] = Known(number=median_us / 1e3, why=why)
    else:
        told = f"benchmark_model told the mean alone, {mean / 1e3:.4g} ms"
        figures["latency_p50_ms"] = Known(why=told)
    if "p95" in stats:
        figures["latency_p95_ms"] = Known(number=stats["p95"] / 1e3, why=why)
    if peak := re.findall(r"[Oo]verall peak memory footprint \(MB\)[^:]*: ([\d.]+)", text):
        figures["memory_mib"] = Known(number=float(peak[-1]), why=_ONE)
    _require_named(asked.candidate, asked.device, f"The import of {asked.file}")
    return ByHand(
        candidate=asked.candidate,
        device=asked.device,
        figures=figures,
        source=f"{asked.file.name} (benchmark_model)",
    )


def _perfetto(rows: Sequence[Mapping[str, str]], asked: Import) -> list[float]:
    """Durations [ms] of a query of trace_processor; its ``dur`` is in ns."""
    found = []
    for number, row in enumerate(rows, 1):
        if asked.label and row.get("name") != asked.label:
            continue
        value = _value(row, "dur", f"{asked.file}, line {number + 1}")
        if value is not None:
            found.append(value / 1e6)
    return found


def _chrome(events: object, asked: Import) -> Iterator[float]:
    """Durations [ms] of complete events; source: Trace Event Format, ``dur`` in us."""
    for event in events if isinstance(events, list) else []:
        if not isinstance(event, dict) or event.get("ph") != "X":
            continue
        if not asked.label or event.get("name") == asked.label:
            value = _value(event, "dur", str(asked.file))
            if value is not None:
                yield value / 1e3


def _instruments(text: str, asked: Import) -> Iterator[float]:
    """Durations [ms] of rows; an element that came before is named by ``ref``; ns."""
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise RecordError(f"The results {asked.file} are no XML: {error}.") from error
    known = {one.get("id"): one for one in root.iter() if one.get("id")}
    for row in root.iter("row"):
        cells = [known.get(cell.get("ref"), cell) for cell in row]
        labels = {cell.get("fmt") or cell.text for cell in cells}
        if asked.label and asked.label not in labels:
            continue
        for cell in cells:
            if cell.tag == "duration" and cell.text:
                yield float(cell.text) / 1e6


def _latencies(latency_ms: list[float], asked: Import, tool: str) -> ByHand:
    """Return the percentiles of the durations of a trace."""
    if not latency_ms:
        which = f" named {asked.label!r}" if asked.label else ""
        raise RecordError(f"{asked.file} ({tool}) has no event{which} with a duration.")
    _require_named(asked.candidate, asked.device, f"The import of {asked.file}")
    why = f"{_ONE}; {len(latency_ms)} inferences of one process"
    figures = {
        name: Known(number=float(np.percentile(latency_ms, q, method="inverted_cdf")), why=why)
        for name, q in (("latency_p50_ms", 50), ("latency_p95_ms", 95))
    }
    return ByHand(
        candidate=asked.candidate,
        device=asked.device,
        figures=figures,
        source=f"{asked.file.name} ({tool})",
    )


def _require_named(candidate: str, device: str, where: str) -> None:
    for name, value in (("candidate", candidate), ("device", device)):
        if not value:
            raise RecordError(f"{where} must say of which {name} the results are.")
