"""Make records of what killed runs have measured: ``edge-tester recover``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_tester.core.errors import RecordError
from edge_tester.core.record import read_record
from edge_tester.core.results.words import plural
from edge_tester.core.run.journal import SUFFIX, recover
from edge_tester.scenarios._program import guard


def recover_all(paths: Sequence[Path]) -> list[Path]:
    """Make a record of each journal, and say so.

    Parameters
    ----------
    paths : sequence of Path
        Journals, records that they belong to, or folders of which all journals are taken.

    Raises
    ------
    RecordError
        A journal that was named cannot be recovered, or there is none at all.
    """
    found = []
    for path in paths:
        journals = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
        for journal in journals:
            try:
                found.append(_recovered(journal))
            except RecordError as error:
                if not path.is_dir():
                    raise
                # A run may go on in the same folder.
                print(f"skipped: {error}", file=sys.stderr)
    if not found:
        raise RecordError(f"Nothing could be recovered from {', '.join(map(str, paths))}.")
    return found


def _recovered(journal: Path) -> Path:
    path = recover(journal)
    record = read_record(path)
    inferences, samples = len(record.target_ns), record.quality.samples
    print(f"Recovered: {path} ({plural(inferences, 'inference')}, {plural(samples, 'sample')})")
    return path


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="edge-tester recover",
        description="Make incomplete records of what runs have measured that were killed, or whose "
        "record did not fit the disk. No record is overwritten.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="journal, the record that it belongs to, or a folder of which all are taken",
    )
    recover_all(parser.parse_args(arguments).paths)


if __name__ == "__main__":
    sys.exit(guard(main))
