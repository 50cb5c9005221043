"""The TVM runtime."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edge_tester.core.backends import backend
from edge_tester.core.errors import ModelError
from edge_tester.core.options import option, state
from edge_tester.core.profiles import Profile, Profiles
from edge_tester.core.runtime import Runtime
from edge_tester.core.system.temporary import TemporaryFolder
from edge_tester.runtimes._tvm.profiler import profile

if TYPE_CHECKING:
    from edge_tester.core.tensors import Array, TensorSpec

# What TVMCompiler appends to a library: JSON, its length in 4 bytes, little-endian, this text.
_TRAILER = b"edge_tester:tvm1"
_LENGTH = struct.Struct("<I")
# Generated code relies on it.
_ALIGNMENT_BYTES = 64
# Which cores TVM's threads prefer: the fast ones.
_BIG_CORES = 1


class TVMRuntime(Profiles, Runtime):
    """Runs libraries that TVMCompiler made, with Apache TVM.

    A library is native code: it runs in the target's process and can do
    whatever that may.
    """

    input_formats = ("tvm",)
    runs_code = True
    packages = ("tvm",)
    distributions = ("apache-tvm",)
    may_crash = True

    num_threads: int = option(1, minimum=1, help="Threads of one inference, for the whole process")

    _tvm: Any = state()
    _description: dict[str, Any] = state(default_factory=dict)
    _inputs: list[TensorSpec] = state(default_factory=list)
    _buffers: list[Any] = state(default_factory=list)
    _tensors: list[Any] = state(default_factory=list)
    _library: Any = state()
    _main: Any = state()
    _results: Any = state()
    _execute: Any = state()

    def prepare(self) -> None:
        """Import TVM and set its number of threads."""
        # TVM would bind this thread, and all that it starts later, to one processor.
        os.environ.setdefault("TVM_BIND_THREADS", "0")
        tvm: Any = backend("tvm", self)
        backend("tvm.runtime.vm", self)
        tvm.get_global_func("runtime.config_threadpool")(_BIG_CORES, self.num_threads)
        self._tvm = tvm

    def load(self, path: Path, batch_size: int) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """Load a library, replacing an earlier one.

        Its batch size is fixed.
        """
        # A load that fails must not leave the earlier model behind as if it were this one.
        self._main = self._results = None
        tvm: Any = self._tvm
        description, inputs, outputs = _described(path)
        fixed = next((spec.shape[0] for spec in inputs if spec.shape), None)
        self.require_batch_size(path, fixed, batch_size)
        device = tvm.device(description["device"])
        if not device.exist:
            raise ModelError(
                f"{path} is for the device {description['device']}, which this target lacks."
            )
        try:
            library = _library(tvm, path)
            machine = tvm.runtime.vm.VirtualMachine(library, device)
        except (RuntimeError, ValueError, AttributeError, OSError) as error:
            raise ModelError(
                f"TVMRuntime cannot load {path}, made for {description['target']}: "
                f"{_one_line(error)}"
            ) from error
        self._buffers = [tvm.runtime.empty(spec.shape, spec.dtype, device) for spec in inputs]
        self._inputs, self._description, self._library = inputs, description, library
        self._main = machine["main"]
        if not self._on_processor():
            self._main = _waiting(machine["main"], device)
        return list(inputs), outputs

    def set_inputs(self, inputs: Sequence[Array]) -> None:
        """Keep references where TVM can use the memory as it is, copy elsewhere.

        Raises
        ------
        InputError
            Count, shapes or dtypes are not those of the model.
        """
        self._tensors, self._execute = self._given(inputs), self._main

    def run(self) -> None:
        """Call the model's function once; other devices than the processor are waited for."""
        self._results = self._execute(*self._tensors)

    def get_outputs(self) -> list[Array]:
        """Return copies of the outputs of the last run."""
        return [tensor.numpy() for tensor in _flat(self._results)]

    def profile(self, inputs: Sequence[Array], count: int) -> Profile:
        """Let a second virtual machine over the same library tell of its calls."""
        tvm: Any = self._tvm
        device = tvm.device(self._description["device"])
        machine = tvm.runtime.vm.VirtualMachine(self._library, device)
        wait = None if self._on_processor() else device.sync
        # Of their own: the inputs that were set stay.
        tensors = [tvm.runtime.tensor(one.copy(), device) for one in self._fitting(inputs)]
        return profile(machine, tensors, self._description["device"], count, wait)

    def facts(self) -> dict[str, Any]:
        """Return versions, threads, the device, and what the library was compiled for."""
        return {
            "version": getattr(self._tvm, "__version__", None),
            "num_threads": self.num_threads,
            "device": self._description.get("device"),
            "target": self._description.get("target"),
            "compiled_with": self._description.get("tvm_version"),
            "model_is_native_code": True,
        }

    def _on_processor(self) -> bool:
        return bool(self._description["device"] == "cpu")

    def _fitting(self, inputs: Sequence[Array]) -> Sequence[Array]:
        from edge_tester.core.tensors import require_fitting

        require_fitting(self, self._inputs, inputs)
        return inputs

    def _given(self, inputs: Sequence[Array]) -> list[Any]:
        tvm: Any = self._tvm
        tensors = []
        for buffer, values in zip(self._buffers, self._fitting(inputs), strict=True):
            flags = values.flags
            aligned = values.ctypes.data % _ALIGNMENT_BYTES == 0
            if aligned and flags.writeable and flags.c_contiguous and self._on_processor():
                tensors.append(tvm.runtime.from_dlpack(values))
            else:
                tensors.append(buffer.copyfrom(values))
        return tensors


def _described(path: Path) -> tuple[dict[str, Any], list[TensorSpec], list[TensorSpec]]:
    """Read what is appended to a library, which is not run for that."""
    from edge_tester.core.tensors import TensorSpec

    refusal = ModelError(f"{path} is no library that TVMCompiler made, or only a part of one.")
    end_bytes = _LENGTH.size + len(_TRAILER)
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(0, size_bytes - end_bytes))
            end = file.read()
            if len(end) != end_bytes or not end.endswith(_TRAILER):
                raise refusal
            length = _LENGTH.unpack_from(end)[0]
            file.seek(max(0, size_bytes - end_bytes - length))
            content = file.read(length)
    except OSError as error:
        raise ModelError(f"TVMRuntime cannot read {path}: {error.strerror}.") from error
    try:
        description = msgspec.json.decode(content, type=dict[str, Any])
        inputs = msgspec.convert(description.pop("inputs"), list[TensorSpec])
        outputs = msgspec.convert(description.pop("outputs"), list[TensorSpec])
        # A part of a library must never be mapped: the process would die of it.
        whole = description["library_bytes"] + length + end_bytes == size_bytes
    except (msgspec.DecodeError, msgspec.ValidationError, KeyError) as error:
        raise refusal from error
    if not whole:
        raise refusal
    return description, inputs, outputs


def _library(tvm: Any, path: Path) -> Any:
    """Load a library under a name of its own.

    The loader takes a library that it has under the same name for the same one,
    even if the file was replaced; and TVM tells the kind of file from the suffix.
    """
    with TemporaryFolder() as folder:
        link = Path(folder) / "model.so"
        link.symlink_to(path.resolve())
        return backend("tvm_ffi", "TVMRuntime").load_module(str(link))


def _waiting(main: Callable[..., Any], device: Any) -> Callable[..., Any]:
    def call(*tensors: Any) -> Any:
        results = main(*tensors)
        device.sync()
        return results

    return call


def _flat(results: Any) -> list[Any]:
    return [results] if hasattr(results, "numpy") else list(results)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
