"""What storing a model on the target costs, against the same work in one run.

Run: ``python benchmarks/upload.py``. In turn: 500 MB by sendfile to a bare Python process
that receives them, computes their SHA-256 in a second thread and writes them to a file (the
floor); and an upload of the same file to the real agent. Both write a new file each time, to the
same file system.
The goal is 0.8 of the floor's rate.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from _common import agent, interleave, median_us, scratch

from edge_tester.core.artifact import Artifact
from edge_tester.core.errors import TargetError
from edge_tester.core.wire.client import Client

SIZE_BYTES = 500_000_000
GOAL = 0.8
FLOOR = """
import hashlib, socket, sys
from concurrent.futures import ThreadPoolExecutor
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
buffers = [bytearray(1 << 20), bytearray(1 << 20)]
hasher, number = ThreadPoolExecutor(1), 0
while size := int.from_bytes(connection.recv(8), "big"):
    digest, pending = hashlib.sha256(), None
    number += 1
    with open(f"{sys.argv[1]}-{number}", "wb", buffering=0) as file:
        while size:
            view, filled = memoryview(buffers[0]), 0
            while filled < min(size, len(view)):
                filled += connection.recv_into(view[filled:size])
            if pending:
                pending.result()
            pending = hasher.submit(digest.update, view[:filled])
            file.write(view[:filled])
            size -= filled
            buffers.reverse()
        pending.result()
    connection.sendall(digest.digest())
"""


def bare(connection: socket.socket, path: Path) -> Callable[[int], list[int]]:
    """Return a case of the floor."""

    def run(count: int) -> list[int]:
        times = []
        for _ in range(count):
            with path.open("rb") as file:
                start_ns = time.perf_counter_ns()
                connection.sendall(SIZE_BYTES.to_bytes(8, "big"))
                connection.sendfile(file)
                assert len(connection.recv(32)) == 32
                times.append(time.perf_counter_ns() - start_ns)
        return times

    return run


def upload(client: Client, path: Path) -> Callable[[int], list[int]]:
    """Return a case of the agent; each time with another last byte, so that it has to send all."""
    number = iter(range(256))

    def run(count: int) -> list[int]:
        times = []
        for _ in range(count):
            with path.open("r+b") as file:
                file.seek(SIZE_BYTES - 1)
                file.write(bytes([next(number)]))
            artifact = Artifact.from_file(path)
            start_ns = time.perf_counter_ns()
            try:
                client.upload_model(artifact)
            except TargetError as error:
                assert "It was stored." in str(error), error
            times.append(time.perf_counter_ns() - start_ns)
        return times

    return run


def main() -> None:
    """Measure and print."""
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        path = folder / "large.echo"
        with path.open("wb") as file:
            for _ in range(SIZE_BYTES // 1_000_000):
                file.write(os.urandom(1_000_000))
        command = [sys.executable, "-c", FLOOR, str(folder / "received")]
        process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert process.stdout is not None
        port = int(process.stdout.readline())
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        client, _ = stack.enter_context(agent("_stored_runtime.StoredRuntime"))
        cases = {"floor": bare(connection, path), "agent": upload(client, path)}
        found = {k: median_us(v) for k, v in interleave(cases, rounds=5, count=1).items()}
        connection.sendall(bytes(8))
    print(f"{SIZE_BYTES / 1e6:.0f} MB [MB/s, medians of 5]")
    for name, value in found.items():
        print(f"{name:>8} {SIZE_BYTES / value:8.0f}")
    print(f"{'ratio':>8} {found['floor'] / found['agent']:8.2f} (goal: {GOAL})")


if __name__ == "__main__":
    main()
