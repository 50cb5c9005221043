"""Real agents, started by the real command, for tests."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edge_tester.core.artifact import Artifact
from edge_tester.core.wire.client import Client
from edge_tester.core.wire.payloads import Counters, Hello
from edge_tester.runtimeprotocols.network import NetworkProtocol

ECHO = "edge_tester.runtimes.echo.EchoRuntime"
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


class RunningAgent:
    """An agent in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], host: str, log: Path) -> None:
        self.process = process
        self.host = host
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


@contextlib.contextmanager
def running_agent(
    folder: Path, *words: str, runtime: str = ECHO, status: int | None = 0
) -> Iterator[RunningAgent]:
    """Start an agent on a Unix socket and wait until clients can connect.

    In the end its exit status must be ``status``, or any if that is None.
    """
    host, log = str(folder / "agent"), folder / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "edge_tester.scenarios.inference_server"),
                *("edge_tester.runtimeprotocols.network.NetworkProtocol", runtime),
                *("--host", host, "--verbosity", "INFO", *words),
            ],
            cwd=Path(__file__).parent.parent,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    try:
        # It says so when clients can connect; its socket is there a moment earlier.
        assert process.stdout.readline(), log.read_text()
        yield RunningAgent(process, host, log)
    finally:
        process.terminate()
        assert process.wait(10) == status or status is None
        process.stdout.close()


def echo_model(folder: Path, size: int = 4, inference_ns: int = 0) -> Artifact:
    """Write an echo model: one input of ``size`` uint8, given back."""
    path = folder / f"{size}-{inference_ns}.echo"
    spec = {"name": "x", "shape": [None, size], "dtype": "uint8"}
    path.write_text(json.dumps({"inputs": [spec], "outputs": [spec], "inference_ns": inference_ns}))
    return Artifact.from_file(path)


def sample(*values: int) -> list[np.ndarray]:
    """Return the input of one inference."""
    return [np.array([values or (0, 2, 3, 4)], np.uint8)]
