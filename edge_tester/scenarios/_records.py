"""Run records that a command line names."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edge_tester.core.errors import RecordError
from edge_tester.core.record import RunRecord, read_record


def add_records(parser: argparse.ArgumentParser) -> None:
    """Let a command take records and folders of them."""
    parser.add_argument(
        "records",
        nargs="+",
        type=Path,
        metavar="RECORD",
        help="run record, or a folder of which all run records are taken",
    )


def records_of(path: Path) -> list[tuple[Path, RunRecord]]:
    """Return a record, or all records of a folder by name, each with its file.

    Raises
    ------
    RecordError
    """
    if not path.is_dir():
        return [(path, read_record(path))]
    found = []
    for file in sorted(path.glob("*.json")):
        try:
            found.append((file, read_record(file)))
        except RecordError as error:
            # A folder may hold other JSON files; a record that is named must be one.
            print(f"skipped: {error}", file=sys.stderr)
    if not found:
        raise RecordError(f"The folder {path} holds no run record.")
    return found
