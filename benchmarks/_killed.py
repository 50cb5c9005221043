"""Commands and agents in processes that are killed, and all that may be left of them.

Each has a folder of its own for temporary files, by which its processes are known: sessions get it
in their environment too. Linux only.
"""

import contextlib
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge_tester.core.system.processes import ended_with_this
from tests.agents import PROJECT, children_of

EDGE_TESTER = (sys.executable, "-m", "edge_tester")
# What a living agent has in its folder beside the folders of sessions.
STANDING = {"lock", "turn", "store"}
START_LIMIT_S = 30.0
# What libraries keep for the next process, whether somebody is killed or not.
KEPT = re.compile(r"\.ses|torchinductor_.*")
# Names of what is not whole yet, beside what it is to be.
HALF = re.compile(r"\..*[-.][a-z0-9_]{8}(\..*)?")


class Home:
    """A user's folders: temporary files, caches, state; and the processes that know them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temporary = folder / "temporary"
        self.temporary.mkdir(parents=True)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
            "PYTHONPATH": str(PROJECT),
            "EDGE_TESTER_HOME": str(folder),
            "TMPDIR": str(self.temporary),
            "HOME": str(folder),
            **{
                f"XDG_{name}_HOME": str(folder / name.lower())
                for name in ("CACHE", "CONFIG", "DATA", "STATE")
            },
        }

    def start(self, *words: object, more: Mapping[str, str] = {}) -> subprocess.Popen[str]:
        """Start ``edge-tester`` with these words, as a user of this home."""
        return subprocess.Popen(
            [*EDGE_TESTER, *map(str, words)],
            cwd=self.folder,
            env=self.environment | more,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=ended_with_this(),
        )

    def processes(self) -> dict[int, str]:
        """Return the processes of this home, zombies apart, with their command lines."""
        mark, found = f"EDGE_TESTER_HOME={self.folder}".encode(), {}
        for path in Path("/proc").glob("[0-9]*"):
            # They end meanwhile.
            with contextlib.suppress(OSError):
                if mark in (path / "environ").read_bytes().split(b"\0"):
                    words = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if words:
                        found[int(path.name)] = words[:120]
        return found

    def leftovers(self) -> list[str]:
        """Return what lies in the folders for temporary files, and half-written files elsewhere."""
        names = [path.name for path in self.temporary.iterdir()]
        found = [f"temporary/{name}" for name in names if not KEPT.fullmatch(name)]
        for path in self.folder.rglob(".*"):
            if HALF.fullmatch(path.name) and self.temporary not in path.parents:
                found.append(str(path.relative_to(self.folder)))
        return sorted(found)


class House:
    """A home whose agent is killed and started again, always by the same command.

    Parameters
    ----------
    folder : Path
    words : sequence of str
        Of ``edge-tester server``.
    python : str
        The interpreter.
    """

    def __init__(self, folder: Path, words: Sequence[str], python: str = sys.executable) -> None:
        self.home = Home(folder)
        self.words = words
        self.python = python
        self.starts = 0
        self.process: subprocess.Popen[str] | None = None

    def begin(self) -> None:
        """Start the agent, and do not wait for it."""
        self.starts += 1
        log = (self.home.folder / "log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [self.python, "-m", "edge_tester", "server", *self.words],
                cwd=self.home.folder,
                env=self.home.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                preexec_fn=ended_with_this(),
            )

    def greeted(self, limit_s: float = START_LIMIT_S) -> str | None:
        """Wait until clients can be served; return what is wrong instead."""
        stream = self.process.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            if not selector.select(limit_s):
                return f"the agent said nothing for {limit_s:g} s"
        if "agent on" not in stream.readline():
            self.process.wait()
            return f"the agent did not start: {self.last_words()}"
        return None

    def last_words(self) -> str:
        """Return the end of its log."""
        lines = (self.home.folder / "log").read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-3:])[-400:]

    def send(self, number: int) -> None:
        """Send the agent a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill the agent itself, and nothing else."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self) -> int:
        """Stop the agent as its owner does; return its exit status."""
        self.process.terminate()
        status = self.process.wait(START_LIMIT_S)
        self.process.stdout.close()
        return status

    def roles(self) -> dict[str, list[int]]:
        """Return the processes of the agent beside itself, by what they are."""
        found: dict[str, list[int]] = {}
        for pid in children_of(self.process.pid):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes()
                if b"session_process" in words:
                    found.setdefault("session", []).append(pid)
                elif b"greeter" in words:
                    found.setdefault("greeter", []).append(pid)
                    found.setdefault("worker of the greeter", []).extend(children_of(pid))
        return {role: pids for role, pids in found.items() if pids}

    def has(self) -> dict[str, int]:
        """Return what the agent has while it waits, as numbers that must not grow."""
        pid = self.process.pid
        status = Path(f"/proc/{pid}/status").read_text()
        return {
            "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
            "threads": int(re.search(r"Threads:\s+(\d+)", status)[1]),
            "processes": len(self.home.processes()),
            "folders": len(list(self.home.temporary.glob("*/*"))) + self._others(),
            "resident_kb": int(re.search(r"VmRSS:\s+(\d+)", status)[1]),
        }

    def _others(self) -> int:
        """Return how many other things than folders of agents lie in the folder for those."""
        return 1000 * (len(list(self.home.temporary.iterdir())) - 1)


def kill(pid: int) -> bool:
    """Kill a process; tell whether it was there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def becomes_true(holds: object, limit_s: float) -> bool:
    """Wait for something to come true; tell whether it has."""
    end_s = time.monotonic() + limit_s
    while not holds():  # type: ignore[operator]
        if time.monotonic() > end_s:
            return False
        time.sleep(0.02)
    return True
