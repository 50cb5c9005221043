"""Offline throughput of a model of about 1 ms with inputs of 602 KB, beside a bare loop.

Run: ``python benchmarks/large_inputs.py [--samples 1000] [--rounds 5]``. All cases run in one call,
in random order: a bare loop of ONNX Runtime in a process of its own, with one thread; and runs of
the client with ``--pattern offline`` against agents with a token, with a code for every frame
(``--mac``) and with TLS. Printed are, as ratios to the rate of the bare loop (medians of rounds),

* the throughput that the record gives: samples over the time of their blocks;
* the rate of the evaluation as a whole, for which inputs cross the link between two blocks: further
  samples over the further time of a run with twice as many.
"""

import argparse
import contextlib
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from _common import scratch

from edge_tester.core.record import read_record
from edge_tester.core.results.measures import measure_all
from edge_tester.scenarios import keys

GOAL = 0.9
# Kept by the bare loop and by the data set, and run again and again.
IMAGES = 64
BARE = """
import sys
import time
import numpy as np
import onnxruntime

values, options = np.load(sys.argv[2])["x"], onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options)
for number in range(20):
    session.run(None, {"x": values[number : number + 1]})
start_s = time.perf_counter()
for number in range(int(sys.argv[3])):
    at = number % len(values)
    session.run(None, {"x": values[at : at + 1]})
print(int(sys.argv[3]) / (time.perf_counter() - start_s))
"""


def write_model(path: Path) -> None:
    """Write a model of about 1 ms: a convolution over patches, and a classifier."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    draw = np.random.default_rng(0)
    weights = {
        "patches": draw.normal(size=(272, 3, 8, 8)).astype(np.float32),
        "classes": draw.normal(size=(10, 272)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "patches"], ["a"], strides=[8, 8]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("GlobalAveragePool", ["b"], ["c"]),
        helper.make_node("Flatten", ["c"], ["d"]),
        helper.make_node("Gemm", ["d", "classes"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "patches",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 224, 224])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


@contextlib.contextmanager
def agent(*words: str) -> Iterator[str]:
    """Start an agent; give its port."""
    command = [sys.executable, "-m", "edge_tester", "server", "network", "onnxruntime"]
    options = ["--num-threads", "1", "--port", "0", "--verbosity", "ERROR", *words]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield re.findall(r":(\d+)", process.stdout.readline())[0]
        finally:
            process.terminate()


def client_case(folder: Path, name: str, port: str, *words: str) -> Callable[[int], list[float]]:
    """Return a case: the throughput of the record, and the rate of the evaluation."""

    def ran(samples: int) -> float:
        command = [sys.executable, "-m", "edge_tester", "client", folder / "m.onnx"]
        places = [folder / "d.npz", folder, name, "--runtime", "onnxruntime"]
        options = ["--pattern", "offline", "--test-fraction", "1", "--replicates", "1"]
        link = ["--host", "localhost", "--port", port, "--wait", *words]
        start_s = time.perf_counter()
        subprocess.run(
            [*command, *places, *options, "--min-count", str(samples), *link],
            check=True,
            capture_output=True,
        )
        return time.perf_counter() - start_s

    def run(samples: int) -> list[float]:
        once_s, twice_s = ran(samples), ran(2 * samples)
        known = measure_all(read_record(folder / f"{name}.json"))["throughput"]
        return [known.number, samples / (twice_s - once_s)]

    return run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1000, help="Inferences of a run")
    parser.add_argument("--rounds", type=int, default=5, help="Turns of all cases")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(scratch())
        write_model(folder / "m.onnx")
        draw = np.random.default_rng(1)
        values = draw.normal(size=(IMAGES, 3, 224, 224)).astype(np.float32)
        np.savez(folder / "d.npz", x=values, y=np.arange(IMAGES) % 10)
        token = folder / "token"
        keys.main(["token", str(token)])
        keys.main(["certificates", str(folder), "--target", "localhost", "--host", "host"])
        shared = ("--token-file", str(token))
        ca = ("--tls-ca", str(folder / "ca.pem"))
        mine = ("--tls-certificate", str(folder / "target-localhost.pem"))
        yours = ("--tls-certificate", str(folder / "host-host.pem"))
        open_port = stack.enter_context(agent(*shared))
        closed_port = stack.enter_context(agent(*mine, *ca))
        cases = {
            "token": client_case(folder, "token", open_port, *shared),
            "mac": client_case(folder, "mac", open_port, *shared, "--mac"),
            "TLS": client_case(folder, "tls", closed_port, *yours, *ca),
            "bare loop": lambda samples: [_bare(folder, samples)],
        }
        found: dict[str, list[list[float]]] = {name: [] for name in cases}
        order = random.Random(0)
        for _ in range(given.rounds):
            names = list(cases)
            order.shuffle(names)
            for name in names:
                found[name].append(cases[name](given.samples))
    medians = {name: list(map(statistics.median, zip(*rows))) for name, rows in found.items()}  # noqa: B905
    bare = medians.pop("bare loop")[0]
    print(f"bare loop: {bare:.0f} samples/s, {1e3 / bare:.3f} ms each")
    print(f"{'case':<6} {'throughput of the record':>24} {'whole evaluation':>17}")
    for name, (recorded, whole) in medians.items():
        print(f"{name:<6} {recorded / bare:>24.3f} {whole / bare:>17.3f}")
    print(f"\ngoal of the throughput: {GOAL:g} of the bare loop")


def _bare(folder: Path, samples: int) -> float:
    words = [sys.executable, "-c", BARE, folder / "m.onnx", folder / "d.npz", str(samples)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
