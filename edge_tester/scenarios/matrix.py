"""Run one model in many ways and compare them: ``edge-tester matrix``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from edge_tester.core.options import Configurable, option
from edge_tester.core.run.matrix import MatrixRun
from edge_tester.report import render_html
from edge_tester.scenarios._command import Command
from edge_tester.scenarios._matrix_file import read_matrix
from edge_tester.scenarios._program import Logging, guard
from edge_tester.scenarios._progress import TerminalProgress
from edge_tester.scenarios._show import comparison, verdicts


class Conduct(Configurable):
    """How a matrix is gone through."""

    explain: bool = option(
        False, help="Run nothing; say of every combination what would be done, and why"
    )
    again: bool = option(False, help="Measure anew what was measured already")
    target: str = option(
        "",
        help="Run there alone: the name of one of the file's targets, or an address such as "
        "ssh://pi@raspberrypi",
    )


COMMAND = Command(
    "matrix",
    "Compile and run one model in all the ways that a file lists, on one or more targets, "
    "and compare them in one report. What was done before is not done again, so an "
    "interrupted matrix goes on where it was; compiled models are kept.",
    extras=(Conduct,),
    trailing=("matrix_file",),
)


def main(arguments: Sequence[str]) -> int:
    """Run the command; the status is 1 if a combination failed."""
    parsed = COMMAND.parse(arguments)
    parsed.extra(Logging).start()
    conduct = parsed.extra(Conduct)
    matrix = read_matrix(Path(parsed.trailing["matrix_file"]), conduct.target)
    run = MatrixRun(matrix.plans, matrix.report_directory, parsed.command_line)
    if conduct.explain:
        for name, explanation in run.explained():
            print(f"{name}: {explanation}")
        return 0
    with TerminalProgress() as progress:
        failures = run.run(progress, again=conduct.again)
    records = run.records()
    if records:
        comparison(list(records.values()))
        verdicts(list(records.values()), list(records))
        report = matrix.report_directory / "report.html"
        render_html(list(records.values()), report, list(failures.items()), sources=list(records))
        print(f"Report: {report}")
    if failures:
        print(f"{len(failures)} of {len(matrix.plans)} failed: {', '.join(failures)}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(guard(main))
