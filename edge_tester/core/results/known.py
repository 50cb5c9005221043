"""What is known of one figure, in the unit that people use, and why not more."""

from __future__ import annotations

import msgspec

from edge_tester.core.results.values import Value


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one figure of a candidate.

    Attributes
    ----------
    number : float or None
    low, high : float or None
        Ends of its 95 % interval; the number itself where it is exact.
    why : str
        Why it is not known, or what makes the number doubtful.
    """

    number: float | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""


def known_of(value: Value, unit: float) -> Known:
    """Return a value of a record in another unit.

    Parameters
    ----------
    value : Value
        In base units.
    unit : float
        How many of these the unit has.
    """
    if value.number is None:
        why = f"it needs about {value.missing:,} more inferences" if value.missing else value.why
        return Known(why=why or "not measured")
    low, high = value.interval or (value.number, value.number)
    doubt = "of one process, which does not tell how others differ" if value.single else ""
    return Known(number=value.number / unit, low=low / unit, high=high / unit, why=doubt)
