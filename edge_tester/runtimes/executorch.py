"""The ExecuTorch runtime."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_tester.core.backends import backend, version
from edge_tester.core.errors import ModelError
from edge_tester.core.options import option, state
from edge_tester.core.profiles import Profile, Profiles
from edge_tester.core.runtime import Runtime
from edge_tester.core.system.quiet import quiet
from edge_tester.runtimes._executorch.profiler import profile

if TYPE_CHECKING:
    from edge_tester.core.tensors import Array, TensorSpec

# Bytes 4 to 8 of a program. Source: executorch, schema/program.fbs; the digits are a version.
_IDENTIFIER = b"ET"
# c10::ScalarType -> dtype. Source: PyTorch, c10/core/ScalarType.h.
_DTYPES = {
    0: "uint8",
    1: "int8",
    2: "int16",
    3: "int32",
    4: "int64",
    5: "float16",
    6: "float32",
    7: "float64",
    11: "bool",
}


class ExecuTorchRuntime(Profiles, Runtime):
    """Runs ExecuTorch programs (.pte) by its Python binding, which needs PyTorch for tensors."""

    input_formats = ("executorch",)
    runs_code = True
    packages = ("executorch", "torch")
    distributions = ("executorch", "torch")
    may_crash = True

    num_threads: int = option(1, minimum=1, help="Threads of one inference, for the whole process")

    _torch: Any = state()
    _library: Any = state()
    _program: Any = state()
    _path: Path = state(Path())
    _method: Any = state()
    _inputs: list[TensorSpec] = state(default_factory=list)
    _delegates: dict[str, int] = state(default_factory=dict)
    _operators: list[str] = state(default_factory=list)
    _tensors: Any = state()
    _results: Any = state()

    def prepare(self) -> None:
        """Import the binding."""
        self._torch = backend("torch", self)
        with quiet():
            self._library = backend("executorch.runtime", self)
            binding: Any = backend("executorch.extension.pybindings.portable_lib", self)
        binding._unsafe_reset_threadpool(self.num_threads)

    def load(self, path: Path, batch_size: int) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """Load a program, replacing an earlier one; its sizes are fixed."""
        # A load that fails must not leave the earlier model behind as if it were this one.
        self._method = self._tensors = self._results = None
        _check_identifier(path)
        try:
            with quiet():
                program = self._library.Runtime.get().load_program(path)
                method = program.load_method("forward")
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"ExecuTorchRuntime cannot load {path}: {error}") from error
        about = method.metadata
        inputs = [
            _spec(f"input_{index}", about.input_tensor_meta(index), path)
            for index in range(about.num_inputs())
        ]
        outputs = [
            _spec(f"output_{index}", about.output_tensor_meta(index), path)
            for index in range(about.num_outputs())
        ]
        fixed = next((spec.shape[0] for spec in inputs if spec.shape), None)
        self.require_batch_size(path, fixed, batch_size)
        # The program must outlive its method.
        self._program, self._method, self._inputs = program, method, inputs
        self._path = path
        self._delegates, self._operators = _executors(path.read_bytes())
        return list(inputs), outputs

    def set_inputs(self, inputs: Sequence[Array]) -> None:
        """Wrap the tensors; nothing is copied unless it is read-only or unaligned.

        Raises
        ------
        InputError
            Count, shapes or dtypes are not those of the model.
        """
        self._tensors = self._wrapped(inputs)

    def run(self) -> None:
        """Execute the method once."""
        self._results = self._method.execute(self._tensors)

    def get_outputs(self) -> list[Array]:
        """Return copies of the outputs of the last run."""
        return [tensor.numpy().copy() for tensor in self._results]

    def profile(self, inputs: Sequence[Array], count: int) -> Profile:
        """Load the program once more, with its event tracer on."""
        tensors = self._wrapped([values.copy() for values in inputs])
        return profile(self._library, self._path, tensors, list(self._delegates), count)

    def _wrapped(self, inputs: Sequence[Array]) -> list[Any]:
        from edge_tester.core.tensors import require_fitting

        require_fitting(self, self._inputs, inputs)
        return [
            self._torch.from_numpy(
                values if values.flags.writeable and values.flags.aligned else values.copy()
            )
            for values in inputs
        ]

    def facts(self) -> dict[str, Any]:
        """Return the threads and who runs what.

        ``delegates`` counts the graphs that each delegate runs as a whole; ``operators`` are the
        operations outside of them, which portable kernels run.
        """
        return {
            "version": version("executorch"),
            "num_threads": self.num_threads,
            "delegates": self._delegates,
            "operators": self._operators,
        }


def _check_identifier(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise ModelError(f"Model file {path} cannot be read: {error.strerror}.") from error
    if start[4:6] != _IDENTIFIER:
        raise ModelError(
            f"{path} is no ExecuTorch program: bytes 4 and 5 must be {_IDENTIFIER!r}, "
            f"got {start[4:6]!r}."
        )


def _spec(name: str, about: Any, path: Path) -> TensorSpec:
    from edge_tester.core.tensors import TensorSpec

    dtype = _DTYPES.get(about.dtype())
    if dtype is None:
        raise ModelError(
            f"Tensor {name!r} of {path} must be a tensor of real numbers or bool, "
            f"got element type {about.dtype()} of PyTorch."
        )
    return TensorSpec(name=name, shape=tuple(about.sizes()), dtype=dtype)


def _executors(content: bytes) -> tuple[dict[str, int], list[str]]:
    """Return how many graphs each delegate runs, and the operators outside of them.

    Read from the program itself, since the binding does not tell. Sources: executorch,
    schema/program.fbs (positions of the fields); FlatBuffers, internals (their encoding).
    """
    program = _pointed(content, 0)
    delegates: dict[str, int] = {}
    operators = set()
    for plan in _tables(content, program, 1):
        for delegate in _tables(content, plan, 7):
            name = _text(content, delegate, 0)
            delegates[name] = delegates.get(name, 0) + 1
        for operator in _tables(content, plan, 6):
            overload = _text(content, operator, 1)
            operators.add(_text(content, operator, 0) + (f".{overload}" if overload else ""))
    return delegates, sorted(operators)


def _pointed(content: bytes, place: int) -> int:
    (offset,) = struct.unpack_from("<I", content, place)
    return place + int(offset)


def _field(content: bytes, table: int, number: int) -> int | None:
    (back,) = struct.unpack_from("<i", content, table)
    (size,) = struct.unpack_from("<H", content, table - back)
    place = 4 + 2 * number
    if place >= size:
        return None
    (offset,) = struct.unpack_from("<H", content, table - back + place)
    return table + int(offset) if offset else None


def _tables(content: bytes, table: int, number: int) -> Iterator[int]:
    field = _field(content, table, number)
    if field is not None:
        start = _pointed(content, field)
        (count,) = struct.unpack_from("<I", content, start)
        for index in range(count):
            yield _pointed(content, start + 4 + 4 * index)


def _text(content: bytes, table: int, number: int) -> str:
    field = _field(content, table, number)
    if field is None:
        return ""
    start = _pointed(content, field)
    (size,) = struct.unpack_from("<I", content, start)
    return content[start + 4 : start + 4 + size].decode()
