"""Modules of the target's owner whose import registers operators with PyTorch."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from edge_tester.core.errors import RuntimeStateError


def import_all(names: Sequence[str], owner: object) -> None:
    """Import modules.

    Raises
    ------
    RuntimeStateError
        One is not there, or fails.
    """
    who = f"{type(owner).__name__}.import_modules"
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # It is anybody's code.
            reason = " ".join(str(error).split())
            raise RuntimeStateError(
                f"{who}: this target cannot import {name}: {type(error).__name__}: {reason}"
            ) from error
