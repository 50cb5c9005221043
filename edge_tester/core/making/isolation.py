"""Call a function in a process of its own, so that a crash or an endless loop is only an error."""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from edge_tester.core.errors import EdgeTesterError, IsolationError
from edge_tester.core.system.processes import end_with_parent
from edge_tester.core.system.temporary import TemporaryFolder

Result = TypeVar("Result")


class Helper:
    """A Python process of its own that waits for one call.

    Parameters
    ----------
    prepare : callable, optional
        Called first, while the caller does something else, for what it imports; what it raises
        is left to the call that needs it.
    *arguments
        As picklable as what the call returns.
    """

    def __init__(self, prepare: Callable[..., object] | None = None, *arguments: Any) -> None:
        self._folder = TemporaryFolder()
        self._answer = Path(self._folder.name) / "answer"
        scratch = Path(self._folder.name) / "scratch"
        scratch.mkdir()
        # Not multiprocessing, which runs the caller's main script again.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edge_tester.core.making.isolation", str(os.getpid())],
            stdin=subprocess.PIPE,
            # What others' code leaves there goes with the folder.
            env={**os.environ, "TMPDIR": str(scratch)},
        )
        if prepare is not None:
            stream = cast(IO[bytes], self._process.stdin)
            # A process that died already says so when it is called.
            with contextlib.suppress(BrokenPipeError):
                stream.write(_request(prepare, arguments, None))
                stream.flush()

    def call(
        self, function: Callable[..., Result], *arguments: Any, timeout_s: float | None = None
    ) -> Result:
        """Call a function there and return what it returns; see :func:`isolated`."""
        try:
            self._process.communicate(_request(function, arguments, self._answer), timeout_s)
        except subprocess.TimeoutExpired as error:
            raise IsolationError(f"It took longer than {timeout_s:g} s.") from error
        if not self._answer.exists():
            raise IsolationError(f"Its process {_ending(self._process.returncode)}.")
        result, failure = pickle.loads(self._answer.read_bytes())
        if failure is not None:
            raise failure
        found: Result = result
        return found

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def __enter__(self) -> Helper:
        """Return itself."""
        return self

    def __exit__(self, *unused: object) -> None:
        """End the process."""
        self.close()


def isolated(
    function: Callable[..., Result], *arguments: Any, timeout_s: float | None = None
) -> Result:
    """Call a function in a fresh Python process and return what it returns.

    Parameters
    ----------
    function : callable
        One that a module defines under its own name.
    *arguments
        As picklable as what the function returns.
    timeout_s : float, optional
        Time allowed for all of it, the start of the process included.

    Raises
    ------
    IsolationError
        The process died, took too long, or the function raised something that is no error
        of this package.
    EdgeTesterError
        The function raised it.
    """
    with Helper() as helper:
        return helper.call(function, *arguments, timeout_s=timeout_s)


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit status {code}"
    return f"was ended by {signal.Signals(-code).name}"


def _request(function: Callable[..., object], arguments: Any, answer: Path | None) -> bytes:
    return pickle.dumps((function.__module__, function.__qualname__, arguments, answer))


def _serve() -> None:
    with contextlib.suppress(EOFError):
        while True:
            _call(*pickle.load(sys.stdin.buffer))


def _call(module: str, name: str, arguments: Any, answer: Path | None) -> None:
    result: Any = None
    error: EdgeTesterError | None = None
    try:
        result = getattr(importlib.import_module(module), name)(*arguments)
    except EdgeTesterError as raised:
        error = raised
    # Whatever it is, it belongs to the caller, who may go on with something else.
    except Exception as raised:
        error = IsolationError(f"{type(raised).__name__}: {raised}")
    if answer is not None:
        complete = answer.with_suffix(".part")
        complete.write_bytes(pickle.dumps((result, error)))
        complete.rename(answer)


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    _serve()
