"""Whether the reported inference time is that of the model and of nothing else.

Run: ``python benchmarks/inference_time.py``. The same model runs in a bare loop in a
process of its own and through the agent, block by block in random order. The
reported median must be within 0.3 us + 3 % of the bare loop's.
"""

import importlib.resources
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from _common import agent, interleave, median_us

from edge_tester.core.artifact import Artifact
from edge_tester.core.wire.client import Client

PREPARE = {
    "tflite": """
from ai_edge_litert.interpreter import Interpreter
model = Interpreter(path, num_threads=1)
model.resize_tensor_input(model.get_input_details()[0]["index"], (1, 8, 8, 1))
model.allocate_tensors()
index = model.get_input_details()[0]["index"]
give = lambda: model.set_tensor(index, x)
run = model.invoke
""",
    "onnxruntime": """
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
feeds = {session.get_inputs()[0].name: x}
give = lambda: None
run = lambda: session.run(None, feeds)
""",
}
BARE = """
import sys, time
import numpy as np
path = sys.argv[1]
x = np.random.default_rng(0).random((1, 8, 8, 1), np.float32)
{prepare}
print("ready", flush=True)
for line in sys.stdin:
    times = []
    for _ in range(int(line)):
        give()
        start = time.perf_counter_ns()
        run()
        times.append(time.perf_counter_ns() - start)
    print(*times, flush=True)
"""


@contextmanager
def bare(runtime: str, path: Path):
    """Start a bare loop; give a function that runs it."""
    command = [sys.executable, "-c", BARE.format(prepare=PREPARE[runtime]), str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        while process.stdout.readline() != "ready\n":
            continue

        def run(count: int) -> list[int]:
            process.stdin.write(f"{count}\n")
            process.stdin.flush()
            return [int(word) for word in process.stdout.readline().split()]

        yield run
        process.stdin.close()


def reported(client: Client) -> Callable[[int], list[int]]:
    """Return a case that gives the times that the target reports, in blocks as a host's."""
    x = np.random.default_rng(0).random((1, 8, 8, 1), np.float32)

    def run(count: int) -> list[int]:
        times: list[int] = []
        while len(times) < count:
            answer = client.run_block([[x]] * client.slots, untimed=1)
            times += [e - s for s, e in zip(answer.start_ns, answer.end_ns, strict=True)]
        return times

    return run


def main() -> None:
    """Measure and print."""
    resources = importlib.resources.files("edge_tester.resources")
    models = {"tflite": "digits.tflite", "onnxruntime": "digits.onnx"}
    with ExitStack() as stack:
        cases = {}
        for runtime, name in models.items():
            path = Path(str(resources / name))
            cases[f"bare {runtime}"] = stack.enter_context(bare(runtime, path))
            client, _ = stack.enter_context(agent(runtime))
            client.upload_model(Artifact.from_file(path), slots=64)
            cases[f"reported {runtime}"] = reported(client)
        found = {k: median_us(v) for k, v in interleave(cases, rounds=20, count=200).items()}
    print("inference [us, medians]")
    print(f"{'runtime':>12} {'bare':>8} {'reported':>8} {'difference':>10} {'allowed':>8}")
    for runtime in models:
        loop, told = found[f"bare {runtime}"], found[f"reported {runtime}"]
        print(f"{runtime:>12} {loop:8.2f} {told:8.2f} {told - loop:10.2f} {0.3 + 0.03 * loop:8.2f}")


if __name__ == "__main__":
    main()
