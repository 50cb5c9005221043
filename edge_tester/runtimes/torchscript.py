"""The TorchScript runtime."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edge_tester.core.backends import backend
from edge_tester.core.errors import ModelError, OptionError
from edge_tester.core.options import option, state
from edge_tester.core.profiles import Profile, Profiles
from edge_tester.runtimes._modules import import_all
from edge_tester.runtimes._state_pairs import StatePairsRuntime
from edge_tester.runtimes._torch.buffers import kept
from edge_tester.runtimes._torch.profiler import profile

if TYPE_CHECKING:
    from edge_tester.core.tensors import Array, TensorSpec

# File inside the archive with {"inputs": [TensorSpec...], "outputs": [TensorSpec...]}.
_RECORDED_SPECS = "edge_tester.json"
_SHAPE = re.compile(r"\d+(,\d+)*(:(float(16|32|64)|u?int8|int(16|32|64)|bool))?")
_NUMBERS = re.compile(r"float(16|32|64)|u?int8|int(16|32|64)|bool")


class TorchScriptRuntime(Profiles, StatePairsRuntime):
    """Runs TorchScript models with PyTorch.

    A TorchScript file does not say the shapes of its inputs. They are read from
    the file ``edge_tester.json`` inside it, which this package's own export
    writes; for other files ``input_shapes`` must give them.
    """

    input_formats = ("torchscript",)
    runs_code = True
    packages = ("torch",)
    distributions = ("torch",)

    num_threads: int = option(1, minimum=1, help="Threads of one inference, for the whole process")
    input_shapes: tuple[str, ...] = option(
        (),
        help="Shape of each input, batch included, such as 1,3,224,224 or 1,16:int64; "
        "needed for files without recorded shapes",
        gives_way=True,
    )
    import_modules: tuple[str, ...] = option(
        (),
        target_only=True,
        help="Modules of Python to import first, which register operators that a model has",
    )

    _torch: Any = state()
    _model: Any = state()
    _inputs: list[TensorSpec] = state(default_factory=list)
    _tensors: list[Any] = state(default_factory=list)
    _results: Any = state()
    _order: list[str] = state(default_factory=list)
    _output_names: list[str] = state(default_factory=list)
    _answers: list[int] = state(default_factory=list)
    _inference_mode: Any = state()
    _execute: Any = state()

    def __post_init__(self) -> None:
        """Check the options, the spelling of the shapes included."""
        super().__post_init__()
        for shape in self.input_shapes:
            if not _SHAPE.fullmatch(shape):
                raise OptionError(
                    "TorchScriptRuntime.input_shapes must be sizes separated by commas, perhaps "
                    f"a colon and a dtype, such as 1,3,224,224 or 1,16:int64, got {shape!r}."
                )

    def prepare(self) -> None:
        """Import PyTorch."""
        self._torch = backend("torch", self)
        import_all(self.import_modules, self)

    def load(self, path: Path, batch_size: int) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """Load a model, replacing an earlier one, and run it once on zeros.

        The outputs' specs come from that run, since the file does not have them;
        it belongs to the loading time. An open or, with batch sizes above 1, a
        fixed first dimension becomes ``batch_size``; the model may refuse it.
        """
        # A load that fails must not leave the earlier model behind as if it were this one.
        self._model = self._results = None
        self._torch.set_num_threads(self.num_threads)
        extra_files = {_RECORDED_SPECS: ""}
        try:
            model = self._torch.jit.load(path, map_location="cpu", _extra_files=extra_files)
        except (RuntimeError, ValueError, OSError) as error:
            reason = str(error).partition("\n")[0].partition(". ")[0]
            raise ModelError(f"TorchScriptRuntime cannot load {path}: {reason}") from error
        model.eval()
        recorded = _decode(extra_files[_RECORDED_SPECS], path)
        if not recorded["inputs"]:
            recorded["inputs"] = self._given_specs(path)
        _check_arguments(model, len(recorded["inputs"]), path)
        inputs = [_with_batch(spec, batch_size, self.batch_axis) for spec in recorded["inputs"]]
        results = self._tried(model, inputs, path)
        outputs = _output_specs(results, recorded["outputs"], inputs, path)
        self._order = [spec.name for spec in inputs]
        self._output_names = [spec.name for spec in outputs]
        self._inputs, answers = self.without_state(inputs, outputs)
        self._answers = [self._output_names.index(spec.name) for spec in answers]
        self._model = model
        self._inference_mode = self._torch.inference_mode
        return list(self._inputs), answers

    def set_inputs(self, inputs: Sequence[Array]) -> None:
        """Wrap the tensors; nothing is copied unless it is read-only.

        Raises
        ------
        InputError
            Count, shapes or dtypes are not those of the model.
        """
        named = self._fitting(inputs)
        if self.state_pairs:
            last = [] if self._results is None else self._outputs()
            self.carry_state(dict(zip(self._output_names, last, strict=bool(last))))
            named |= self.state_values
        self._tensors = self._wrapped(named)
        self._execute = self._model

    def run(self) -> None:
        """Call the module once, in inference mode."""
        with self._inference_mode():
            self._results = self._execute(*self._tensors)

    def get_outputs(self) -> list[Array]:
        """Return copies of the outputs of the last run."""
        made = self._outputs()
        return [made[index] for index in self._answers]

    def profile(self, inputs: Sequence[Array], count: int) -> Profile:
        """Call the module under PyTorch's profiler, which records nothing afterwards."""
        named = self._fitting(inputs)
        named |= self.zeros_of_state() if self.state_pairs else {}
        tensors = self._wrapped({name: values.copy() for name, values in named.items()})
        with self._inference_mode(), kept(self._model):
            return profile(lambda: self._model(*tensors), count)

    def facts(self) -> dict[str, Any]:
        """Return the version and the threads."""
        facts = {
            # A plain text: theirs is of a class that no message can carry.
            "version": str(self._torch.__version__) if self._torch else None,
            "num_threads": self.num_threads,
        }
        return {**facts, "state": self.state} if self.state_pairs else facts

    def _fitting(self, inputs: Sequence[Array]) -> dict[str, Array]:
        from edge_tester.core.tensors import require_fitting

        require_fitting(self, self._inputs, inputs)
        return {spec.name: values for spec, values in zip(self._inputs, inputs, strict=True)}

    def _wrapped(self, named: Mapping[str, Array]) -> list[Any]:
        tensors = []
        for values in (named[name] for name in self._order):
            # PyTorch cannot know a read-only tensor and warns of what it may do to it.
            usable = values.flags.writeable and values.flags.aligned
            tensors.append(self._torch.from_numpy(values if usable else values.copy()))
        return tensors

    def _outputs(self) -> list[Array]:
        # The module may have returned its own buffer or its input.
        return [tensor.detach().numpy().copy() for _, tensor in _flat(self._results)]

    def _given_specs(self, path: Path) -> list[TensorSpec]:
        from edge_tester.core.tensors import TensorSpec

        if not self.input_shapes:
            raise ModelError(
                f"{path} does not record the shapes of its inputs: give them as "
                "TorchScriptRuntime.input_shapes, such as 1,3,224,224."
            )
        specs = []
        for number, given in enumerate(self.input_shapes):
            sizes, _, dtype = given.partition(":")
            shape = tuple(int(size) for size in sizes.split(","))
            specs.append(TensorSpec(f"input_{number}", shape, dtype or "float32"))
        return specs

    def _tried(self, model: Any, inputs: Sequence[TensorSpec], path: Path) -> Any:
        torch: Any = self._torch
        zeros = [
            torch.zeros([size or 1 for size in spec.shape], dtype=getattr(torch, spec.dtype))
            for spec in inputs
        ]
        try:
            with torch.inference_mode(), kept(model):
                return model(*zeros)
        except RuntimeError as error:
            # Its message is a whole traceback of the script; the last line says why.
            reason = str(error).strip().rpartition("\n")[2]
            shapes = ", ".join(spec.described() for spec in inputs)
            raise ModelError(
                f"TorchScriptRuntime cannot run {path} with inputs {shapes}: {reason}"
            ) from error


