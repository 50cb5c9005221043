"""Sizes of memory as people write them."""

from __future__ import annotations

import re
from fractions import Fraction

from edge_tester.core.errors import OptionError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")
# Vendors of microcontrollers mean powers of two by KB and MB.
_UNITS = {"": 1, "b": 1, "bytes": 1, "kb": 2**10, "kib": 2**10, "k": 2**10}
_UNITS |= {"mb": 2**20, "mib": 2**20, "m": 2**20, "gb": 2**30, "gib": 2**30, "g": 2**30}

_BITS = ("Kb", "kb", "Mb", "mb", "Gb", "gb")


def size_of(text: str, what: str) -> int:
    """Return the bytes of a size such as ``512KB``, ``2MB`` or ``1.5 MiB``; KB are 1024 bytes.

    Parameters
    ----------
    text : str
    what : str
        Whose size it is, for the message.

    Raises
    ------
    OptionError
        It is written otherwise, is no whole number of bytes, or nothing at all.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None or found[2].lower() not in _UNITS or found[2] in _BITS:
        bits = found is not None and found[2] in _BITS
        meant = " Kb and Mb are bits to some: did you mean KB or MB?" if bits else ""
        raise OptionError(
            f"{what} must be a size such as 512KB, 2MB or 65536 (bytes; KB are 1024 bytes), got "
            f"{text!r}.{meant}"
        )
    size = Fraction(found[1]) * _UNITS[found[2].lower()]
    if size.denominator != 1 or size <= 0:
        raise OptionError(f"{what} must be a whole number of bytes above 0, got {text!r}.")
    return int(size)
