"""What authentication and a slow link cost, beside gRPC on the same bytes.

Run: ``python benchmarks/links.py [--rounds 10]``. All cases run in one call, in random order: an
inference that takes nothing over 64 B, and one of 1 ms over 602 KB, answered by 4 KB; on loopback
as it is, and over a link with a round trip of 1 ms. The cases are

* one after another: DATA, PROCESS, OUTPUT and STATS of a sample, each when the one before was
  answered; four: four samples in one flight; block: as many as there are slots;
* the same block with a token, with a code for every frame (``--mac``), and with TLS;
* gRPC, where ``grpcio`` is installed: a call for each sample, and a stream of the block.

Printed is the time of a sample, beside that of one after another on the same link. Samples of one
flight cross the link together, and the block of the next flight waits for the answers to this one:
nothing is on the link while a block is timed.
"""

import argparse
import contextlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from _common import interleave, median_us, scratch, timed
from wire import REPLY_BYTES, echo_model

from edge_tester.core.artifact import Artifact
from edge_tester.core.wire.client import Client
from edge_tester.core.wire.payloads import Hello
from edge_tester.runtimeprotocols.network import NetworkProtocol
from edge_tester.scenarios import keys

# Input bytes and time of an inference [ns].
SAMPLES = ((64, 0), (602_112, 1_000_000))
ROUND_TRIP_S = 1e-3
GOAL_FOUR, GOAL_OFFLINE = 5.0, 1.1
HERE = Path(__file__).parent


@contextlib.contextmanager
def started(*words: str) -> Iterator[int]:
    """Start a program that prints its port."""
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(re.findall(r"\d+", process.stdout.readline().replace("127.0.0.1", ""))[0])
        finally:
            process.terminate()


def connected(port: int, options: dict[str, object]) -> Client:
    """Return a client with what its link needs."""
    client = Client(NetworkProtocol(host="localhost", port=port, **options))
    client.connect(Hello(client="benchmark", wait=True))
    return client


def case(client: Callable[[], Client], model: Artifact, count: int | None) -> Callable:
    """Return a case: so many samples in a flight, as many as there are slots, or None at once."""

    def run(samples: int) -> list[int]:
        link = client()
        link.upload_model(model, slots=64)
        one = [np.zeros(link.inputs[0].shape, np.uint8)]
        if count is None:
            taken = timed(lambda: link.run_block([one], classical=True), samples)
        else:
            size = min(count, link.slots)
            link.run_block([one] * size)
            blocks = timed(lambda: link.run_block([one] * size), -(-samples // size))
            taken = [block_ns // size for block_ns in blocks]
        link.disconnect()
        return taken

    return run


def grpc_case(port: int, size: int, count: int) -> Callable:
    """Return a case of gRPC: calls, or a stream of so many samples."""
    import grpc

    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    channel = grpc.insecure_channel(f"localhost:{port}", options=unlimited)
    request, unary = bytes(size), channel.unary_unary("/Bench/Unary")
    stream = channel.stream_stream("/Bench/Stream")

    def run(samples: int) -> list[int]:
        if count == 1:
            return timed(lambda: unary(request), samples)

        def block() -> None:
            assert count == len(list(stream(iter([request] * count))))

        block()
        return [taken // count for taken in timed(block, -(-samples // count))]

    return run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="Turns of all cases")
    rounds = parser.parse_args().rounds
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(scratch())
        token = folder / "token"
        keys.main(["token", str(token)])
        keys.main(["certificates", str(folder), "--target", "localhost", "--host", "host"])
        ways: dict[str, tuple[list[str], dict[str, object]]] = {
            "": ([], {}),
            " token": (["--token-file", str(token)], {"token_file": token}),
            " mac": (["--token-file", str(token)], {"token_file": token, "mac": True}),
            " TLS": (
                ["--tls-certificate", str(folder / "target-localhost.pem")]
                + ["--tls-ca", str(folder / "ca.pem")],
                {"tls_ca": folder / "ca.pem", "tls_certificate": folder / "host-host.pem"},
            ),
        }
        server = ["-m", "edge_tester", "server", "network", "echo", "--port", "0"]
        delayed = [str(HERE / "_delayed.py"), "{}", str(ROUND_TRIP_S / 2)]
        cases: dict[str, Callable] = {}
        for way, (words, options) in ways.items():
            near = stack.enter_context(started(*server, "--verbosity", "ERROR", *words))
            far = stack.enter_context(started(*(one.format(near) for one in delayed)))
            for link, port in (("loopback", near), ("1 ms", far)):
                for size, inference_ns in SAMPLES:
                    model = echo_model(folder, size, inference_ns)
                    kinds = {"block": 64} if way else {"one": None, "four": 4, "block": 64}
                    for kind, count in kinds.items():
                        name = f"{link}|{size}|{kind}{way}"
                        client = lambda port=port, options=options: connected(port, options)  # noqa: E731
                        cases[name] = case(client, model, count)
        with contextlib.suppress(ImportError):
            import grpc  # noqa: F401

            for size, inference_ns in SAMPLES:
                words = [str(HERE / "_grpc_server.py"), str(REPLY_BYTES), str(inference_ns)]
                near = stack.enter_context(started(*words))
                far = stack.enter_context(started(*(one.format(near) for one in delayed)))
                for link, port in (("loopback", near), ("1 ms", far)):
                    cases[f"{link}|{size}|gRPC call"] = grpc_case(port, size, 1)
                    count = 64 if size < 1000 else 26
                    cases[f"{link}|{size}|gRPC stream"] = grpc_case(port, size, count)
        times = interleave(cases, rounds=rounds, count=60)
        found = {name: median_us(taken) for name, taken in times.items()}
    print(f"{'link':<9} {'input':>7} {'case':<12} {'a sample [us]':>13} {'x one':>7}")
    for name, us in found.items():
        link, size, kind = name.split("|")
        ratio = found[f"{link}|{size}|one"] / us
        print(f"{link:<9} {size:>7} {kind:<12} {us:>13.1f} {ratio:>7.2f}")
    four = found["1 ms|64|one"] / found["1 ms|64|four"]
    print(f"\nfour in a flight over 1 ms: {four:.2f} times one after another, goal {GOAL_FOUR:g}")


if __name__ == "__main__":
    main()
