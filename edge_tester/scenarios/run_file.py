"""Run what a YAML file describes: ``edge-tester run``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from edge_tester.core.errors import OptionError
from edge_tester.core.options import hint
from edge_tester.scenarios import (
    compare,
    conversion_validation,
    inference_client,
    inference_performance,
    inference_server,
    model_training,
    throughput,
)
from edge_tester.scenarios._program import guard
from edge_tester.scenarios._yaml import blaming, read_mapping

SCENARIOS = {
    module.COMMAND.name: module
    for module in (
        *(compare, conversion_validation, inference_client, inference_performance),
        *(inference_server, model_training, throughput),
    )
}


def run_file(path: Path) -> int | None:
    """Run the scenario of one file; return its status if it has one.

    Raises
    ------
    OptionError
        The file cannot be read, or says something that does not exist.
    """
    content = read_mapping(path)
    if "scenario" not in content:
        raise OptionError(f"{path} must have a key 'scenario', one of {', '.join(SCENARIOS)}.")
    name = content.pop("scenario")
    if not isinstance(name, str) or name not in SCENARIOS:
        raise OptionError(f"{path}: there is no scenario {name!r}{hint(str(name), SCENARIOS)}")
    module = SCENARIOS[name]
    with blaming(path):
        parsed = module.COMMAND.read(content, str(path))
    status: int | None = module.conduct(parsed)
    return status


def main(arguments: Sequence[str]) -> int | None:
    """Run the command."""
    if len(arguments) != 1 or arguments[0] in ("-h", "--help"):
        print("Usage: edge-tester run SCENARIO.yml\n\n'edge-tester schema' prints what it may say.")
        raise SystemExit(0 if {"-h", "--help"} & set(arguments) else 2)
    return run_file(Path(arguments[0]))


if __name__ == "__main__":
    sys.exit(guard(main))
