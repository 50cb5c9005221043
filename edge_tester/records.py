"""Run records in a notebook or a script: read, tabled."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edge_tester.core.backends import backend
from edge_tester.core.record import RunRecord, read_record
from edge_tester.core.results.tables import Rows, rows_of

__all__ = ["frame"]


def frame(records: Iterable[RunRecord | str | Path], rows: Rows = "run") -> Any:
    """Return run records as a pandas.DataFrame.

    Parameters
    ----------
    records : iterable of RunRecord, str or Path
        Records, or their files.
    rows : {'run', 'replicate', 'block', 'inference', 'operator'}
        What a row is of. Units are in the names of the columns.

    Raises
    ------
    BackendMissingError
        pandas is not installed.
    RecordError
        A file is no run record.
    """
    found = [one if isinstance(one, RunRecord) else read_record(Path(one)) for one in records]
    return backend("pandas", "edge_tester.records.frame").DataFrame(rows_of(found, rows))