def _decode(content: str | bytes, path: Path) -> dict[str, list[TensorSpec]]:
    from edge_tester.core.tensors import TensorSpec

    if not content:
        return {"inputs": [], "outputs": []}
    try:
        decoded = msgspec.json.decode(content, type=dict[str, list[TensorSpec]])
    except msgspec.DecodeError as error:
        raise ModelError(f"{_RECORDED_SPECS} inside {path} is unreadable: {error}") from error
    return {"inputs": decoded.get("inputs", []), "outputs": decoded.get("outputs", [])}


def _check_arguments(model: Any, count: int, path: Path) -> None:
    arguments = model.forward.schema.arguments[1:]
    required = [argument for argument in arguments if not argument.has_default_value()]
    tensors = [argument for argument in arguments if argument.type.kind() == "TensorType"]
    if not len(required) <= count <= len(tensors):
        declared = ", ".join(f"{argument.name}: {argument.type}" for argument in arguments)
        raise ModelError(
            f"{path} takes ({declared}), {count} tensors are given; TorchScriptRuntime runs "
            "modules all of whose required arguments are tensors."
        )


def _with_batch(spec: TensorSpec, batch_size: int, axis: int | None) -> TensorSpec:
    if axis is None or len(spec.shape) <= axis:
        return spec
    if spec.shape[axis] is None or batch_size > 1:
        shape = (*spec.shape[:axis], batch_size, *spec.shape[axis + 1 :])
        return msgspec.structs.replace(spec, shape=shape)
    return spec


def _flat(results: Any, name: str = "output") -> list[tuple[str, Any]]:
    """Return names and tensors of what a module returned, however nested."""
    if isinstance(results, dict):
        parts = [(str(key), value) for key, value in results.items()]
    elif isinstance(results, tuple | list):
        parts = [(f"{name}_{index}", value) for index, value in enumerate(results)]
    else:
        return [(name, results)]
    return [pair for key, value in parts for pair in _flat(value, key)]


def _output_specs(
    results: Any, recorded: Sequence[TensorSpec], inputs: Sequence[TensorSpec], path: Path
) -> list[TensorSpec]:
    from edge_tester.core.tensors import TensorSpec

    tensors = _flat(results)
    specs = []
    for number, (name, tensor) in enumerate(tensors):
        dtype = str(getattr(tensor, "dtype", type(tensor).__name__)).removeprefix("torch.")
        if not _NUMBERS.fullmatch(dtype):
            raise ModelError(
                f"Output {name!r} of {path} must be a tensor of real numbers or bool, got {dtype}."
            )
        shape: tuple[int | None, ...] = tuple(tensor.shape)
        known = recorded[number] if len(recorded) == len(tensors) else None
        if not all(spec.static for spec in inputs):
            # The zeros had size 1 where a size is open; what follows from it is open too.
            shape = (*shape[:1], *(known.shape[1:] if known else [None] * len(shape[1:])))
        if known is not None and known.dtype == dtype:
            specs.append(msgspec.structs.replace(known, shape=shape))
        else:
            specs.append(TensorSpec("output_0" if name == "output" else name, shape, dtype))
    return specs
