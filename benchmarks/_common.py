"""What the benchmarks share: processes to talk to, interleaving, medians."""

import contextlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from edge_tester.core.wire.client import Client
from edge_tester.core.wire.payloads import Hello
from edge_tester.runtimeprotocols.network import NetworkProtocol

AGENT = """
import sys
from edge_tester.core.registry import load
from edge_tester.core.agent.agent import Agent
from edge_tester.core.agent.process import SESSION_COMMAND
from edge_tester.runtimeprotocols.network import NetworkProtocol

protocol = NetworkProtocol(port=0)
runtime = load("runtimes", sys.argv[1])()
Agent().serve(
    protocol, [runtime], lambda: print(protocol.port, flush=True), sys.argv[2:] or SESSION_COMMAND
)
"""


@contextlib.contextmanager
def agent(runtime: str, *session_command: str) -> Iterator[tuple[Client, int]]:
    """Start an agent on TCP loopback; give a connected client and the agent's pid."""
    command = [sys.executable, "-c", AGENT, runtime, *session_command]
    environment = {**os.environ, "PYTHONPATH": _path()}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            client = Client(NetworkProtocol(port=int(process.stdout.readline())))
            client.connect(Hello(client="benchmark"))
            yield client, process.pid
            client.disconnect()
        finally:
            process.terminate()


def _path() -> str:
    """Return where other processes find the modules beside this one."""
    here, before = str(Path(__file__).parent), os.environ.get("PYTHONPATH")
    return f"{here}{os.pathsep}{before}" if before else here


@contextlib.contextmanager
def on_cpu(number: int) -> Iterator[None]:
    """Keep this process, and those that it starts meanwhile, on one of its CPUs.

    Host and target are two machines and share no CPU; here the scheduler would decide
    it anew for every process and moment, and two that share one wake each other faster.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[number % len(before)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder that is removed at the end."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def interleave(
    cases: dict[str, Callable[[int], list[int]]], *, rounds: int, count: int, seed: int = 0
) -> dict[str, list[int]]:
    """Run all cases in a new random order each round.

    Each case is a function that makes ``count`` measurements and returns them [ns];
    its first block is a warm-up and is dropped.
    """
    order = random.Random(seed)
    found: dict[str, list[int]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        names = list(cases)
        order.shuffle(names)
        for name in names:
            values = cases[name](count)
            if number:
                found[name] += values
    return found


def timed(action: Callable[[], object], count: int) -> list[int]:
    """Return how long each of ``count`` calls took [ns]."""
    values = []
    for _ in range(count):
        start_ns = time.perf_counter_ns()
        action()
        values.append(time.perf_counter_ns() - start_ns)
    return values


def median_us(values_ns: list[int]) -> float:
    """Return the median in microseconds."""
    return statistics.median(values_ns) / 1000
