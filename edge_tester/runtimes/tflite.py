"""The LiteRT (TensorFlow Lite) runtime."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from edge_tester.core.backends import available, backend
from edge_tester.core.errors import InputError, ModelError, OptionError, RuntimeStateError
from edge_tester.core.inspects import Cuts, Tensor
from edge_tester.core.options import option, state
from edge_tester.core.profiles import Profile, Profiles
from edge_tester.core.runtime import StatefulRuntime
from edge_tester.runtimes._fallback import fallback
from edge_tester.runtimes._tflite import profiler
from edge_tester.runtimes._tflite.delegates import count_delegates, needs_of, operations_by_executor
from edge_tester.runtimes._tflite.standalone import STANDALONE
from edge_tester.runtimes._tflite.state import state_of

if TYPE_CHECKING:
    from edge_tester.core.tensors import Array, TensorSpec

# Package -> its module with Interpreter and load_delegate; the first one installed
# is taken. They are the same code, the later ones older or far larger.
_MODULES = {
    "ai_edge_litert": "ai_edge_litert.interpreter",
    "tflite_runtime": "tflite_runtime.interpreter",
    "tensorflow": "tensorflow.lite.python.interpreter",
}
# Bytes 4 to 8 of a model file, the flatbuffer's file identifier.
_IDENTIFIER = b"TFL3"


class TFLiteRuntime(Cuts, Profiles, StatefulRuntime):
    """Runs LiteRT (TensorFlow Lite) models, with XNNPACK or other delegates."""

    input_formats = ("tflite",)
    runs_code = False
    standalone = STANDALONE
    packages = ("ai_edge_litert|tflite_runtime|tensorflow",)
    distributions = ("ai-edge-litert", "tflite-runtime", "tensorflow", "tensorflow-cpu")

    num_threads: int = option(1, minimum=1, help="Threads of one inference")
    delegates_list: tuple[str, ...] = option(
        (), target_only=True, help="Shared libraries of delegates that take over operations"
    )
    delegate_options: tuple[str, ...] = option(
        (), target_only=True, help="KEY=VALUE options of the delegates, such as device=usb"
    )
    xnnpack: bool = option(
        True, help="Let XNNPACK run what no delegate takes; without it, built-in kernels do"
    )

    _package: str | None = state()
    _module: Any = state()
    _delegates: list[Any] = state(default_factory=list)
    _delegate_nodes: int = state(0)
    _interpreter: Any = state()
    _inputs: list[dict[str, Any]] = state(default_factory=list)
    _outputs: list[dict[str, Any]] = state(default_factory=list)
    _specs: list[TensorSpec] = state(default_factory=list)
    _shapes: list[tuple[int, ...]] = state(default_factory=list)
    _kept_in: str | None = state()
    _loaded: tuple[Path, int] = state(default=(Path(), 1))
    _invoke: Any = state()

    def __post_init__(self) -> None:
        """Check the options of the delegates."""
        super().__post_init__()
        for pair in self.delegate_options:
            if not re.fullmatch(r"[^=]+=.*", pair):
                raise OptionError(
                    f"TFLiteRuntime.delegate_options must be KEY=VALUE, got {pair!r}."
                )
        if self.delegate_options and not self.delegates_list:
            raise OptionError(
                "TFLiteRuntime.delegate_options are for the libraries of delegates_list, "
                "which names none."
            )

    def prepare(self) -> None:
        """Import the interpreter and load the delegates."""
        found = [name for name in _MODULES if available(name)]
        package = found[0] if found else "ai_edge_litert"
        if package == "tflite_runtime":
            self._refuse_numpy_2()
        module = backend(_MODULES[package], self)
        self._delegates = [self._delegate(module, library) for library in self.delegates_list]
        self._module = module
        self._package = package

    def load(self, path: Path, batch_size: int) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """Load a model, replacing an earlier one.

        An open size at the batch's axis becomes ``batch_size``. A fixed one that differs
        is resized to it, which the model may refuse; but with a batch size of 1
        a fixed shape stays as it is, since it may have no batch dimension.
        """
        # A load that fails must not leave the earlier model behind as if it were this one.
        self._interpreter = None
        _check_identifier(path)
        try:
            interpreter = self._interpreter_of(model_path=str(path))
            self._delegate_nodes = count_delegates(interpreter)
            resized = _set_batch_size(interpreter, batch_size, self.batch_axis)
        except (ValueError, RuntimeError) as error:
            helpers = ", ".join(self.delegates_list)
            using = f" with the delegates {helpers}" if helpers else ""
            raise ModelError(
                f"TFLiteRuntime cannot load {path}{using}: {_one_line(error)}"
            ) from error
        shapes = None
        try:
            interpreter.allocate_tensors()
            shapes = [tuple(one["shape"].tolist()) for one in interpreter.get_input_details()]
        except (ValueError, RuntimeError) as error:
            wish = f" with a batch size of {batch_size} instead of {resized}" if resized else ""
            if not _has_open_sizes(interpreter, self.batch_axis):
                raise ModelError(
                    f"TFLiteRuntime cannot run {path}{wish}: {_one_line(error)}"
                ) from error
            # The sizes in the file only stand for what the first sample has.
        self._inputs = interpreter.get_input_details()
        self._outputs = interpreter.get_output_details()
        self._shapes = shapes or []
        self._specs = [_spec(detail, path, batch_size, self.batch_axis) for detail in self._inputs]
        outputs = [
            _spec(detail, path, *self._output_batch(interpreter, detail, batch_size))
            for detail in self._outputs
        ]
        self._kept_in = state_of(path)
        self._loaded = path, batch_size
        self._interpreter = interpreter
        self._invoke = interpreter.invoke
        return list(self._specs), outputs

    def set_inputs(self, inputs: Sequence[Array]) -> None:
        """Copy the tensors in; open dimensions are resized where they changed.

        Raises
        ------
        InputError
            Count, shapes or dtypes are not those of the model.
        """
        if self._kept_in is not None and self.state == "reset":
            self._reset()
        interpreter = self._interpreter
        if len(inputs) != len(self._inputs):
            raise InputError(
                f"The model takes {len(self._inputs)} inputs, TFLiteRuntime got {len(inputs)}."
            )
        try:
            if self._shapes != [values.shape for values in inputs]:
                self._resize(inputs)
            for detail, values in zip(self._inputs, inputs, strict=True):
                interpreter.set_tensor(detail["index"], values)
        except (ValueError, RuntimeError) as error:
            raise InputError(f"TFLiteRuntime: {_one_line(error)}") from error

    def run(self) -> None:
        """Invoke the interpreter once."""
        self._invoke()

    def get_outputs(self) -> list[Array]:
        """Return copies of the outputs of the last run."""
        interpreter = self._interpreter
        return [interpreter.get_tensor(detail["index"]) for detail in self._outputs]

    def profile(self, inputs: Sequence[Array], count: int) -> Profile:
        """Ask benchmark_model where the target has it; else time beginnings of the graph."""
        from edge_tester.core.tensors import require_fitting

        require_fitting(self, self._specs, inputs)
        asked = profiler.Asked(
            path=self._loaded[0],
            inputs=self._inputs,
            values=inputs,
            num_threads=self.num_threads,
            xnnpack=self.xnnpack,
            delegates=self.delegates_list,
            delegate_options=self.delegate_options,
            inferences=count,
        )
        return profiler.profile(asked, self._interpreter, self._interpreter_of)

    def inspect(self, inputs: Sequence[Array]) -> list[Tensor]:
        """Run a copy of the model on built-in kernels, and keep all tensors."""
        from edge_tester.runtimes._tflite.inspecting import inspect

        return inspect(self, self._module, self._loaded[0], self._specs, inputs)

    def cut(self, target: Path, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[str]:
        """Write a part of the main graph."""
        from edge_tester.runtimes._tflite.inspecting import cut

        return cut(self._loaded[0], target, inputs, outputs, self)

    def facts(self) -> dict[str, Any]:
        """Return the package, the threads and what ran which operations.

        ``delegated_operations``, ``xnnpack_operations`` and ``builtin_operations`` count
        the operations by name that went to ``delegates_list``, to XNNPACK and to built-in
        kernels, or are ``"unknown"`` where the interpreter does not tell. ``fallback`` is
        there if delegates were asked for.
        """
        interpreter = self._interpreter
        facts: dict[str, Any] = {
            "package": self._package,
            "version": backend(self._package, self).__version__ if self._package else None,
            "num_threads": self.num_threads,
            "delegates": list(self.delegates_list),
            "delegate_options": list(self.delegate_options),
            "xnnpack": self.xnnpack,
        }
        details = interpreter.get_tensor_details()
        halves = any(_dtype_name(detail["dtype"]) == "float16" for detail in details)
        if halves and not self.delegates_list:
            # XNNPACK and the built-in kernels turn such weights into float32 before use.
            facts["computed_as"] = {"float16": "float32"}
            facts["remarks"] = [
                "LiteRT computes the float16 weights of this file as float32: they save memory on "
                "disk, not time."
            ]
        if self._kept_in is not None:
            facts |= {"state": self.state, "state_kept_in": self._kept_in}
        names = ("delegated_operations", "xnnpack_operations", "builtin_operations")
        counts = operations_by_executor(interpreter, self._delegate_nodes)
        if counts is None:
            return {**facts, **dict.fromkeys(names, "unknown")}
        facts.update(zip(names, counts, strict=True))
        if self.delegates_list:
            taken, *rest = (sum(count.values()) for count in counts)
            facts["fallback"] = fallback(self.delegates_list, taken, sum(rest))
        return facts

    def _interpreter_of(self, **model: Any) -> Any:
        resolvers = self._module.OpResolverType
        return self._module.Interpreter(
            **model,
            num_threads=self.num_threads,
            experimental_delegates=list(self._delegates),
            experimental_op_resolver_type=(
                resolvers.AUTO if self.xnnpack else resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            ),
        )

    def _refuse_numpy_2(self) -> None:
        numpy_version = backend("numpy", self).__version__
        if int(numpy_version.partition(".")[0]) >= 2:
            # Its own answer would be a SystemError that does not mention numpy.
            raise RuntimeStateError(
                f"TFLiteRuntime: tflite_runtime needs numpy<2, this target has numpy "
                f"{numpy_version}: pip install 'numpy<2', or ai-edge-litert instead."
            )

    def _delegate(self, module: ModuleType, library: str) -> Any:
        refusal = (
            f"TFLiteRuntime: the delegate library {library!r} cannot be loaded on this target: "
        )
        try:
            # Looked at first, because a delegate object that fails half-way
            # prints a traceback of its own when it is deleted.
            loaded = ctypes.CDLL(library)
        except OSError as error:
            raise RuntimeStateError(f"{refusal}{error}.{needs_of(library)}") from error
        for function in ("tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate"):
            if not hasattr(loaded, function):
                raise RuntimeStateError(f"{refusal}it is no delegate, it has no {function}.")
        try:
            return module.load_delegate(
                library, dict(pair.split("=", 1) for pair in self.delegate_options)
            )
        except (ValueError, RuntimeError) as error:
            raise RuntimeStateError(f"{refusal}{_one_line(error)}{needs_of(library)}") from error

    def _output_batch(
        self, interpreter: Any, detail: dict[str, Any], batch_size: int
    ) -> tuple[int | None, int | None]:
        """Return size and axis of an output's batch; its first size may be open otherwise.

        A tensor whose size is known only when the model runs, such as a list of what was
        found, has no memory before.
        """
        try:
            interpreter.get_tensor(detail["index"])
        except ValueError:
            return None, None
        axis = self.batch_axis
        shape = detail["shape"].tolist()
        is_batch = axis is not None and len(shape) > axis and shape[axis] == batch_size
        return (batch_size, axis) if is_batch else (None, None)

    def _reset(self) -> None:
        if self._kept_in == "variables":
            self._interpreter.reset_all_variables()
        else:
            # Nothing else resets resources.
            self.load(*self._loaded)

    def _resize(self, inputs: Sequence[Array]) -> None:
        for spec, values in zip(self._specs, inputs, strict=True):
            if not spec.accepts(values.shape):
                raise InputError(
                    f"Input {spec.name!r} takes {spec.described()}, got {values.shape} "
                    f"{values.dtype}."
                )
        # Empty until it has succeeded, so that a failure makes the next call resize again.
        self._shapes = []
        for detail, values in zip(self._inputs, inputs, strict=True):
            self._interpreter.resize_tensor_input(detail["index"], values.shape)
        self._interpreter.allocate_tensors()
        self._shapes = [values.shape for values in inputs]


def _dtype_name(dtype: Any) -> str:
    """Return numpy's name of a type as the interpreter gives it."""
    return str(getattr(dtype, "__name__", dtype))


