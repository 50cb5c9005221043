"""edge_tester: measure deep-learning models on the device itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_tester.core.record import RunRecord

__version__ = "0.1.0"
__all__ = ["load"]


def load(path: str | os.PathLike[str]) -> RunRecord:
    """Read a run record, of this version of the format or an earlier one.

    Parameters
    ----------
    path : str or path

    Raises
    ------
    RecordError
        The file is missing or no run record.
    """
    # Importing the package costs nothing.
    from pathlib import Path

    from edge_tester.core.record import read_record

    return read_record(Path(path))
