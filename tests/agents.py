"""Real agents, started by the real command, for tests."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edge_tester.core.artifact import Artifact
from edge_tester.core.wire import payloads
from edge_tester.core.wire.client import Client
from edge_tester.core.wire.frames import Type
from edge_tester.core.wire.payloads import Block, Counters, Hello
from edge_tester.runtimeprotocols.network import NetworkProtocol

PROJECT = Path(__file__).parent.parent
SERVER = (sys.executable, "-m", "edge_tester.scenarios.inference_server")
ECHO = "edge_tester.runtimes.echo.EchoRuntime"
FOLDER = "EDGE_TESTER_TEST_FOLDER"
FAULTY = "tests.faulty_runtimes.FaultyRuntime"


class SampleAnswer(NamedTuple):
    """What the block of one sample came to."""

    outputs: list[np.ndarray]
    target_ns: int
    host_ns: int
    counters: Counters


class SampleClient(Client):
    """A client that runs blocks of one sample."""

    def run_sample(
        self, tensors: list[np.ndarray], *, untimed: int = 0, classical: bool = False
    ) -> SampleAnswer:
        """Run one sample, once."""
        answer = self.run_block([tensors], untimed=untimed, classical=classical)
        target_ns = answer.end_ns[0] - answer.start_ns[0]
        return SampleAnswer(answer.outputs[0], target_ns, answer.host_ns[0], answer.counters)

    @property
    def connection(self) -> socket.socket:
        """The socket underneath."""
        return self.protocol.connection

    def begin_sample(self, tensors: list[np.ndarray]) -> None:
        """Have one sample run, and do not wait for what comes of it."""
        head = payloads.TENSORS.pack(0, 0)
        self.conversation.answer(self.conversation.request(Type.DATA, [head, *tensors]), 0)
        self.conversation.request(Type.PROCESS, [Block(0, 1, 1, 0).encoded()])


class RunningAgent:
    """An agent in a process of its own."""

    def __init__(
        self, process: subprocess.Popen[bytes], host: str, log: Path, greeting: str = ""
    ) -> None:
        self.process = process
        self.host = host
        self.greeting = greeting
        self._log = log

    @property
    def log(self) -> str:
        """What it wrote to standard error."""
        return self._log.read_text()

    def connect(self, **hello: object) -> SampleClient:
        """Return a connected client."""
        client = SampleClient(NetworkProtocol(host=self.host))
        client.connect(Hello(client="a test", **hello))
        return client

    def wait(self, limit_s: float = 600.0) -> SampleClient:
        """Return a client that has waited in line, but not longer."""
        client = SampleClient(NetworkProtocol(host=self.host))
        client.connect(Hello(client="a test", wait=True), answer_limit_s=limit_s)
        return client


@contextlib.contextmanager
def running_agent(
    folder: Path,
    *words: str,
    runtime: str = ECHO,
    status: int | None = 0,
    program: Sequence[str] = SERVER,
    path: str = str(PROJECT),
) -> Iterator[RunningAgent]:
    """Start an agent on a Unix socket and wait until clients can connect.

    In the end its exit status must be ``status``, or any if that is None.
    """
    host, log = str(folder / "agent"), folder / "log"
    # Python then prints at once, which an agent does not have everywhere.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [
                *program,
                *("edge_tester.runtimeprotocols.network.NetworkProtocol", runtime),
                *("--host", host, "--verbosity", "INFO", *words),
            ],
            cwd=PROJECT,
            # What it and its models start can be told from what other tests do.
            env={**environment, "PYTHONPATH": path, FOLDER: str(folder)},
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    try:
        # It says so when clients can connect; its socket is there a moment earlier.
        greeting = process.stdout.readline().decode()
        assert greeting, log.read_text()
        yield RunningAgent(process, host, log, greeting)
    finally:
        process.terminate()
        assert process.wait(30) == status or status is None
        process.stdout.close()


def wait_until(holds: Callable[[], object], limit_s: float = 30) -> None:
    """Wait for something to come true; fail where it does not."""
    end_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def children_of(pid: int) -> list[int]:
    """Return the child processes of a process."""
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def echo_model(
    folder: Path, size: int = 4, inference_ns: int = 0, dtype: str = "uint8"
) -> Artifact:
    """Write an echo model: one input of ``size`` numbers, given back."""
    path = folder / f"{size}-{inference_ns}.echo"
    spec = {"name": "x", "shape": [None, size], "dtype": dtype}
    path.write_text(json.dumps({"inputs": [spec], "outputs": [spec], "inference_ns": inference_ns}))
    return Artifact.from_file(path)


def sample(*values: int) -> list[np.ndarray]:
    """Return the input of one inference."""
    return [np.array([values or (0, 2, 3, 4)], np.uint8)]
