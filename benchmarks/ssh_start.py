"""What an agent behind ssh costs to start, beside a command that does nothing there.

Run: ``python benchmarks/ssh_start.py ssh://pi@raspberrypi [--starts 10]``; without an address a
board is made on this machine: Debian's sshd on loopback, with an account of its own. By turns, each
start: ``ssh host true``, and the same link until the agent there has said its welcome.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

# Run as a script, the folder of the benchmarks is not the project's.
sys.path.insert(0, str(Path(__file__).parents[1]))

from edge_tester.core.addresses import link_to  # noqa: E402
from edge_tester.core.wire.client import Client  # noqa: E402
from edge_tester.core.wire.payloads import Hello  # noqa: E402
from edge_tester.runtimes.tflite import TFLiteRuntime  # noqa: E402
from tests.sshd import running_board  # noqa: E402


@contextlib.contextmanager
def address_of(given: str | None) -> Iterator[str]:
    """Give the address of a board, made here where none is given."""
    if given is not None:
        yield given
        return
    with running_board({"EDGE_TESTER_BENCHMARK": "1"}) as board:
        os.environ["PATH"] = f"{board.folder / 'bin'}:{os.environ['PATH']}"
        yield "ssh://board"


def plain_s(address: str) -> float:
    """Return how long a command takes that does nothing [s]."""
    host, _, port = address.removeprefix("ssh://").partition(":")
    begin_s = time.monotonic()
    words = ["-p", port] if port else []
    subprocess.run(["ssh", "-T", *words, host, "true"], check=True, stdin=subprocess.DEVNULL)
    return time.monotonic() - begin_s


def agent_s(address: str) -> float:
    """Return how long it takes until the agent's welcome, its runtime ready [s]."""
    link = link_to(address)
    link.runtime = TFLiteRuntime()
    begin_s = time.monotonic()
    with link.opened() as opened:
        client = Client(opened)
        client.connect(Hello(client="a benchmark"))
        taken_s = time.monotonic() - begin_s
        client.disconnect()
    return taken_s


def main() -> None:
    """Print the times of both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?")
    parser.add_argument("--starts", type=int, default=10)
    chosen = parser.parse_args()
    with address_of(chosen.address) as address:
        print(f"first start, installing if needed: {agent_s(address):.2f} s")
        plain, agent = [], []
        for _ in range(chosen.starts):
            plain.append(plain_s(address))
            agent.append(agent_s(address))
    for name, times in (("ssh true", plain), ("agent ready", agent)):
        print(
            f"{name:<12} median {statistics.median(times):.2f} s, "
            f"{min(times):.2f} to {max(times):.2f} s of {len(times)}"
        )


if __name__ == "__main__":
    main()
