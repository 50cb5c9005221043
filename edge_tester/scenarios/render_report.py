"""Render run records: ``edge-tester report``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_tester.core.errors import OptionError
from edge_tester.core.optionforms import percent_flag
from edge_tester.core.statistics.comparing import MARGIN
from edge_tester.report import SUFFIXES, draw
from edge_tester.scenarios._program import guard
from edge_tester.scenarios._records import add_records, records_of


def render(
    paths: Sequence[Path],
    output: Path | None = None,
    baseline: str | None = None,
    margin: float = MARGIN,
) -> Path:
    """Render a report on run records.

    Parameters
    ----------
    paths : sequence of Path
        Run records, or folders of which all run records are taken, by name.
    output : Path, optional
        Its suffix decides the format: ``.html``, ``.rst`` or ``.md``. Without
        it one record's report stands beside it, ``report.html`` in the folder
        of the first of several.
    baseline : str, optional
        Name of the record, or of its file, with which all are compared; the
        first by default.
    margin : float
        Relative difference of the latency that does not matter.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    OptionError, RecordError
    """
    if output is not None and output.suffix not in SUFFIXES:
        raise OptionError(f"--output must end with .html, .rst or .md, got {str(output)!r}.")
    found = [one for path in paths for one in records_of(path)]
    if not found:
        raise OptionError("A report needs at least one run record, got none.")
    first = found[0][0]
    path = output or (
        first.with_suffix(".html") if len(found) == 1 else first.parent / "report.html"
    )
    sources, records = zip(*found, strict=True)
    draw(path)(records, path, sources=sources, baseline=baseline, margin=margin)
    return path


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="edge-tester report",
        description="Render run records as one report; several records are compared.",
        allow_abbrev=False,
    )
    add_records(parser)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="report to write: .html, .rst or .md; by default .html beside the first record",
    )
    parser.add_argument(
        "--baseline",
        metavar="NAME",
        help="name of the record with which all are compared; the first by default",
    )
    parser.add_argument(
        "--margin",
        type=percent_flag,
        default=100 * MARGIN,
        metavar="PERCENT",
        help=f"difference of the latency that does not matter (default: {100 * MARGIN:g}%%)",
    )
    chosen = parser.parse_args(arguments)
    margin = chosen.margin / 100
    print(f"Report: {render(chosen.records, chosen.output, chosen.baseline, margin)}")


if __name__ == "__main__":
    sys.exit(guard(main))