def _one_line(error: Exception) -> str:
    # Delegates may fail without a word; the interpreter then says nothing either.
    return " ".join(str(error).split()) or "no reason given"


def _check_identifier(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise ModelError(f"Model file {path} cannot be read: {error.strerror}.") from error
    if start[4:] != _IDENTIFIER:
        raise ModelError(
            f"{path} is no LiteRT (TensorFlow Lite) model: bytes 4 to 8 must be "
            f"{_IDENTIFIER!r}, got {start[4:]!r}."
        )


def _has_open_sizes(interpreter: Any, axis: int | None) -> bool:
    """Tell whether any size of an input but the batch is open."""
    signatures = [one["shape_signature"].tolist() for one in interpreter.get_input_details()]
    return any(
        size == -1 for sizes in signatures for place, size in enumerate(sizes) if place != axis
    )


def _set_batch_size(interpreter: Any, batch_size: int, axis: int | None) -> int | None:
    """Resize the inputs; return a fixed batch size that was overridden, None if none was."""
    if axis is None:
        return None
    details = interpreter.get_input_details()
    signatures = [detail["shape_signature"].tolist() for detail in details]
    fixed = next((signature[axis] for signature in signatures if len(signature) > axis), -1)
    override = fixed not in (-1, batch_size) and batch_size > 1
    for detail, signature in zip(details, signatures, strict=True):
        if len(signature) <= axis:
            continue
        is_batch = signature[axis] == -1 or (override and signature[axis] == fixed)
        shape = detail["shape"].tolist()
        if is_batch and shape[axis] != batch_size:
            shape[axis] = batch_size
            interpreter.resize_tensor_input(detail["index"], shape)
    return fixed if override else None


def _spec(
    detail: dict[str, Any], path: Path, batch_size: int | None = None, axis: int | None = None
) -> TensorSpec:
    import numpy as np

    from edge_tester.core.tensors import TensorSpec

    dtype = np.dtype(detail["dtype"])
    if dtype.kind not in "fiub":
        raise ModelError(
            f"Tensor {detail['name']!r} of {path} must be of real numbers or bool, "
            f"got {dtype.name}."
        )
    shape = [
        None if signature == -1 else size
        for size, signature in zip(
            detail["shape"].tolist(), detail["shape_signature"].tolist(), strict=True
        )
    ]
    if axis is not None and len(shape) > axis and shape[axis] is None:
        shape[axis] = batch_size
    parameters = detail["quantization_parameters"]
    quantized = dtype.kind in "iu" and parameters["scales"].size == 1 and parameters["scales"][0]
    return TensorSpec(
        name=detail["name"],
        shape=tuple(shape),
        dtype=dtype.name,
        scale=float(parameters["scales"][0]) if quantized else None,
        zero_point=int(parameters["zero_points"][0]) if quantized else None,
        layout="NHWC" if len(shape) == 4 and shape[3] in (1, 3) else None,
    )
