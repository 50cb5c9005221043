"""The ONNX Runtime."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edge_tester.core.backends import backend
from edge_tester.core.errors import ModelError, OptionError, RuntimeStateError
from edge_tester.core.inspects import Cuts, Tensor
from edge_tester.core.options import option, state
from edge_tester.core.profiles import Profile, Profiles
from edge_tester.runtimes._archived_onnx import onnx_file
from edge_tester.runtimes._fallback import fallback
from edge_tester.runtimes._modules import import_all
from edge_tester.runtimes._onnxruntime.libraries import libraries
from edge_tester.runtimes._onnxruntime.profiler import profile
from edge_tester.runtimes._onnxruntime.standalone import STANDALONE
from edge_tester.runtimes._state_pairs import StatePairsRuntime

if TYPE_CHECKING:
    from edge_tester.core.tensors import Array, TensorSpec

# Option value -> member of onnxruntime.GraphOptimizationLevel.
_LEVELS = {
    "disable": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
# Element types whose names differ from numpy's.
_DTYPES = {"float": "float32", "double": "float64"}
_NUMBERS = re.compile(r"float(16|32|64)|u?int(8|16|32|64)|bool")
# tf2onnx numbers the sizes it does not know, so that equal ones get different names.
_PLACEHOLDER = "unk__"
_LOG_ERRORS_ONLY = 3
# Session configuration key, of ONNX Runtime 1.24 and later; earlier ones ignore it.
_RECORD_ASSIGNMENT = "session.record_ep_graph_assignment_info"
_CPU = "CPUExecutionProvider"


class ONNXRuntime(Cuts, Profiles, StatePairsRuntime):
    """Runs ONNX models with ONNX Runtime."""

    input_formats = ("onnx",)
    runs_code = False
    standalone = STANDALONE
    packages = ("onnxruntime",)
    distributions = ("onnxruntime",)

    execution_providers: tuple[str, ...] = option(
        (_CPU,), help="Execution providers in order of preference"
    )
    num_threads: int = option(1, minimum=1, help="Threads of one inference")
    graph_optimization_level: str = option(
        "all", choices=tuple(_LEVELS), help="How far the graph is optimized when it is loaded"
    )

    custom_op_libraries: tuple[str, ...] = option(
        (),
        target_only=True,
        help="Shared libraries of custom operators; onnxruntime_extensions stands for that of the "
        "installed package",
    )
    import_modules: tuple[str, ...] = option(
        (),
        target_only=True,
        help="Modules of Python to import first, which register operators that a model has",
    )

    _libraries: list[str] = state(default_factory=list)
    _module: Any = state()
    _session: Any = state()
    _file: Path = state(Path())
    _inputs: list[TensorSpec] = state(default_factory=list)
    _feeds: dict[str, Array] = state(default_factory=dict)
    _output_names: list[str] = state(default_factory=list)
    _left_out: dict[str, str] = state(default_factory=dict)
    _results: Any = state()
    _answers: list[int] = state(default_factory=list)
    _execute: Any = state()

    def prepare(self) -> None:
        """Import ONNX Runtime and look whether it has the execution providers."""
        module = backend("onnxruntime", self)
        if not self.execution_providers:
            raise OptionError("ONNXRuntime.execution_providers must name at least one, got none.")
        existing = module.get_available_providers()
        for provider in self.execution_providers:
            if provider not in existing:
                raise RuntimeStateError(
                    f"ONNXRuntime: this target has no execution provider {provider!r}; "
                    f"there are {', '.join(existing)}."
                )
        import_all(self.import_modules, self)
        self._libraries = libraries(self.custom_op_libraries, self)
        self._module = module

    def load(self, path: Path, batch_size: int) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """Load a model, replacing an earlier one.

        The size that is open at the batch's axis of the first input is ``batch_size``,
        and so is every other one of the same name. A fixed one must be
        ``batch_size``; but with a batch size of 1 it may be any, since the model
        may have no batch dimension. Outputs that are no tensors of numbers are left out.
        """
        # A load that fails must not leave the earlier model behind as if it were this one.
        self._session = self._results = None
        try:
            file = onnx_file(path)
            session = self._session_of(file)
        except ModelError:
            raise
        except Exception as error:  # Its errors have no other base in common.
            raise ModelError(f"ONNXRuntime cannot load {path}: {_one_line(error)}") from error
        self._check_providers(session)
        nodes, axis = session.get_inputs(), self.batch_axis
        batch = next(
            (n.shape[axis] for n in nodes if axis is not None and len(n.shape) > axis), None
        )
        fixed = batch if isinstance(batch, int) else None
        self.require_batch_size(path, fixed, batch_size)
        sizes = _Sizes(batch, batch_size, axis)
        for node in nodes:
            if not _NUMBERS.fullmatch(_dtype(node)):
                raise ModelError(
                    f"Input {node.name!r} of {path} must be a tensor of real numbers or bool, "
                    f"got {node.type}."
                )
        inputs = [_spec(node, sizes) for node in nodes]
        made = session.get_outputs()
        kept = [one for one in made if _NUMBERS.fullmatch(_dtype(one))]
        self._left_out = {one.name: one.type for one in made if one not in kept}
        if not kept:
            raise ModelError(
                f"An output of {path} must be a tensor of real numbers or bool, got "
                f"{', '.join(f'{name} ({kind})' for name, kind in self._left_out.items())}."
            )
        places = [made.index(one) if self._left_out else None for one in kept]
        outputs = [
            _spec(one, sizes, place, output=True) for one, place in zip(kept, places, strict=True)
        ]
        self._output_names = [one.name for one in kept]
        self._inputs, answers = self.without_state(inputs, outputs)
        self._answers = [self._output_names.index(spec.name) for spec in answers]
        self._session, self._file = session, file
        return list(self._inputs), answers

    def set_inputs(self, inputs: Sequence[Array]) -> None:
        """Keep references to the tensors; nothing is copied unless unaligned.

        Raises
        ------
        InputError
            Count, shapes or dtypes are not those of the model.
        """
        session = self._session
        feeds = self._fitting(inputs)
        if self.state_pairs:
            last = dict(zip(self._output_names, self._results or [], strict=bool(self._results)))
            self.carry_state(last)
            feeds |= self.state_values
        self._feeds = feeds
        self._execute = session.run

    def run(self) -> None:
        """Run the session once."""
        self._results = self._execute(self._output_names, self._feeds)

    def get_outputs(self) -> list[Array]:
        """Return the arrays that the last run made; they stay valid."""
        return [self._results[index] for index in self._answers]

    def profile(self, inputs: Sequence[Array], count: int) -> Profile:
        """Run a second session of the same options with its profiler on; a state is zero there."""
        feeds = self._fitting(inputs)
        feeds |= self.zeros_of_state() if self.state_pairs else {}

        def session_of(prefix: str) -> Any:
            return self._session_of(self._file, prefix)

        return profile(session_of, self._output_names, feeds, count)

    def inspect(self, inputs: Sequence[Array]) -> list[Tensor]:
        """Run a session of the same options with all tensors as outputs; a state is zero there.

        What would be fused is not, where the tensor between is told.
        """
        from edge_tester.runtimes._onnxruntime.inspecting import inspect

        feeds = self._fitting(inputs)
        feeds |= self.zeros_of_state() if self.state_pairs else {}
        return inspect(backend("onnx", self), self._file, self._session_of, feeds)

    def cut(self, target: Path, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[str]:
        """Write a part of the graph."""
        from edge_tester.runtimes._onnxruntime.inspecting import cut

        return cut(backend("onnx", self), self._file, target, inputs, outputs)

    def facts(self) -> dict[str, Any]:
        """Return the version, threads and the execution providers really in use.

        ``operations`` counts the operations by name that each provider was given when the
        model was loaded, before it fused any, or is ``"unknown"`` to ONNX Runtime before
        1.24. ``fallback`` is there if another provider than the CPU's was asked for.
        """
        session = self._session
        facts = {
            "version": getattr(self._module, "__version__", None),
            "num_threads": self.num_threads,
            "execution_providers": session.get_providers(),
            "graph_optimization_level": self.graph_optimization_level,
        }
        ports = [*session.get_inputs(), *session.get_outputs()]
        if _CPU in session.get_providers() and any(_dtype(one) == "float16" for one in ports):
            # Source: onnxruntime/core/optimizer/insert_cast_transformer.cc.
            facts["computed_as"] = {"float16": "float32 where the CPU has no kernel for it"}
            facts["remarks"] = [
                "ONNX Runtime's CPU provider computes float16 operations that it has no kernels "
                "for as float32, between casts: neither answers nor times need be those of a "
                "processor with float16."
            ]
        if self.state_pairs:
            facts["state"] = self.state
        if self._left_out:
            facts["outputs_left_out"] = self._left_out
        if not hasattr(session, "get_provider_graph_assignment_info"):
            return {**facts, "operations": "unknown"}
        operations: dict[str, dict[str, int]] = {}
        for part in session.get_provider_graph_assignment_info():
            count = operations.setdefault(part.ep_name, {})
            for node in part.get_nodes():
                count[node.op_type] = count.get(node.op_type, 0) + 1
        facts["operations"] = operations
        if wanted := [name for name in self.execution_providers if name != _CPU]:
            on_cpu = sum(operations.get(_CPU, {}).values())
            total = sum(sum(count.values()) for count in operations.values())
            facts["fallback"] = fallback(wanted, total - on_cpu, on_cpu)
        return facts

    def _session_of(self, file: Path, profile_prefix: str | None = None) -> Any:
        options = self._module.SessionOptions()
        options.intra_op_num_threads = self.num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _LOG_ERRORS_ONLY
        options.add_session_config_entry(_RECORD_ASSIGNMENT, "1")
        options.graph_optimization_level = getattr(
            self._module.GraphOptimizationLevel, _LEVELS[self.graph_optimization_level]
        )
        for library in self._libraries:
            options.register_custom_ops_library(library)
        if profile_prefix is not None:
            options.enable_profiling = True
            options.profile_file_prefix = profile_prefix
        return self._module.InferenceSession(
            str(file), options, providers=list(self.execution_providers)
        )

    def _fitting(self, inputs: Sequence[Array]) -> dict[str, Array]:
        from edge_tester.core.tensors import require_fitting

        require_fitting(self, self._inputs, inputs)
        # Kernels may rely on alignment, which a view into a message need not have.
        return {
            spec.name: values if values.flags.aligned else values.copy()
            for spec, values in zip(self._inputs, inputs, strict=True)
        }

    def _check_providers(self, session: Any) -> None:
        # A provider that fails to start is dropped with no more than a log line.
        used = session.get_providers()
        for provider in self.execution_providers:
            if provider not in used:
                raise RuntimeStateError(
                    f"ONNXRuntime: the execution provider {provider!r} did not start on this "
                    f"target; in use would be {', '.join(used)}."
                )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


class _Sizes(NamedTuple):
    """What open sizes become: those named as the batch, at the batch's axis, its size."""

    batch: int | str | None
    batch_size: int
    axis: int | None


def _dtype(node: Any) -> str:
    element = re.fullmatch(r"tensor\((\w+)\)", node.type)
    return _DTYPES.get(element[1], element[1]) if element else str(node.type)


def _spec(
    node: Any, sizes: _Sizes, position: int | None = None, *, output: bool = False
) -> TensorSpec:
    from edge_tester.core.tensors import TensorSpec

    shape: list[int | None] = []
    for axis, size in enumerate(node.shape):
        if isinstance(size, int):
            shape.append(size)
        elif sizes.axis is None or isinstance(sizes.batch, int):
            shape.append(None)
        elif (symbol := _symbol(size)) is not None:
            shape.append(sizes.batch_size if symbol == _symbol(sizes.batch) else None)
        else:
            # An input's size without a name has its position to tell what it is. An output's
            # may be anything, such as the number of what was found.
            is_batch = not output and axis == sizes.axis and _symbol(sizes.batch) is None
            shape.append(sizes.batch_size if is_batch else None)
    return TensorSpec(name=node.name, shape=tuple(shape), dtype=_dtype(node), position=position)


def _symbol(size: int | str | None) -> str | None:
    return None if not isinstance(size, str) or size.startswith(_PLACEHOLDER) else size
