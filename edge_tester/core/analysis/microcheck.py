"""The arena that tflite-micro itself needs on this machine, in a process of its own.

A model that the interpreter does not take may end its process. Source: ``print_allocations()``
of the package, which writes to descriptor 2.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import msgspec

from edge_tester.core.backends import backend
from edge_tester.core.errors import ModelError
from edge_tester.core.system.processes import ended_with_this

_PACKAGE = "tflite_micro.python.tflite_micro.runtime"
_FOUND = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")
_LARGEST_ARENA = 256 * 2**20
_LIMIT_S = 120


class Arena(msgspec.Struct, frozen=True, kw_only=True):
    """What tflite-micro allocated, on a 64-bit machine [bytes].

    Attributes
    ----------
    head : int
        For activations and scratch memory.
    tail : int
        For what the interpreter keeps.
    """

    head: int
    tail: int


def arena_of(path: Path, needed_by: object) -> Arena:
    """Return the arena of a ``.tflite`` file.

    Raises
    ------
    ModelError
        tflite-micro does not take it; the message has its own words.
    """
    backend("tflite_micro", needed_by)
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, str(path)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT_S,
            check=False,
            preexec_fn=ended_with_this(),
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"tflite-micro took more than {_LIMIT_S} s to load {path}.") from error
    found = {name: int(size) for name, size in _FOUND.findall(done.stderr)}
    if not {"head", "tail"} <= found.keys():
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = lines[0] if lines else f"its process ended with {done.returncode}"
        raise ModelError(f"tflite-micro does not take {path}: {reason}")
    return Arena(head=found["head"], tail=found["tail"])


if __name__ == "__main__":
    runtime = backend(_PACKAGE, "edge-tester fit --check")
    runtime.Interpreter.from_file(sys.argv[1], arena_size=_LARGEST_ARENA).print_allocations()
