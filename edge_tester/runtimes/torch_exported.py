"""The runtime of exported PyTorch programs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_tester.core.backends import backend
from edge_tester.core.errors import ModelError, RuntimeStateError
from edge_tester.core.options import option, state
from edge_tester.core.profiles import Profile, Profiles, unavailable
from edge_tester.core.runtime import Runtime
from edge_tester.core.system import torchprograms
from edge_tester.core.system.quiet import quiet
from edge_tester.runtimes._modules import import_all
from edge_tester.runtimes._torch.buffers import kept
from edge_tester.runtimes._torch.profiler import TOOL, named, profile

if TYPE_CHECKING:
    from edge_tester.core.tensors import Array, TensorSpec


class TorchExportedRuntime(Profiles, Runtime):
    """Runs programs of torch.export (.pt2) with PyTorch, eagerly or through torch.compile.

    The reference for what other runtimes make of a PyTorch model. torch.compile needs a C++
    compiler on the target; what it takes belongs to the loading time.
    """

    input_formats = ("torch-exported",)
    runs_code = True
    packages = ("torch",)
    distributions = ("torch",)

    mode: str = option(
        "eager",
        choices=("eager", "compile"),
        help="Call PyTorch's operations one by one, or compile them into one by torch.compile",
    )
    num_threads: int = option(1, minimum=1, help="Threads of one inference, for the whole process")
    import_modules: tuple[str, ...] = option(
        (),
        target_only=True,
        help="Modules of Python to import first, which register operators that a model has",
    )

    _torch: Any = state()
    _module: Any = state()
    _program: Any = state()
    _inputs: list[TensorSpec] = state(default_factory=list)
    _tensors: Any = state()
    _results: Any = state()
    _graph_breaks: int | None = state()

    def prepare(self) -> None:
        """Import PyTorch, and look for what its compiler needs."""
        self._torch = backend("torch", self)
        import_all(self.import_modules, self)
        if self.mode == "compile" and not any(map(shutil.which, ("g++", "clang++", "c++"))):
            raise RuntimeStateError(
                "TorchExportedRuntime.mode 'compile' needs a C++ compiler on this target: "
                "apt install g++, or take mode 'eager'."
            )

    def load(self, path: Path, batch_size: int) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """Load a program, replacing an earlier one, and run it once on zeros.

        Open first sizes become ``batch_size``.
        """
        torch = self._torch
        # A load that fails must not leave the earlier model behind as if it were this one.
        self._module = self._tensors = self._results = None
        torch.set_num_threads(self.num_threads)
        try:
            with quiet():
                program = torchprograms.loaded(path, self)
                module = program.module()
        # The archive's, the deserializer's and the unpickler's errors have no base in common.
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            raise ModelError(f"TorchExportedRuntime cannot load {path}: {reason}") from error
        inputs = _input_specs(self, program, batch_size, path)
        zeros = [torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)) for spec in inputs]
        with quiet():
            self._module = torch.compile(module) if self.mode == "compile" else module
            with torch.inference_mode(), kept(module):
                results = self._called(zeros)
        self._inputs, self._program = inputs, program
        if self.mode == "compile":
            counters = backend("torch._dynamo.utils", self).counters
            self._graph_breaks = sum(counters["graph_break"].values())
        return list(inputs), [
            _spec(f"output_{index}", tensor.shape, tensor.dtype, path)
            for index, tensor in enumerate(results)
        ]

    def set_inputs(self, inputs: Sequence[Array]) -> None:
        """Wrap the tensors; nothing is copied unless it is read-only or unaligned.

        Raises
        ------
        InputError
            Count, shapes or dtypes are not those of the model.
        """
        self._tensors = self._wrapped(inputs)

    def run(self) -> None:
        """Call the program once, in inference mode."""
        self._results = self._called(self._tensors)

    def get_outputs(self) -> list[Array]:
        """Return copies of the outputs of the last run."""
        return [tensor.numpy().copy() for tensor in self._results]

    def profile(self, inputs: Sequence[Array], count: int) -> Profile:
        """Call the program under PyTorch's profiler, which records nothing afterwards."""
        tensors = self._wrapped([values.copy() for values in inputs])
        if self.mode == "compile":
            return unavailable(
                TOOL, "torch.compile makes one function of all operators; mode 'eager' has them."
            )
        with self._torch.inference_mode(), kept(self._module):
            found = profile(lambda: self._module(*tensors), count)
        return named(found, [n for n in self._program.graph.nodes if n.op == "call_function"])

    def facts(self) -> dict[str, Any]:
        """Return the version, the mode, the threads and how often compiling was interrupted."""
        return {
            "version": str(self._torch.__version__),
            "mode": self.mode,
            "num_threads": self.num_threads,
            "graph_breaks": self._graph_breaks,
        }

    def _wrapped(self, inputs: Sequence[Array]) -> list[Any]:
        from edge_tester.core.tensors import require_fitting

        require_fitting(self, self._inputs, inputs)
        return [
            self._torch.from_numpy(
                values if values.flags.writeable and values.flags.aligned else values.copy()
            )
            for values in inputs
        ]

    def _called(self, tensors: list[Any]) -> list[Any]:
        with self._torch.inference_mode():
            results = self._module(*tensors)
        return list(results) if isinstance(results, tuple | list) else [results]


def _input_specs(runtime: Runtime, program: Any, batch_size: int, path: Path) -> list[TensorSpec]:
    names = program.graph_signature.user_inputs
    values = {
        node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"
    }
    specs = []
    for name in names:
        value: Any = values.get(name)
        if not hasattr(value, "shape"):
            raise ModelError(f"Input {name!r} of {path} must be a tensor, got {value!r}.")
        shape = [size if isinstance(size, int) else None for size in value.shape]
        if shape and shape[0] is None:
            shape[0] = batch_size
        elif shape:
            runtime.require_batch_size(path, shape[0], batch_size)
        specs.append(_spec(name, shape, value.dtype, path))
    return specs


def _spec(name: str, shape: Sequence[int | None], dtype: Any, path: Path) -> TensorSpec:
    from edge_tester.core.tensors import TensorSpec

    kind = str(dtype).removeprefix("torch.")
    if dtype.is_complex or kind == "bfloat16":
        raise ModelError(
            f"Tensor {name!r} of {path} must be a tensor of real numbers or bool, got {kind}."
        )
    return TensorSpec(name=name, shape=tuple(shape), dtype=kind)
