"""Print the JSON Schemas of files: ``edge-tester schema``."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from edge_tester.core.pipeline.settings import Settings
from edge_tester.core.record import record_schema
from edge_tester.scenarios import edge_pipeline
from edge_tester.scenarios._matrix_schema import matrix_schema
from edge_tester.scenarios._program import guard
from edge_tester.scenarios._settings_file import settings_schema
from edge_tester.scenarios.optimization_sweep import sweep_schema
from edge_tester.scenarios.run_file import SCENARIOS

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_USAGE = """Usage: edge-tester schema [scenario | matrix | pipeline | sweep | record]

Print the JSON Schema of scenario files (of 'edge-tester run'), of matrix files (of
'edge-tester matrix'), of pipeline files (of 'edge-tester pipeline'), of sweep files (of
'edge-tester sweep'), or of run records."""


def scenario_schema() -> dict[str, Any]:
    """Return the JSON Schema of scenario files; editors complete and check with it."""
    return {
        "$schema": _DIALECT,
        "title": "edge_tester scenario",
        "oneOf": [module.COMMAND.schema() for module in SCENARIOS.values()],
    }


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    makers: dict[str, Callable[[], dict[str, Any]]] = {
        "scenario": scenario_schema,
        "matrix": matrix_schema,
        "pipeline": functools.partial(settings_schema, "pipeline", Settings, edge_pipeline.FOLDER),
        "sweep": sweep_schema,
        "record": record_schema,
    }
    words = list(arguments) or ["scenario"]
    if len(words) != 1 or words[0] not in makers:
        print(_USAGE)
        raise SystemExit(0 if {"-h", "--help"} & set(arguments) else 2)
    print(json.dumps({"$schema": _DIALECT, **makers[words[0]]()}, indent=2))


if __name__ == "__main__":
    sys.exit(guard(main))
