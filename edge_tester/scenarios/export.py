"""Write run records as a table: ``edge-tester export``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from edge_tester.core.errors import RecordError
from edge_tester.core.results.tables import Rows, csv_of, rows_of
from edge_tester.core.system.files import write_atomically
from edge_tester.scenarios._program import guard
from edge_tester.scenarios._records import add_records, records_of


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="edge-tester export",
        description="Write run records as CSV: a row for each run with all its figures, or for "
        "each replicate, block, inference or operator of a profile. Units are in the names of the "
        "columns. "
        "edge_tester.records.frame gives the same to pandas.",
        allow_abbrev=False,
    )
    add_records(parser)
    parser.add_argument(
        "--rows", choices=get_args(Rows), default="run", help="what a row is of (default: run)"
    )
    parser.add_argument(
        "--output", type=Path, metavar="PATH", help="file to write; standard output by default"
    )
    chosen = parser.parse_args(arguments)
    records = [record for path in chosen.records for _, record in records_of(path)]
    text = csv_of(rows_of(records, chosen.rows))
    if chosen.output is None:
        sys.stdout.write(text)
        return
    try:
        write_atomically(chosen.output, text.encode("utf-8", "replace"))
    except OSError as error:
        raise RecordError(f"{chosen.output} cannot be written: {error.strerror}.") from error
    print(f"Table: {chosen.output}")


if __name__ == "__main__":
    sys.exit(guard(main))
