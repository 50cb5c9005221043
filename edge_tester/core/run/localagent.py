"""An agent on this machine, in a process of its own, for the time of one run."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from edge_tester.core import registry
from edge_tester.core.agent.scratch import Scratch
from edge_tester.core.errors import RuntimeStateError
from edge_tester.core.options import flags_of, path_of
from edge_tester.core.runtime import Runtime
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.system.interrupts import uninterrupted
from edge_tester.core.system.processes import ended_with_this


@contextlib.contextmanager
def local_agent(runtimes: Sequence[Runtime]) -> Iterator[RuntimeProtocol]:
    """Start an agent and give a link to it; stop it at the end.

    It listens on a Unix socket in a folder that only this user can enter. Its owner is this user:
    all options of a single runtime are given to it, also those that no client may set.

    Raises
    ------
    RuntimeStateError
        The agent could not start; the message is its own.
    """
    # If this process is killed, the next agent on this machine removes the folder.
    with contextlib.closing(Scratch()) as scratch:
        host = str(scratch.path / "agent")
        protocol = cast(
            RuntimeProtocol,
            registry.load("runtimeprotocols", "network").from_options({"host": host}),
        )
        flags = [word for r in runtimes for word in flags_of(r)] if len(runtimes) == 1 else []
        command = [
            *(sys.executable, "-m", "edge_tester", "server", "network"),
            *(path_of(type(runtime)) for runtime in runtimes),
            *("--host", host, "--verbosity", "ERROR"),
            *flags,
        ]
        log = scratch.path / "log"
        process = None
        try:
            # Python ignores what is raised in hooks of fork; Ctrl-C waits until it is over.
            with log.open("wb") as errors, uninterrupted():
                # A process group of its own: Ctrl-C is for the client, which then stops it.
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    start_new_session=True,
                    preexec_fn=ended_with_this(signal.SIGTERM),
                )
            _wait_for(process, log)
            yield protocol
        finally:
            if process is not None:
                process.terminate()
                process.communicate()


def _wait_for(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for the line that the agent prints when clients can be served."""
    if process.stdout is None or not process.stdout.readline():
        raise RuntimeStateError(_last_words(log))


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    last = lines[-1] if lines else "it said nothing"
    return f"The agent could not start: {last.removeprefix('error: ')}"
