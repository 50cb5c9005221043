"""How fast and how small it starts.

Run: ``python benchmarks/startup.py``. Whole processes, in random order: an empty
interpreter (the floor), importing the package, ``edge-tester --help`` (goal: under
0.3 s), and a client from its start to the first remote inference and to its end (goal:
under 2 s; a running agent, no compiling). Then the agent's memory: supervisor
(goal: under 25 MB) and session process with LiteRT (together under 75 MB above the
model), and how much an upload of 500 MB makes either side grow (goal: under 10 MB).
"""

import importlib.resources
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from _common import agent, interleave, median_us, scratch

from edge_tester.core.artifact import Artifact
from edge_tester.core.errors import TargetError
from edge_tester.core.system.machine import resident_bytes

UPLOAD_BYTES = 500_000_000
FIRST_INFERENCE = """
import sys
from pathlib import Path
from edge_tester.core.artifact import Artifact
from edge_tester.core.wire.client import Client
from edge_tester.core.wire.payloads import Hello
from edge_tester.runtimeprotocols.network import NetworkProtocol
import numpy as np
client = Client(NetworkProtocol(port=int(sys.argv[1])))
client.connect(Hello(client="benchmark"))
client.upload_model(Artifact.from_file(Path(sys.argv[2])))
client.run_block([[np.zeros((1, 8, 8, 1), np.float32)]])
"""


def whole_process(*command: str):
    """Return a case that times whole processes."""

    def run(count: int) -> list[int]:
        times = []
        for _ in range(count):
            start_ns = time.perf_counter_ns()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times.append(time.perf_counter_ns() - start_ns)
        return times

    return run


def resident_mb(pid: int) -> float:
    """Return the resident set of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def child_of(pid: int) -> int:
    """Return the session process of an agent."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def times(folder: Path, model: Path) -> None:
    """Time whole processes."""
    client_command = (
        *(sys.executable, "-m", "edge_tester", "client", str(model), "random_inputs"),
        *("--num-samples", "1", str(folder), "startup"),
    )
    words = list(client_command)
    # Class names and report names come before the flags.
    words = words[:6] + words[8:] + words[6:8]
    with ExitStack() as stack:
        server = subprocess.Popen(
            [sys.executable, "-m", "edge_tester", "server", "network", "tflite", "--port", "0"],
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(server.terminate)
        port = server.stdout.readline().split(" on ")[1].split()[0].rpartition(":")[2]
        cases = {
            "empty interpreter": whole_process(sys.executable, "-c", ""),
            "import edge_tester": whole_process(sys.executable, "-c", "import edge_tester"),
            "edge-tester --help": whole_process(sys.executable, "-m", "edge_tester", "--help"),
            "to first inference": whole_process(
                sys.executable, "-c", FIRST_INFERENCE, port, str(model)
            ),
            "client, one sample": whole_process(*words, "--port", port),
        }
        found = {k: median_us(v) for k, v in interleave(cases, rounds=5, count=1).items()}
    floor = found["empty interpreter"]
    print("whole processes [ms, medians of 5]")
    for name, value in found.items():
        print(f"{name:>20} {value / 1000:8.0f} {value / floor:6.1f} x empty interpreter")


def memory(folder: Path, model: Path) -> None:
    """Measure the memory of an agent."""
    with agent("tflite") as (client, pid):
        session = child_of(pid)
        client.upload_model(Artifact.from_file(model))
        client.run_block([[np.zeros((1, 8, 8, 1), np.float32)]])
        supervisor_mb, session_mb = resident_mb(pid), resident_mb(session)
        print("\nresident memory [MB]")
        print(f"{'supervisor':>20} {supervisor_mb:8.1f} (goal: 25)")
        print(f"{'session, LiteRT':>20} {session_mb:8.1f}")
        print(f"{'together':>20} {supervisor_mb + session_mb:8.1f} (goal: 75)")
    large = folder / "large.echo"
    with large.open("wb") as file:
        file.truncate(UPLOAD_BYTES)
    artifact = Artifact.from_file(large)
    with agent("echo") as (client, pid):
        session = child_of(pid)
        before = (resident_mb(session), (resident_bytes() or 0) / 1e6)
        start_s = time.perf_counter()
        try:
            client.upload_model(artifact)
        except TargetError as error:
            # It is stored and checked, then no model: what is measured is the way there.
            assert error.code == "model", error
        duration_s = time.perf_counter() - start_s
        after = (resident_mb(session), (resident_bytes() or 0) / 1e6)
    print(f"\nupload of {UPLOAD_BYTES / 1e6:.0f} MB: {UPLOAD_BYTES / 1e6 / duration_s:.0f} MB/s")
    print(f"{'target grew by':>20} {after[0] - before[0]:8.1f} MB (goal: 10)")
    print(f"{'host grew by':>20} {after[1] - before[1]:8.1f} MB (goal: 10)")


def main() -> None:
    """Measure and print."""
    model = Path(str(importlib.resources.files("edge_tester.resources") / "digits.tflite"))
    with scratch() as folder:
        times(folder, model)
        memory(folder, model)


if __name__ == "__main__":
    main()
