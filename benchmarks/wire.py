"""What the protocol costs, against a raw socket that moves the same bytes.

Run: ``python benchmarks/wire.py``. All cases run in one call, block by block in
random order, on TCP over loopback:

* floor: a bare Python process answers a request of 64 B, 150 KB or 602 KB with 4 KB
  (TCP_NODELAY, recv_into, sendmsg), and a block of such requests, each into a place of its own,
  with as many answers; once with either side on a CPU of its own and once where the scheduler puts
  them; the faster of the two counts;
* framed: the same exchange through the real agent and its supervised session process;
* sample: inputs to the target, an inference that takes nothing, 0.1 ms or 1 ms, outputs and
  counters back, in blocks or one request after another.
"""

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from _common import agent, interleave, median_us, on_cpu, scratch, timed

from edge_tester.core.artifact import Artifact
from edge_tester.core.wire import payloads
from edge_tester.core.wire.client import BLOCK_BYTES, Client
from edge_tester.core.wire.frames import Type
from edge_tester.core.wire.writing import write

SIZES_BYTES = (64, 150_528, 602_112)
REPLY_BYTES = 4096
INFERENCES_NS = (0, 100_000, 1_000_000)
GOALS_FRAMED = (1.6, 1.25, 1.15)
GOAL_BEYOND_US = 60
GOAL_LARGE = 1.3
SLOTS = 64

FLOOR = f"""
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
head, reply = memoryview(bytearray(8)), bytes({REPLY_BYTES})
# A place for each sample of a block, as slots are.
places = [memoryview(bytearray({SIZES_BYTES[-1]})) for _ in range({SLOTS})]
while connection.recv_into(head):
    count, size = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")
    for place in places[:count]:
        received = 0
        while received < size:
            received += connection.recv_into(place[received:size])
    connection.sendmsg([reply] * count)
"""


@contextmanager
def floor() -> Iterator[socket.socket]:
    """Start the bare process; give a connection to it."""
    command = [sys.executable, "-c", FLOOR]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield connection


