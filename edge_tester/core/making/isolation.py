"""Call a function in a process of its own, so that a crash or an endless loop is only an error."""

from __future__ import annotations

import importlib
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from edge_tester.core.errors import EdgeTesterError, IsolationError

Result = TypeVar("Result")


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
    with tempfile.TemporaryDirectory(prefix="edge_tester-") as folder:
        answer = Path(folder) / "answer"
        request = (function.__module__, function.__qualname__, arguments, answer)
        # Not multiprocessing, which runs the caller's main script again.
        process = subprocess.Popen(
            [sys.executable, "-m", "edge_tester.core.making.isolation"], stdin=subprocess.PIPE
        )
        try:
            process.communicate(pickle.dumps(request), timeout_s)
        except subprocess.TimeoutExpired as error:
            raise IsolationError(f"It took longer than {timeout_s:g} s.") from error
        finally:
            process.kill()
            process.wait()
        if not answer.exists():
            raise IsolationError(f"Its process {_ending(process.returncode)}.")
        result, failure = pickle.loads(answer.read_bytes())
    if failure is not None:
        raise failure
    found: Result = result
    return found


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit status {code}"
    return f"was ended by {signal.Signals(-code).name}"


def _serve() -> None:
    module, name, arguments, answer = pickle.loads(sys.stdin.buffer.read())
    result: Any = None
    error: EdgeTesterError | None = None
    try:
        result = getattr(importlib.import_module(module), name)(*arguments)
    except EdgeTesterError as raised:
        error = raised
    # Whatever it is, it belongs to the caller, who may go on with something else.
    except Exception as raised:
        error = IsolationError(f"{type(raised).__name__}: {raised}")
    complete = answer.with_suffix(".part")
    complete.write_bytes(pickle.dumps((result, error)))
    complete.rename(answer)


if __name__ == "__main__":
    _serve()
