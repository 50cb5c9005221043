"""Print the JSON Schema of scenario files: ``edge-tester schema``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from edge_tester.core.measurements import record_schema
from edge_tester.scenarios._program import guard
from edge_tester.scenarios.run_file import SCENARIOS

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_USAGE = """Usage: edge-tester schema [record]

Print the JSON Schema of scenario files, or of run records."""


def scenario_schema() -> dict[str, Any]:
    """Return the JSON Schema of scenario files; editors complete and check with it."""
    return {
        "$schema": _DIALECT,
        "title": "edge_tester scenario",
        "oneOf": [module.COMMAND.schema() for module in SCENARIOS.values()],
    }


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    if list(arguments) not in ([], ["record"]):
        print(_USAGE)
        raise SystemExit(0 if {"-h", "--help"} & set(arguments) else 2)
    schema = {"$schema": _DIALECT, **record_schema()} if arguments else scenario_schema()
    print(json.dumps(schema, indent=2))


if __name__ == "__main__":
    sys.exit(guard(main))
