"""What did not run where it was asked to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def fallback(wanted: Sequence[str], taken: int, on_cpu: int) -> dict[str, Any]:
    """Tell how much of a model fell back to the CPU, in a number and in words.

    Parameters
    ----------
    wanted : sequence of str
        Delegates or execution providers that were asked for.
    taken, on_cpu : int
        Operations that went to them, and that did not.

    Returns
    -------
    dict
        ``operations on the CPU`` and ``in words``.
    """
    names, total = ", ".join(wanted), taken + on_cpu
    if not on_cpu:
        words = f"none: all {total} operations went to {names}"
    elif not taken:
        words = f"complete: nothing went to {names}, the CPU runs all {total} operations"
    else:
        words = f"partial: {taken} of {total} operations went to {names}, the CPU runs {on_cpu}"
    return {"operations on the CPU": on_cpu, "in words": words}