def bare_exchange(
    connection: socket.socket, size: int, block: int = 1
) -> Callable[[int], list[int]]:
    """Return a case of the floor: so many samples at once, and all that is answered to them."""
    head, sample = block.to_bytes(4, "big") + size.to_bytes(4, "big"), bytes(size)
    view = memoryview(bytearray(1 << 16))

    def exchange() -> None:
        sent = connection.sendmsg([head, *[sample] * min(block, 512)])
        write(connection, [head, *[sample] * block], sent)
        received = 0
        while received < block * REPLY_BYTES:
            received += connection.recv_into(view)

    def run(count: int) -> list[int]:
        return [taken // block for taken in timed(exchange, -(-count // block))]

    return run


def echo_model(folder: Path, size: int, inference_ns: int) -> Artifact:
    """Write a model of the echo runtime."""
    path = folder / f"{size}-{inference_ns}.echo"
    model = {
        "inputs": [{"name": "x", "shape": [1, size], "dtype": "uint8"}],
        "outputs": [{"name": "y", "shape": [1, REPLY_BYTES], "dtype": "uint8"}],
        "inference_ns": inference_ns,
    }
    path.write_text(json.dumps(model))
    return Artifact.from_file(path)


def framed_case(client: Client, model: Artifact) -> Callable[[int], list[int]]:
    """Return a case of one message and its answer, through the agent."""

    def run(count: int) -> list[int]:
        client.upload_model(model)
        talk, tensor = client.conversation, np.zeros(client.inputs[0].shape, np.uint8)
        head = payloads.TENSORS.pack(0, 0)

        def framed() -> None:
            talk.answer(talk.request(Type.DATA, [head, tensor]), REPLY_BYTES)

        timed(framed, 5)
        return timed(framed, count)

    return run


def sample_case(client: Client, model: Artifact, *, classical: bool) -> Callable[[int], list[int]]:
    """Return a case that moves whole samples in blocks, or one after another."""

    def run(count: int) -> list[int]:
        client.upload_model(model, slots=SLOTS)
        samples = [[np.zeros(client.inputs[0].shape, np.uint8)]] * client.slots
        if classical:
            return timed(lambda: client.run_block(samples[:1], classical=True), count)
        client.run_block(samples)
        blocks = timed(lambda: client.run_block(samples), -(-count // len(samples)))
        return [block_ns // len(samples) for block_ns in blocks]

    return run


def pinned(case: Callable[[int], list[int]]) -> Callable[[int], list[int]]:
    """Return a case during which this process stays on its first CPU."""

    def run(count: int) -> list[int]:
        with on_cpu(0):
            return case(count)

    return run


def main() -> None:
    """Measure and print."""
    exchange_session = [sys.executable, str(Path(__file__).with_name("_exchange_session.py"))]
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        with on_cpu(1):
            bound = stack.enter_context(floor())
        free = stack.enter_context(floor())
        framed_client, _ = stack.enter_context(agent("echo", *exchange_session))
        client, _ = stack.enter_context(agent("echo"))
        cases: dict[str, Callable[[int], list[int]]] = {}
        for size in SIZES_BYTES:
            cases[f"pinned {size}"] = pinned(bare_exchange(bound, size))
            cases[f"free {size}"] = bare_exchange(free, size)
            block = max(1, min(SLOTS, BLOCK_BYTES // size))
            cases[f"pinned block {size}"] = pinned(bare_exchange(bound, size, block))
            cases[f"free block {size}"] = bare_exchange(free, size, block)
            cases[f"framed {size}"] = framed_case(framed_client, echo_model(folder, size, 0))
            for duration_ns in INFERENCES_NS:
                model = echo_model(folder, size, duration_ns)
                for kind in ("block", "classical"):
                    case = sample_case(client, model, classical=kind == "classical")
                    cases[f"{kind} {size} {duration_ns}"] = case
        found = {k: median_us(v) for k, v in interleave(cases, rounds=10, count=200).items()}
    floors = {
        kind: {
            size: min(found[f"{how}{kind} {size}"] for how in ("pinned", "free"))
            for size in SIZES_BYTES
        }
        for kind in ("", " block")
    }
    print("one exchange [us, medians]")
    print(f"{'request':>9} {'pinned':>8} {'free':>8} {'framed':>8} {'ratio':>6} {'goal':>6}")
    for size, goal in zip(SIZES_BYTES, GOALS_FRAMED, strict=True):
        framed = found[f"framed {size}"]
        print(
            f"{size:>9} {found[f'pinned {size}']:8.1f} {found[f'free {size}']:8.1f} {framed:8.1f} "
            f"{framed / floors[''][size]:6.2f} {goal:6.2f}"
        )
    print("\none sample [us, medians]; beyond its inference, and against the floor's block")
    print(
        f"{'request':>9} {'inference':>9} {'block':>8} {'classical':>9} {'beyond':>7} {'goal':>5} "
        f"{'floor':>7} {'/floor':>6} {'goal':>5}"
    )
    for size in SIZES_BYTES:
        for duration_ns in INFERENCES_NS:
            block = found[f"block {size} {duration_ns}"]
            beyond = block - duration_ns / 1000
            first, last = size == SIZES_BYTES[0], size == SIZES_BYTES[-1] and not duration_ns
            print(
                f"{size:>9} {duration_ns / 1000:9.0f} {block:8.1f} "
                f"{found[f'classical {size} {duration_ns}']:9.1f} {beyond:7.1f} "
                f"{GOAL_BEYOND_US if first else '':>5} "
                f"{floors[' block'][size]:7.1f} {beyond / floors[' block'][size]:6.2f} "
                f"{GOAL_LARGE if last else '':>5}"
            )


if __name__ == "__main__":
    main()
