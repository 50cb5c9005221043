"""Pass or fail as a run is worse than another by too much: ``edge-tester gate``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_tester.core.optionforms import percent_flag
from edge_tester.core.record import read_record
from edge_tester.core.results.gate import gate_of
from edge_tester.scenarios._program import guard

# 2 is that of an error.
_STATUS = {"passed": 0, "regression": 1, "unknown": 3}


def main(arguments: Sequence[str]) -> int:
    """Run the command; the status is 0, 1 (a regression is shown) or 3 (it cannot be told)."""
    parser = argparse.ArgumentParser(
        prog="edge-tester gate",
        description="Ask whether a run is worse than another by more than is allowed. The status "
        "is 0 if that is ruled out at 95 %%, 1 if it is shown, 3 if neither is, and 2 after "
        "an error. Prints a summary in Markdown.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--baseline", required=True, type=Path, metavar="RECORD", help="run record to compare with"
    )
    parser.add_argument(
        "--candidate", required=True, type=Path, metavar="RECORD", help="run record in question"
    )
    parser.add_argument(
        "--max-slowdown",
        type=percent_flag,
        default=3.0,
        metavar="PERCENT",
        help="how much larger the median latency may be (default: 3%%)",
    )
    parser.add_argument(
        "--max-accuracy-loss",
        type=percent_flag,
        metavar="POINTS",
        help="how many percentage points of the accuracy may be lost, on the same samples; "
        "nothing is asked by default",
    )
    chosen = parser.parse_args(arguments)
    loss = chosen.max_accuracy_loss
    gate = gate_of(
        read_record(chosen.baseline),
        read_record(chosen.candidate),
        max_slowdown=chosen.max_slowdown / 100,
        max_accuracy_loss=None if loss is None else loss / 100,
    )
    print(gate.markdown())
    return _STATUS[gate.state]


if __name__ == "__main__":
    sys.exit(guard(main))
