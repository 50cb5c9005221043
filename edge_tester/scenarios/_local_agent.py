"""An agent on this machine, in a process of its own, for the time of one run."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_tester.core.errors import RuntimeStateError
from edge_tester.core.options import Configurable, options_of, path_of
from edge_tester.core.runtime import Runtime
from edge_tester.runtimeprotocols.network import NetworkProtocol

_START_LIMIT_S = 60.0
_POLL_S = 0.01


@contextlib.contextmanager
def local_agent(runtimes: Sequence[Runtime]) -> Iterator[NetworkProtocol]:
    """Start an agent and give a link to it; stop it at the end.

    It listens on a Unix socket in a folder that only this user can enter.

    Raises
    ------
    RuntimeStateError
        The agent could not start; the message is its own.
    """
    with tempfile.TemporaryDirectory(prefix="edge_tester-") as folder:
        protocol = NetworkProtocol(host=str(Path(folder) / "agent"))
        flags = [word for r in runtimes for word in _flags(r)] if len(runtimes) == 1 else []
        command = [
            *(sys.executable, "-m", "edge_tester.scenarios.inference_server"),
            path_of(NetworkProtocol),
            *(path_of(type(runtime)) for runtime in runtimes),
            *("--host", protocol.host, "--verbosity", "ERROR"),
            *flags,
        ]
        log = Path(folder) / "log"
        with log.open("wb") as errors:
            # A process group of its own: Ctrl-C is for the client, which then stops it.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        try:
            _wait_for(process, Path(protocol.host), log)
            yield protocol
        finally:
            process.terminate()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], socket: Path, log: Path) -> None:
    deadline_s = time.monotonic() + _START_LIMIT_S
    while not socket.exists():
        if process.poll() is not None:
            raise RuntimeStateError(_last_words(log))
        if time.monotonic() > deadline_s:
            raise RuntimeStateError(f"The agent did not start within {_START_LIMIT_S:g} s.")
        time.sleep(_POLL_S)


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    last = lines[-1] if lines else "it said nothing"
    return f"The agent could not start: {last.removeprefix('error: ')}"


def _flags(part: Configurable) -> list[str]:
    """Return the flags that make an equal instance."""
    words: list[str] = []
    for declared in options_of(type(part)):
        value = getattr(part, declared.name)
        if value == declared.default or value is None:
            continue
        if declared.kind is bool:
            words.append(declared.flag if value else f"--no-{declared.flag[2:]}")
        elif declared.repeated:
            words += [declared.flag, *map(str, value)]
        else:
            words += [declared.flag, str(value)]
    return words
