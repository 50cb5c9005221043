"""The TVM compiler."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_tester.compilers._shared.calibration import Calibration
from edge_tester.compilers._tvm import frontends, library, lowering, targets
from edge_tester.compilers._tvm.progress import progress
from edge_tester.compilers._tvm.tuning import Tuning
from edge_tester.core.artifact import Weights
from edge_tester.core.backends import backend
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.errors import CompilationError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import option, state
from edge_tester.core.system.quiet import quiet


class TVMCompiler(ModelCompiler):
    """Compiles ONNX, PyTorch and LiteRT models to a shared library with Apache TVM.

    The library is native code for one processor. Batch dimensions that the model
    leaves open become ``batch_size``. Functions get schedules of this package,
    unless ``schedules`` says otherwise: convolutions run in the layout NHWC, and
    each multiplies a tile of accumulators that fits into the vector registers.
    Tuning measures others on this machine, by TVM's MetaSchedule, and keeps what
    is fastest. Resizing is gathering and weighted sums, since TVM's importer
    takes another scale than ONNX says.

    Weights of quantized ONNX models come out as float32: TVM folds
    DequantizeLinear into them.
    """

    input_formats = ("onnx", "torch", "torch-exported", "tflite")
    output_format = "tvm"
    packages = ("tvm", "onnx", "onnxruntime")
    distributions = ("apache-tvm", "onnx", "onnxruntime", "torch", "tflite")
    keeps_state = False

    target: str = option(
        "llvm",
        help="llvm for this machine's processor, aarch64 for 64-bit ARM, aarch64-a72 or "
        "aarch64-a76 for one Cortex core; or any target of TVM: a kind such as cuda, a tag, "
        "or JSON",
    )
    opt_level: int = option(3, minimum=0, maximum=3, help="Level of TVM's optimizing passes")
    schedules: str = option(
        "edge_tester",
        choices=("edge_tester", "tvm"),
        help="Loops of functions that were not tuned, on processors: those of this package, or "
        "those that TVM makes by itself, which use neither vectors nor registers well",
    )
    batch_size: int = option(
        1, minimum=1, help="Size of the batch dimensions that the model leaves open"
    )

    tuning_trials: int | None = option(
        None,
        minimum=1,
        help="About how many schedules to measure on this machine for the whole model, those "
        "included that the tuning database has",
    )
    tuning_time_s: float | None = option(
        None, minimum=1, unit="s", help="Time after which no further schedules are tried"
    )
    tuning_database: Path | None = option(
        None,
        help="Folder that keeps what was measured; alone, it is used as it is. Default when "
        "tuning: the compiled model's path and .tuning",
    )
    tuning_threads: int = option(
        1, minimum=1, help="Threads that the tuned library will run with, as of the runtime"
    )

    _facts: dict[str, Any] = state(default_factory=dict)
    _elsewhere: str = state("")

    @property
    def runs_elsewhere(self) -> str:
        """Say which other target the last library was made for."""
        return self._elsewhere

    def convert(self, model: ModelWrapper, calibration: Calibration, output: Path) -> None:
        """Compile, link, and append what the library does not say about itself."""
        tvm: Any = backend("tvm", self)
        target = targets.parsed(tvm, self.target, self)
        self._elsewhere = targets.elsewhere(target, self.target)
        linker = targets.linker(tvm, target, self)
        with progress() as show, quiet():
            tuning = self._tuning(target, show)
            module, inputs, outputs = frontends.imported(tvm, model, self.batch_size, self)
            own = self.schedules == "edge_tester"
            executable = lowering.built(tvm, module, target, self.opt_level, tuning, own)
            executable.export_library(str(output), fcompile=linker)
        self._facts = {"schedules": self._used_schedules(target)}
        if tuning is not None:
            self._facts |= tuning.facts
        library.describe(output, inputs, outputs, target, tvm.__version__)

    def read_weights(self, path: Path) -> Weights:
        """Read a library back; see library.weights for what counts."""
        return library.weights(path)

    def facts(self) -> dict[str, Any]:
        """Return whose schedules were used and what tuning did."""
        return dict(self._facts)

    def _used_schedules(self, target: Any) -> str:
        # Other devices have TVM's own pipelines.
        return self.schedules if target.kind.name == "llvm" else "tvm"

    def _tuning(self, target: Any, show: Callable[[int, int], None]) -> Tuning | None:
        if not (self.tuning_trials or self.tuning_time_s or self.tuning_database):
            return None
        if not targets.is_this_machine(target):
            raise CompilationError(
                "TVMCompiler tunes by measuring on this machine: target must be llvm, "
                f"got {self.target!r}."
            )
        return Tuning(
            trials=self.tuning_trials,
            time_s=self.tuning_time_s,
            database=self.tuning_database or Path(f"{self.output_path()}.tuning"),
            threads=self.tuning_threads,
            show=show,
        )
