"""Runtimes that go wrong in every way that a model can."""

import contextlib
import ctypes
import os
import subprocess
import time

from edge_tester.core.options import option
from edge_tester.runtimes.echo import EchoRuntime


class FaultyRuntime(EchoRuntime):
    """Echoes until an input begins with 1; then does what ``fault`` says."""

    fault: str = option("none", help="What goes wrong")

    def run(self) -> None:
        if self._inputs[0].flat[0] == 1:
            _faults[self.fault]()
        super().run()


class FaultyLoader(FaultyRuntime):
    """Does what ``fault`` says when it loads a model."""

    def load(self, path, batch_size):
        _faults[self.fault]()
        return super().load(path, batch_size)


def _segfault() -> None:
    ctypes.string_at(0)


def _abort() -> None:
    os.abort()


def _exit() -> None:
    os._exit(3)


def _polite_exit() -> None:
    raise SystemExit(3)


def _hang() -> None:
    while True:
        time.sleep(1)


def _out_of_memory() -> None:
    raise MemoryError


def _killed() -> None:
    os.kill(os.getpid(), 9)


def _error() -> None:
    raise ValueError("the weights are upside down")


def _scribble() -> None:
    for descriptor in range(3, 64):
        with contextlib.suppress(OSError):
            os.write(descriptor, b"\xff" * 64)


def _hang_with_a_child() -> None:
    subprocess.Popen(["sleep", "4711"])
    _hang()


_faults = {
    "scribble": _scribble,
    "hang with a child": _hang_with_a_child,
    "none": lambda: None,
    "segfault": _segfault,
    "abort": _abort,
    "exit": _exit,
    "polite exit": _polite_exit,
    "hang": _hang,
    "memory": _out_of_memory,
    "killed": _killed,
    "error": _error,
}
