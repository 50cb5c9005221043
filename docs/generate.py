"""Write the parts of the documentation that come from the code.

Run: ``python docs/generate.py``. A test checks that they are up to date.
"""

import json
from pathlib import Path

from edge_tester.core.record import record_schema
from edge_tester.core.wire.frames import TYPE_NAMES
from edge_tester.core.wire.states import (
    ANSWERS,
    ERROR_CODES,
    FATAL_CODES,
    SLOT_TRANSITIONS,
    TRANSITIONS,
)

_NOTICE = ".. Made by docs/generate.py from edge_tester/core/wire/states.py; do not edit.\n\n"


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a simple table in reStructuredText."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    rule = " ".join("=" * width for width in widths)
    lines = [
        " ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [header, *rows]
    ]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule]) + "\n"


def wire_states() -> str:
    """Return the states of a connection and of a slot, the answers, and the error codes."""
    header = ["state", "request", "after success", "after failure"]
    tables = [
        table(header, [[before, TYPE_NAMES[request], *after] for (before, request), after in rows])
        for rows in (TRANSITIONS.items(), SLOT_TRANSITIONS.items())
    ]
    answers = table(
        ["request", "answers"],
        [[TYPE_NAMES[request], ", then ".join(found)] for request, found in ANSWERS.items()],
    )
    codes = table(
        ["code", "meaning", "connection"],
        [[c, m, "ends" if c in FATAL_CODES else "goes on"] for c, m in ERROR_CODES.items()],
    )
    titles = ("The connection:", "Each slot that a request names:", "Answers:", "Codes of ERROR:")
    parts = [
        f"{title}\n\n{made}" for title, made in zip(titles, [*tables, answers, codes], strict=True)
    ]
    return _NOTICE + "\n".join(parts)


GENERATED = {
    "wire-states.rst": wire_states,
    "run-record.schema.json": lambda: json.dumps(record_schema(), indent=2) + "\n",
}


def main() -> None:
    """Write all files."""
    for name, make in GENERATED.items():
        Path(__file__).with_name(name).write_text(make())


if __name__ == "__main__":
    main()
