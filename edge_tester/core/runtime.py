"""The runtime role: what runs a model on the target.

Nothing here imports numpy, so that the supervisor of the target agent can read
a runtime's options and stay small.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeVar

from edge_tester.core.errors import ModelError, RuntimeStateError
from edge_tester.core.options import Configurable, option, options_of, state

if TYPE_CHECKING:
    from edge_tester.core.tensors import Array, TensorSpec

    _Specs = tuple[list[TensorSpec], list[TensorSpec]]

AnyRuntime = TypeVar("AnyRuntime", bound="Runtime")


class _Stage:
    """How far a runtime has come."""

    NEW: Final = 0
    PREPARED: Final = 1
    LOADED: Final = 2
    FED: Final = 3
    RAN: Final = 4


def _guarded_prepare(method: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(method)
    def prepare(self: Runtime) -> None:
        method(self)
        self._stage = max(self._stage, _Stage.PREPARED)

    return prepare


def _guarded_load(method: Callable[..., _Specs]) -> Callable[..., _Specs]:
    @functools.wraps(method)
    def load(self: Runtime, path: Path, batch_size: int) -> _Specs:
        if self._stage < _Stage.PREPARED:
            raise self.lacking("preparation")
        # A load that fails must not leave the earlier model behind as if it were this one.
        self._stage = _Stage.PREPARED
        self._refuse_to_run()
        specs = method(self, path, batch_size)
        self._stage = _Stage.LOADED
        return specs

    return load


def _guarded_set_inputs(method: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(method)
    def set_inputs(self: Runtime, inputs: Sequence[Array]) -> None:
        if self._stage < _Stage.LOADED:
            raise self.lacking("model")
        try:
            method(self, inputs)
        except BaseException:
            # Of the inputs some may have been set.
            self._stage = _Stage.LOADED
            self._refuse_to_run()
            raise
        if self._stage == _Stage.LOADED:
            self._stage = _Stage.FED

    return set_inputs


def _guarded_get_outputs(method: Callable[..., list[Array]]) -> Callable[..., list[Array]]:
    @functools.wraps(method)
    def get_outputs(self: Runtime) -> list[Array]:
        if self._stage < _Stage.RAN:
            raise self.lacking("outputs" if self._stage >= _Stage.LOADED else "model")
        return method(self)

    return get_outputs


def _guarded_facts(method: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    @functools.wraps(method)
    def facts(self: Runtime) -> dict[str, Any]:
        if self._stage < _Stage.LOADED:
            raise self.lacking("model")
        return method(self)

    return facts


def _guarded_with_model(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def with_model(self: Runtime, *arguments: Any) -> Any:
        if self._stage < _Stage.LOADED:
            raise self.lacking("model")
        return method(self, *arguments)

    return with_model


_GUARDS: dict[str, Callable[[Any], Any]] = {
    "prepare": _guarded_prepare,
    "load": _guarded_load,
    "set_inputs": _guarded_set_inputs,
    "get_outputs": _guarded_get_outputs,
    "facts": _guarded_facts,
    # Of runtimes that can; see core/profiles.py and core/inspects.py.
    "profile": _guarded_with_model,
    "inspect": _guarded_with_model,
    "cut": _guarded_with_model,
}

_LACKING = {
    "preparation": "is not prepared; call prepare() first",
    "model": "has no model; load one before using it",
    "inputs": "has no inputs; set them before running",
    "outputs": "has no outputs; run the model first",
}


class Runtime(Configurable):
    """A subclass must load a model file and run it, and never time itself.

    The agent calls ``prepare`` once, ``load`` for each model, and then, for each inference,
    ``set_inputs``, ``run`` and ``get_outputs``; ``facts`` after a load.
    What comes too early is refused here, so that no subclass looks whether it was prepared, has
    a model, inputs or outputs.

    Conformance suite: :class:`edge_tester.testing.RuntimeConformance`.
    """

    input_formats: ClassVar[tuple[str, ...]]
    """Model formats that it runs."""
    distributions: ClassVar[tuple[str, ...]] = ()
    """Names of the packages whose versions belong into a run record."""
    may_crash: ClassVar[bool] = False
    """Whether a faulty model may end the process instead of raising."""
    runs_code: ClassVar[bool] = True
    """Whether a model can run any code of its own with the rights of the agent.

    False only where a model is data: whatever is in the file, nothing in it is executed.
    """
    thread_options: ClassVar[tuple[str, ...]] = ("num_threads",)
    """Names of the options, where it has them, that say how many threads to start."""
    complete: ClassVar[bool] = True
    """Whether it runs all of its formats; if not, its refusal says nothing of a model."""
    simulates: ClassVar[bool] = False
    """Whether it computes what a device would answer, in a time that says nothing of the device."""

    save_model_path: Path | None = option(
        None, target_only=True, help="Where the target keeps the uploaded model"
    )

    batch_axis: int | None = state(0)
    """Axis of the batch in inputs and outputs, None where a model takes one sample at a time.

    To be set before loading; open sizes elsewhere are left open.
    """

    _stage: int = state(_Stage.NEW)

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Put the checks of what must come before around what the subclass defines."""
        super().__init_subclass__(**arguments)
        for name, guard in _GUARDS.items():
            if name in vars(cls):
                setattr(cls, name, guard(vars(cls)[name]))

    def __post_init__(self) -> None:
        """Refuse to run, for as long as there is nothing to run."""
        super().__post_init__()
        self._refuse_to_run()

    def _refuse_to_run(self) -> None:
        # In the instance and not around the method: what stands in its way would be timed.
        vars(self)["run"] = self._run_refused

    def _run_refused(self) -> None:
        if self._stage < _Stage.FED:
            raise self.lacking("inputs" if self._stage == _Stage.LOADED else "model")
        # The first run with a model: from now on there are outputs, and nothing is in the way.
        type(self).run(self)
        del vars(self)["run"]
        self._stage = _Stage.RAN

    @classmethod
    def unusable(cls) -> str:
        """Return why this machine can never run it, whatever is installed; empty if it can."""
        return ""

    def prepare(self) -> None:
        """Import the backend and check what this target must have; loads no model.

        Called once, before all else and outside of all measuring.

        Raises
        ------
        BackendMissingError, RuntimeStateError
        """
        raise NotImplementedError

    def load(self, path: Path, batch_size: int) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """Load a model, replacing an earlier one; if that fails, there is none.

        Inputs and outputs of an earlier model count no more. The file is only read.

        Parameters
        ----------
        path : Path
        batch_size : int
            Samples per inference; an open size at ``batch_axis`` is set to it.

        Returns
        -------
        inputs, outputs : lists of TensorSpec
            As the loaded model really has them.

        Raises
        ------
        ModelError
            The file is corrupt, of another format or cannot take this batch size.
        """
        raise NotImplementedError

    def set_inputs(self, inputs: Sequence[Array]) -> None:
        """Give the tensors of the next runs, all of them, before each inference.

        They are views that cannot be written, at any address, and end with the next call of
        any method but ``run`` and ``get_outputs``.

        Raises
        ------
        InputError
            Count, shape or dtype are not those of the specs; earlier inputs may be lost.
        RuntimeStateError
            No model was loaded.
        """
        raise NotImplementedError

    def run(self) -> None:
        """Run the model once on the inputs that were set, and nothing else.

        Inputs are set anew before each run, so it may compute in its copy of them. Equal inputs
        give the same outputs, unless the model keeps a state. Only this call is timed: whatever
        can be done before or after it belongs there.

        Raises
        ------
        RuntimeStateError
            No inputs were set since the model was loaded.
        """
        raise NotImplementedError

    def get_outputs(self) -> list[Array]:
        """Return the outputs of the last run, as the specs say.

        They stay as they are, whatever runs later, since the outputs of a whole block are kept;
        what is returned may therefore be no buffer that a run writes to.

        Raises
        ------
        RuntimeStateError
            The model did not run.
        """
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """Return what was really used: kernels, delegates, providers, threads.

        Plain values that JSON has, as for a record: texts, numbers of Python, lists, maps.
        ``remarks``, a list of texts, is for what changes the meaning of the figures.
        """
        return {}

    def as_client(self: AnyRuntime) -> AnyRuntime:
        """Return a copy without what only the owner of a target may set.

        Where host and owner are the same, the agent gets that, and the client sends the rest.
        """
        owned = {declared.name for declared in options_of(type(self)) if declared.target_only}
        chosen = self.chosen_options()
        return type(self).from_options({k: v for k, v in chosen.items() if k not in owned})

    def lacking(
        self, what: Literal["preparation", "model", "inputs", "outputs"]
    ) -> RuntimeStateError:
        """Return the error of a call that comes too early."""
        return RuntimeStateError(f"{type(self).__name__} {_LACKING[what]}.")

    def require_batch_size(self, path: Path, fixed: int | None, batch_size: int) -> None:
        """See whether a model with a fixed batch size, or with an open one (None), can be used.

        With a batch size of 1 the first size may be any, since the model may have no
        batch dimension.

        Raises
        ------
        ModelError
            It is fixed at another one.
        """
        if fixed is not None and batch_size not in (1, fixed):
            raise ModelError(
                f"{type(self).__name__}: the batch size of {path} is fixed at {fixed}, "
                f"got {batch_size}."
            )


class StatefulRuntime(Runtime):
    """A subclass must begin each sample anew, or carry the state over, when inputs are set.

    Its facts have ``state``, the value of the option, for a model that keeps one; such a model
    is never run twice for one sample.
    """

    state: str = option(
        "reset",
        choices=("reset", "carry"),
        help="State that a model keeps between inferences: begin each sample anew, or carry it "
        "over from the sample before",
    )
