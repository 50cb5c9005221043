"""Numbers as readers see them: units, digits, and words for what is missing."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

NOT_AVAILABLE = "not available"
Kind = Literal["time", "bytes", "percent", "number", "rate", "energy", "lifetime"]


class Unit(NamedTuple):
    """A unit and how many base units (ns, bytes, 1, J, s) it holds."""

    name: str
    size: float


_SCALES: dict[Kind, tuple[Unit, ...]] = {
    "time": (Unit("ns", 1), Unit("µs", 1e3), Unit("ms", 1e6), Unit("s", 1e9)),
    "bytes": (Unit("bytes", 1), Unit("KiB", 2**10), Unit("MiB", 2**20), Unit("GiB", 2**30)),
    "percent": (Unit("%", 0.01),),
    "number": (Unit("", 1),),
    "rate": (Unit("samples/s", 1),),
    "energy": (Unit("nJ", 1e-9), Unit("µJ", 1e-6), Unit("mJ", 1e-3), Unit("J", 1)),
    "lifetime": (Unit("hours", 3600), Unit("days", 86400)),
}


def unit_for(kind: Kind, values: Iterable[float | None]) -> Unit:
    """Return the largest unit in which the smallest of the values is at least 1."""
    smallest = min((value for value in values if value), default=0)
    scale = _SCALES[kind]
    return next((unit for unit in reversed(scale) if smallest >= unit.size), scale[0])


def number(value: float | None, unit: Unit) -> str:
    """Return a value in a unit, without the unit's name.

    Percentages have two decimals, whole bytes none, everything else four
    significant digits.
    """
    if value is None or not math.isfinite(value):
        return NOT_AVAILABLE
    scaled = value / unit.size
    if unit.name == "%":
        return f"{scaled:.2f}"
    if unit.name == "bytes" or scaled == 0:
        return f"{scaled:,.0f}"
    if abs(scaled) < 0.001:
        return f"{scaled:.3e}"
    decimals = min(6, max(0, 3 - math.floor(math.log10(abs(scaled)))))
    return f"{scaled:,.{decimals}f}"


def amount(value: float | None, kind: Kind) -> str:
    """Return a value with the unit that suits it."""
    unit = unit_for(kind, [value])
    text = number(value, unit)
    return text if text == NOT_AVAILABLE or not unit.name else f"{text} {unit.name}"


def span(interval: tuple[float, float] | None, unit: Unit) -> str:
    """Return an interval in a unit, empty if there is none."""
    return "" if interval is None else f"{number(interval[0], unit)}–{number(interval[1], unit)}"


def ratio(value: float) -> str:
    """Return a factor for readers, with at least three significant digits."""
    return f"×{value:,.0f}" if value >= 100 else f"×{value:#.3g}"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun, such as ``1 sample`` or ``359 samples``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def moment(text: str) -> str:
    """Return an ISO 8601 time for readers, anything else as it is."""
    try:
        time = datetime.datetime.fromisoformat(text)
    except ValueError:
        return text
    if time.tzinfo is not None:
        time = time.astimezone(datetime.timezone.utc)
    zone = " UTC" if time.tzinfo else ""
    return f"{time.day} {time:%B %Y, %H:%M}{zone}"


def value_text(value: Any) -> str:
    """Return an option or a fact of any JSON type for readers."""
    if value is None or value == "":
        return "not set" if value is None else "empty"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float | str):
        return str(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(value_text, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {value_text(one)}" for key, one in value.items()) or "none"
    return json.dumps(value, ensure_ascii=False)


def printable(text: str) -> str:
    """Return a text without control characters: XML has none, and matplotlib draws none."""
    return "".join(char if char.isprintable() else "�" for char in text)


def shortened(text: str, length: int) -> str:
    """Return a label that fits into a plot: the middle goes, as names differ at both ends."""
    text = printable(text)
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"
