"""How fast TVM runs a network with this package's schedules and with tuned ones.

Run: ``python benchmarks/tvm_schedules.py [MODEL.onnx] [--trials 200]``; without a file it is a
convolutional network with random weights. Reference is ONNX Runtime. All run with one thread,
block by block in random order.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _common import interleave, median_us, scratch

from edge_tester.compilers.tvm import TVMCompiler
from edge_tester.core.runtime import Runtime
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.runtimes.onnxruntime import ONNXRuntime
from edge_tester.runtimes.tvm import TVMRuntime

# (input channels, output channels, stride) of 3 x 3 convolutions, each followed by a ReLU.
LAYERS = ((3, 32, 2), (32, 64, 1), (64, 64, 2), (64, 128, 1), (128, 128, 2))
REFERENCE = "ONNX Runtime"


def network(path: Path) -> Path:
    """Write a network for images of 64 x 64 in three channels."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    generator = np.random.default_rng(0)
    nodes, weights, last = [], [], "image"
    for number, (before, after, stride) in enumerate(LAYERS):
        scale = np.sqrt(2 / (9 * before))
        values = generator.normal(0, scale, (after, before, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"w{number}"))
        sizes = {"kernel_shape": [3, 3], "pads": [1] * 4, "strides": [stride] * 2}
        nodes.append(helper.make_node("Conv", [last, f"w{number}"], [f"c{number}"], **sizes))
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"r{number}"]))
        last = f"r{number}"
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["mean"]))
    tensors = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
        for name, shape in (("image", [1, 3, 64, 64]), ("mean", [1, LAYERS[-1][1], 1, 1]))
    ]
    graph = helper.make_graph(nodes, "network", *tensors, weights)
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def case(runtime: Runtime, path: Path) -> Callable[[int], list[int]]:
    """Return what runs a model on random inputs."""
    runtime.prepare()
    specs, _ = runtime.load(path, 1)
    generator = np.random.default_rng(0)
    runtime.set_inputs([generator.random(spec.shape).astype(spec.dtype) for spec in specs])

    def run(count: int) -> list[int]:
        times = []
        for _ in range(count):
            start = time.perf_counter_ns()
            runtime.run()
            times.append(time.perf_counter_ns() - start)
        return times

    return run


def main() -> None:
    """Compile, tune, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="?", type=Path, help="ONNX file")
    parser.add_argument("--trials", type=int, default=200, help="schedules to measure")
    chosen = parser.parse_args()
    with scratch() as folder:
        path = chosen.model or network(folder / "network.onnx")
        model = ONNXFile(model_path=path)
        plain = TVMCompiler(compiled_model_path=folder / "plain.tvm")
        tuned = TVMCompiler(compiled_model_path=folder / "t.tvm", tuning_trials=chosen.trials)
        cases = {
            REFERENCE: case(ONNXRuntime(), path),
            "TVM": case(TVMRuntime(), plain.compile(model, None).path),
            "TVM, tuned": case(TVMRuntime(), tuned.compile(model, None).path),
        }
        found = {k: median_us(v) for k, v in interleave(cases, rounds=20, count=20).items()}
    print(
        *(f"{name.replace('_', ' ')}: {count}" for name, count in tuned.facts().items()), sep=", "
    )
    print(f"{'inference':>14} {'[us, median]':>12} {'ratio':>6}")
    for name, one in found.items():
        print(f"{name:>14} {one:12.1f} {one / found[REFERENCE]:6.2f}")


if __name__ == "__main__":
    main()
