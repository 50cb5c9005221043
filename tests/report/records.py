"""Run records as a benchmark writes them, of any size and task."""

import msgspec
import numpy as np

from edge_tester.core.classification import ClassificationAccumulator
from edge_tester.core.figures import Quality
from edge_tester.core.record import (
    Block,
    ColdStart,
    Component,
    Machine,
    Memory,
    ModelFacts,
    Predictions,
    Replicate,
    RunRecord,
)
from edge_tester.core.tensors import TensorSpec

MACHINE = Machine(
    hostname="board",
    system="Linux 6.12",
    architecture="aarch64",
    cpu_model="Cortex-A72",
    cpu_count=4,
    governor="performance",
    memory_bytes=4 << 30,
    load_average=[0.5, 0.25, 0.125],
    boot_id="1d0b",
    versions={"python": "3.11.7", "numpy": "2.4.6"},
)
NOTHING_KNOWN = Machine(hostname="unknown", system="Linux", architecture="riscv64")


def classification(samples=359, classes=10, hits=350, class_names=()):
    """Quality with exactly ``hits`` right answers."""
    accumulator = ClassificationAccumulator(class_names or [f"digit {i}" for i in range(classes)])
    truth = np.arange(samples) % classes
    predicted = np.where(np.arange(samples) < hits, truth, (truth + 1) % classes)
    accumulator.update(np.eye(classes)[predicted], truth)
    return accumulator.result()


def replicate(target_ns, host_ns=(), cpu_time_ns=None, memory=None, cold_start=None):
    """One replicate with one block."""
    block = Block(
        start_ns=0,
        target_ns=list(target_ns),
        host_ns=list(host_ns),
        untimed=1,
        cpu_time_ns=cpu_time_ns,
    )
    return Replicate(
        started="2026-11-21T04:07:00+00:00",
        cold_start=cold_start or ColdStart(load_ns=1_199_900, first_inference_ns=109_700),
        memory=memory or Memory(peak_bytes=51_170_508, before_load_bytes=40_000_000),
        blocks=[block],
        complete=True,
    )


def record(name="run", *, scale_ns=10_000, count=359, size_bytes=28_056, seed=0, **changes):
    """A complete record; ``changes`` replace its fields."""
    generator = np.random.default_rng(seed)
    target_ns = generator.lognormal(np.log(scale_ns), 0.1, count).astype(int).tolist()
    complete = RunRecord(
        name=name,
        created="2026-11-21T04:07:00+00:00",
        complete=True,
        command_line=["edge-tester", "client", "digits.tflite", "digits"],
        batch_size=1,
        components=[
            Component(
                role="runtime",
                name="edge_tester.runtimes.tflite.TFLiteRuntime",
                options={"num_threads": 1, "save_model_path": None},
            ),
            Component(role="dataset", name="edge_tester.datasets.digits.DigitsDataset", options={}),
        ],
        model=ModelFacts(
            name="digits.tflite",
            format="tflite",
            size_bytes=size_bytes,
            sha256="01f017af",
            inputs=[TensorSpec("image", (1, 8, 8, 1), "float32")],
            outputs=[TensorSpec("scores", (None, 10), "int8", scale=0.5, zero_point=3)],
            quantized_weight_share=0.75,
            weight_elements={"int8": 3, "float32": 1},
            parents=[{"name": "parent.keras", "format": "keras", "sha256": "ab"}],
        ),
        replicates=[replicate(target_ns, [t + 300_000 for t in target_ns], count * 10_500)],
        quality=classification(),
        predictions=Predictions(index=[], truth=[], predicted=[]),
        class_names=[],
        runtime_facts={"package": "ai_edge_litert"},
        remarks=["Two host times are doubtful."],
        target=MACHINE,
        host=msgspec.structs.replace(MACHINE, hostname="desk", boot_id="77aa"),
    )
    return msgspec.structs.replace(complete, **changes)


def many(count):
    """Records with long names that differ in the number of threads."""
    records = []
    for threads in range(1, count + 1):
        one = record(f"tflite-num_threads={threads}-and-what-is-said-for-ever", seed=threads)
        parts = [
            msgspec.structs.replace(part, options={**part.options, "num_threads": threads % 8})
            if part.role == "runtime"
            else part
            for part in one.components
        ]
        records.append(msgspec.structs.replace(one, components=parts))
    return records


def unknown(name="unknown"):
    """A record in which everything that may be None is None."""
    return record(
        name,
        created="some day",
        complete=False,
        replicates=[replicate([], [], None, Memory(), ColdStart())],
        quality=Quality(task="classification", samples=0),
        model=ModelFacts(name="m", format="onnx", size_bytes=0, sha256="", inputs=[], outputs=[]),
        components=[Component(role="dataset", name="x.Y", options={"limit": None})],
        runtime_facts={"threads": None},
        remarks=[],
        target=NOTHING_KNOWN,
        host=NOTHING_KNOWN,
    )
