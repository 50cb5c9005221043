"""A runtime whose costs are known, so that figures can be held against the truth."""

import time
from pathlib import Path

import msgspec
import numpy as np

from edge_tester.core.artifact import Artifact
from edge_tester.core.errors import RuntimeStateError
from edge_tester.core.meter import Meter
from edge_tester.core.options import option, state
from edge_tester.core.runtime import Runtime
from edge_tester.core.tensors import TensorSpec

PATH = "tests.known_costs.KnownCostsRuntime"
METER_PATH = "tests.known_costs.ProcessorMeter"
PAGE_BYTES = 4096


class KnownCostsRuntime(Runtime):
    """Adds one to its inputs, and takes what it is told."""

    input_formats = ("echo",)

    burn_ns: int = option(0, minimum=0, help="Processor time of a run", unit="ns")
    sleep_ns: int = option(0, minimum=0, help="Time of a run without the processor", unit="ns")
    handling_ns: int = option(0, minimum=0, help="Processor time of setting inputs", unit="ns")
    load_ns: int = option(0, minimum=0, help="Time of a load", unit="ns")
    load_bytes: int = option(0, minimum=0, help="Memory that a load keeps", unit="bytes")
    loading_bytes: int = option(
        0, minimum=0, help="Memory that a load takes for a moment", unit="bytes"
    )
    run_bytes: int = option(0, minimum=0, help="Memory that a run takes for a moment", unit="bytes")
    slower_after: int = option(0, minimum=0, help="Runs after which it takes twice as long; 0: no")

    _kept: bytearray = state(default_factory=bytearray)
    _input: np.ndarray = state()
    _output: np.ndarray = state()
    _runs: int = state(0)

    def prepare(self) -> None:
        """Need nothing."""

    def load(self, path: Path, batch_size: int) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """Take time and memory."""
        time.sleep(self.load_ns / 1e9)
        self._kept = touched(self.load_bytes)
        touched(self.loading_bytes)
        self._runs = 0
        spec = msgspec.convert(msgspec.json.decode(path.read_bytes())["inputs"][0], TensorSpec)
        spec = msgspec.structs.replace(spec, shape=(batch_size, *spec.shape[1:]))
        return [spec], [spec]

    def set_inputs(self, inputs: list[np.ndarray]) -> None:
        """Copy them."""
        burn(self.handling_ns)
        self._input = inputs[0].copy()

    def run(self) -> None:
        """Add one in the memory of the input, and take time and memory."""
        self._runs += 1
        factor = 2 if self.slower_after and self._runs > self.slower_after else 1
        touched(self.run_bytes)
        time.sleep(factor * self.sleep_ns / 1e9)
        burn(factor * self.burn_ns)
        self._input += 1

    def get_outputs(self) -> list[np.ndarray]:
        """Return a copy."""
        return [self._input.copy()]


class ProcessorMeter(Meter):
    """Counts processor time, and how often it was asked."""

    fails: bool = option(False, help="Whether it is not there")
    _asked: int = state(0)

    def open(self) -> None:
        """Be there, or not."""
        if self.fails:
            raise RuntimeStateError("ProcessorMeter: there is no such counter on this target.")

    def read(self) -> dict[str, float]:
        """Return both."""
        self._asked += 1
        return {"processor_s": time.process_time(), "readings": float(self._asked)}


def burn(duration_ns: int) -> None:
    """Take processor time, and however long that takes."""
    end_ns = time.thread_time_ns() + duration_ns
    while time.thread_time_ns() < end_ns:
        continue


def touched(size_bytes: int) -> bytearray:
    """Take memory and write to each page of it."""
    memory = bytearray(size_bytes)
    memory[::PAGE_BYTES] = b"x" * len(memory[::PAGE_BYTES])
    return memory


def model(folder: Path, size: int = 4) -> Artifact:
    """Write a model for it."""
    path = folder / "known.echo"
    spec = {"name": "x", "shape": [None, size], "dtype": "uint8"}
    path.write_bytes(msgspec.json.encode({"inputs": [spec], "outputs": [spec]}))
    return Artifact.from_file(path)
