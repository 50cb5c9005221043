"""What the protocol costs, against a raw socket that moves the same bytes.

Run: ``python benchmarks/wire.py``. All cases run in one call, block by block in
random order, on TCP over loopback, the host's side on one CPU and the target's on another
(``taskset -c 0 python benchmarks/wire.py`` puts both on one):

* floor: a bare Python process answers a request of 64 B, 150 KB or 602 KB with 4 KB
  (TCP_NODELAY, recv_into, sendmsg);
* framed: the same exchange through the real agent and its supervised session process;
* sample: DATA, PROCESS, OUTPUT and STATS of one sample, in one flight or one after
  another, with an inference that takes nothing, 0.1 ms or 1 ms. ``least`` is the ratio of
  these two if a message cost no more than the floor's.
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
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.wire.frames import Type

SIZES_BYTES = (64, 150_528, 602_112)
REPLY_BYTES = 4096
INFERENCES_NS = (0, 100_000, 1_000_000)
GOALS_FRAMED = (1.6, 1.25, 1.15)
GOALS_SAMPLE = (5, 3, 2)

FLOOR = f"""
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
view, reply = memoryview(bytearray(1 << 20)), bytes({REPLY_BYTES})
while True:
    received = connection.recv_into(view)
    if not received:
        break
    size = int.from_bytes(view[:4], "big")
    while received < size:
        received += connection.recv_into(view[received:])
    connection.sendmsg([reply])
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


def bare_exchange(connection: socket.socket, size: int) -> Callable[[int], list[int]]:
    """Return a case of the floor."""
    request = size.to_bytes(4, "big") + bytes(size - 4)
    view = memoryview(bytearray(1 << 16))

    def exchange() -> None:
        connection.sendmsg([request])
        received = 0
        while received < REPLY_BYTES:
            received += connection.recv_into(view[received:])

    return lambda count: timed(exchange, count)


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


def sample_case(client: RuntimeProtocol, model: Artifact, kind: str) -> Callable[[int], list[int]]:
    """Return a case that moves whole samples; ``kind`` is framed, flight or classical."""

    def run(count: int) -> list[int]:
        client.upload_model(model)
        assert client.loaded is not None
        tensor = np.zeros(client.loaded[0][0].shape, np.uint8)

        def framed() -> None:
            client._answer(client._request(Type.DATA, 0, [tensor]))

        def flight() -> None:
            client.run_sample([tensor])

        def classical() -> None:
            client.upload_input([tensor])
            client.request_processing()
            client.download_output()
            client.download_statistics()

        action = {"framed": framed, "flight": flight, "classical": classical}[kind]
        timed(action, 5)
        return timed(action, count)

    return run


def main() -> None:
    """Measure and print."""
    exchange_session = [sys.executable, str(Path(__file__).with_name("_exchange_session.py"))]
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        with on_cpu(1):
            connection = stack.enter_context(floor())
            framed_client, _ = stack.enter_context(agent("echo", *exchange_session))
            client, _ = stack.enter_context(agent("echo"))
        stack.enter_context(on_cpu(0))
        cases: dict[str, Callable[[int], list[int]]] = {}
        for size in SIZES_BYTES:
            cases[f"floor {size}"] = bare_exchange(connection, size)
            model = echo_model(folder, size, 0)
            cases[f"framed {size}"] = sample_case(framed_client, model, "framed")
            for duration_ns in INFERENCES_NS:
                model = echo_model(folder, size, duration_ns)
                for kind in ("flight", "classical"):
                    cases[f"{kind} {size} {duration_ns}"] = sample_case(client, model, kind)
        found = {k: median_us(v) for k, v in interleave(cases, rounds=10, count=100).items()}
    print("one exchange [us, medians]")
    print(f"{'request':>9} {'floor':>8} {'framed':>8} {'ratio':>6} {'goal':>6}")
    for size, goal in zip(SIZES_BYTES, GOALS_FRAMED, strict=True):
        bare, framed = found[f"floor {size}"], found[f"framed {size}"]
        print(f"{size:>9} {bare:8.1f} {framed:8.1f} {framed / bare:6.2f} {goal:6.2f}")
    print("\none sample [us, medians]; ratios to the floor (without inference) and to classical")
    print(
        f"{'request':>9} {'inference':>9} {'flight':>8} {'classical':>9} "
        f"{'/floor':>6} {'goal':>5} {'/classical':>10} {'least':>6} {'goal':>5}"
    )
    for size, goal in zip(SIZES_BYTES, GOALS_SAMPLE, strict=True):
        for duration_ns in INFERENCES_NS:
            flight = found[f"flight {size} {duration_ns}"]
            classical = found[f"classical {size} {duration_ns}"]
            bare_us = found[f"floor {size}"] + duration_ns / 1000
            least = bare_us / (bare_us + 3 * found[f"floor {SIZES_BYTES[0]}"])
            goals = (f"{goal}" if duration_ns == 0 else "", "0.6" if duration_ns == 100_000 else "")
            print(
                f"{size:>9} {duration_ns / 1000:9.0f} {flight:8.1f} {classical:9.1f} "
                f"{flight / found[f'floor {size}']:6.2f} {goals[0]:>5} "
                f"{flight / classical:10.2f} {least:6.2f} {goals[1]:>5}"
            )


if __name__ == "__main__":
    main()
