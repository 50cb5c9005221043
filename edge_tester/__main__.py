"""The console command: ``edge-tester SUBCOMMAND``."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import edge_tester
from edge_tester.core.errors import OptionError
from edge_tester.core.options import hint
from edge_tester.scenarios._program import guard

# Subcommand -> module of its scenario and what it does.
COMMANDS = {
    "client": ("inference_client", "compile a model, run it on a target, write a run record"),
    "server": ("inference_server", "run the target agent"),
    "agent": ("agent", "ask an agent how it fares, or for its target alone"),
    "compare": ("compare", "say which of several models or records is faster, if that can be said"),
    "doctor": ("doctor", "say what this machine has for running models"),
    "install": ("install", "put the agent onto a board and let it stay there"),
    "pipeline": ("edge_pipeline", "go from a model to a decision what to deploy"),
    "sweep": ("optimization_sweep", "search for candidates that fit, and show their fronts"),
    "validate": ("conversion_validation", "say whether conversions of a model still are the model"),
    "analyze": ("analyze", "say what the layers of a model take: work, memory, time"),
    "fit": ("fit", "say whether a model fits a microcontroller"),
    "throughput": ("throughput", "find the highest rate of arrivals that keeps a latency"),
    "calibrate": ("calibrate", "compare a model with itself: what a machine's noise hides"),
    "samples": ("samples", "write samples to calibrate quantizations with"),
    "matrix": ("matrix", "run a model in many ways and compare them"),
    "measure-host": ("inference_performance", "run a model on this machine, in its framework"),
    "train": ("model_training", "train a model"),
    "report": ("render_report", "render run records as HTML, RST or Markdown"),
    "gate": ("gate", "pass, or fail with status 1, as a run is worse than another by too much"),
    "instructions": ("instructions", "count the instructions of an inference with valgrind"),
    "export": ("export", "write run records as a table"),
    "energy": ("energy", "add what an external meter read to a run record"),
    "keys": ("keys", "make what hosts and targets know each other by: tokens, certificates"),
    "recover": ("recover", "make a record of what a run that was killed has measured"),
    "onnx-conversion": ("onnx_conversion", "see which models survive the way through ONNX"),
    "run": ("run_file", "run a scenario that a YAML file describes"),
    "list": ("list_plugins", "list the plugins"),
    "schema": ("print_schema", "print the JSON Schemas of the files that are read and written"),
    "demo": ("demo", "compare the shipped digits models on a target of this machine"),
}


def run(arguments: Sequence[str]) -> int | None:
    """Run a subcommand."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0
    name, *rest = arguments
    if name == "--version":
        print(f"edge-tester {edge_tester.__version__}")
        return 0
    if name not in COMMANDS:
        raise OptionError(f"edge-tester has no command {name!r}{hint(name, COMMANDS)}")
    # A user's own plugins and networks are named by modules of the folder that one works in. It
    # comes last, so that a file there never stands for a package.
    sys.path.append(os.getcwd())
    module = importlib.import_module(f"edge_tester.scenarios.{COMMANDS[name][0]}")
    status: int | None = module.main(rest)
    return status


def main() -> int:
    """Run as a program."""
    return guard(run)


def _overview() -> str:
    lines = [
        "Measure deep-learning models on the device itself.",
        "",
        "Usage: edge-tester COMMAND [arguments]",
        "",
        *(f"  {name:<16}{about}" for name, (_, about) in COMMANDS.items()),
        "",
        "First steps:",
        "  edge-tester demo",
        "  edge-tester client model.tflite data.npz build/report my-model --start-agent",
        "",
        "'edge-tester COMMAND -h' tells more about a command.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
