"""Run a model, and what a compiler has made of it, on the same few inputs."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from edge_tester.core.artifact import Weights
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import (
    BackendMissingError,
    CompilationError,
    EdgeTesterError,
    InputError,
    ModelError,
    RuntimeStateError,
)
from edge_tester.core.making import likeness
from edge_tester.core.making.isolation import Helper, isolated
from edge_tester.core.making.runtimes import runtimes_for
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import path_of
from edge_tester.core.registry import load_path
from edge_tester.core.run.feed import Feed
from edge_tester.core.runtime import Runtime
from edge_tester.core.system.quiet import quiet
from edge_tester.core.tensors import Array, TensorSpec

# Enough to see what is wrong throughout; what is rare is for the measurement to find.
_SAMPLES = 4
# For open sizes other than the batch; the first one that the model takes.
_OPEN_SIZES = (8, 64)
# Answers to the same input that differ by more are different ones, not rounded ones.
_SAME = 1e-4
ADVICE = " With --no-self-check it is kept all the same."

Runs = list[list[Array]]
Ready = Mapping[type[Runtime], Helper]


class Result(NamedTuple):
    """What a compiler has made.

    Attributes
    ----------
    compiler : str
        Name of the compiler's class.
    path : Path
    format : str
    weights : Weights
    """

    compiler: str
    path: Path
    format: str
    weights: Weights


class Answers(NamedTuple):
    """What a runtime says of a result: its specs, and its outputs as real values."""

    runtime: str
    specs: list[TensorSpec]
    runs: Runs


class Source(NamedTuple):
    """The model that was compiled: inputs of some runs, what they are, and its outputs."""

    inputs: Runs
    kind: str
    runs: Runs
    repeats: bool
    """Whether the same input gave the same answer twice."""


def run_source(model: ModelWrapper, dataset: Dataset | None) -> tuple[Source | None, str]:
    """Return the source's answers, or why there are none."""
    why = ""
    try:
        with quiet():
            model.load()
            specs, _ = model.specs()
            # The source may need a package, a processor or values that are not to be had here,
            # which is no fault of the result.
            ways: list[Callable[[], tuple[Runs, str]]] = [
                functools.partial(_samples, model, dataset, specs),
                *(functools.partial(random_inputs, specs, size) for size in _OPEN_SIZES),
            ]
            for inputs in ways:
                try:
                    return _answered(model, *inputs()), ""
                except Exception as error:
                    why = f"{type(error).__name__}: {_line(error)}"
    except Exception as error:
        why = f"{type(error).__name__}: {_line(error)}"
    return None, f"the source could not be run: {why}"


def _answered(model: ModelWrapper, inputs: Runs, kind: str) -> Source:
    runs = [[np.array(output) for output in model.run(values)] for values in inputs]
    again = [np.array(output) for output in model.run(inputs[0])]
    repeats = max(likeness.changes(runs[:1], [again]), default=0.0) < _SAME
    return Source(inputs, kind, runs, repeats)


def _samples(
    model: ModelWrapper, dataset: Dataset | None, specs: list[TensorSpec]
) -> tuple[Runs, str]:
    """Return samples as the model takes them, and where they come from."""
    if dataset is None:
        raise InputError("There is no data set.")
    split = dataset.split()
    parts = {"calibration": split.calibration, "validation": split.validation}
    found = [(n, p) for n, p in {**parts, "training": split.train}.items() if len(p)]
    if not found:
        raise InputError("All samples are to be measured.")
    name, part = found[0]
    # Neighbours may well be of one class.
    chosen = part[np.linspace(0, len(part) - 1, min(_SAMPLES, len(part))).astype(int)]
    fixed = next((spec.shape[0] for spec in specs if spec.shape), 1) or 1
    with contextlib.suppress(EdgeTesterError):
        inputs = _fed(Feed(model, dataset, specs, indices=chosen))
        if fixed == 1 or all(map(_accept(specs), inputs)):
            return inputs, f"{len(inputs)} {name} samples"
    chosen = np.resize(part, fixed * len(chosen))
    inputs = _fed(Feed(model, dataset, specs, indices=chosen, size=fixed))
    return inputs, f"{len(chosen)} {name} samples"


def _fed(feed: Feed) -> Runs:
    return [feed.values(samples) for samples in feed.loaded()]


def _accept(specs: Sequence[TensorSpec]) -> Callable[[Sequence[Array]], bool]:
    def accepted(inputs: Sequence[Array]) -> bool:
        return len(inputs) == len(specs) and all(
            spec.accepts(np.shape(values)) for spec, values in zip(specs, inputs, strict=True)
        )

    return accepted


def random_inputs(specs: Sequence[TensorSpec], open_size: int) -> tuple[Runs, str]:
    """Return some runs of seeded random inputs, and what they are.

    Floats are in 0..1, as pixels and most inputs are, in every second run around 0, since some
    operations go wrong below it alone; integers and truth values are 0 or 1.

    Parameters
    ----------
    specs : sequence of TensorSpec
    open_size : int
        For sizes that are open; an open first size becomes 1.

    Raises
    ------
    InputError
        An input is neither of numbers nor of truth values.
    """
    generator = np.random.default_rng(0)

    def values(spec: TensorSpec, run: int) -> Array:
        dtype = np.dtype(spec.dtype)
        shape = [
            size if size is not None else (open_size if axis else 1)
            for axis, size in enumerate(spec.shape)
        ]
        if spec.quantized or np.issubdtype(dtype, np.floating):
            kind = np.float32 if spec.quantized else dtype
            draw = generator.standard_normal if run % 2 else generator.random
            return np.asarray(draw(shape), kind)
        if dtype.kind not in "iub":
            raise InputError(f"Input {spec.name!r} takes {spec.dtype}, which has no random values.")
        return np.asarray(generator.integers(0, 2, shape), dtype)

    runs = [[values(spec, run) for spec in specs] for run in range(_SAMPLES)]
    return runs, "random inputs"


@contextlib.contextmanager
def standing_by(format: str) -> Iterator[Ready]:
    """Start the process of the first runtime of this format, if it needs one of its own.

    What it imports takes seconds; meanwhile the result is made.
    """
    first = next(iter(runtimes_for(format)), None)
    if first is None or not first.may_crash:
        yield {}
        return
    with Helper(_imported, path_of(first)) as helper:
        yield {first: helper}


def _imported(name: str) -> None:
    with quiet():
        cast(type[Runtime], load_path(name))().prepare()


def run_result(result: Result, inputs: Runs | None, ready: Ready) -> tuple[Answers | None, str]:
    """Return the result's answers, or why there is nothing here that could give any.

    Parameters
    ----------
    result : Result
    inputs : list of lists of ndarray, or None
        Real values as the source takes them; None for random ones.
    ready : mapping of runtime class to Helper
        Processes that wait for it.
    """
    reasons = []
    for runtime in runtimes_for(result.format):
        # What is machine code, or aborts where others raise, must not take this process along.
        waiting = ready.get(runtime)
        alone: Any = waiting.call if waiting else isolated
        call: Any = alone if runtime.may_crash else _called
        try:
            return call(run_file, path_of(runtime), result.path, inputs), ""
        except (BackendMissingError, RuntimeStateError) as error:
            reasons.append(str(error))
        except Exception as error:
            if not runtime.complete:
                reasons.append(f"{runtime.__name__} does not run it: {_line(error)}")
                continue
            raise CompilationError(
                f"{result.compiler}: {runtime.__name__} cannot run what it made: "
                f"{_line(error).replace(str(result.path), 'the result')}{ADVICE}"
            ) from error
    return None, "; ".join(reasons) or f"no runtime takes {result.format!r}"


def _called(function: Any, *arguments: Any) -> Any:
    return function(*arguments)


def run_file(name: str, path: Path, inputs: Runs | None) -> Answers:
    """Load a compiled model with a runtime and run it.

    Parameters
    ----------
    name : str
        Dotted path of the runtime's class.
    path : Path
    inputs : list of lists of ndarray, or None
        Real values as the source takes them; None for random ones.
    """
    kind = cast(type[Runtime], load_path(name))
    runtime = kind()
    with quiet():
        runtime.prepare()
    try:
        with quiet():
            wanted, given = runtime.load(path, 1)
            runs = []
            for values in inputs or random_inputs(wanted, _OPEN_SIZES[0])[0]:
                repeated, tensors = fitted(wanted, values)
                runtime.set_inputs(tensors)
                runtime.run()
                outputs = [
                    spec.dequantize(np.array(output))
                    for spec, output in zip(given, runtime.get_outputs(), strict=True)
                ]
                runs.append([_first(output, repeated) for output in outputs])
    except RuntimeStateError as error:
        # Only prepare() may say that this machine lacks something.
        raise ModelError(str(error)) from error
    return Answers(kind.__name__, [*wanted, *given], runs)


def fitted(specs: Sequence[TensorSpec], inputs: Sequence[Array]) -> tuple[int, list[Array]]:
    """Return the source's inputs as the result takes them, and how often they are repeated.

    Parameters
    ----------
    specs : sequence of TensorSpec
        Inputs of the result.
    inputs : sequence of ndarray
        Real values as the source takes them.

    Raises
    ------
    InputError
        There are others, or their sizes are.
    """
    if len(specs) != len(inputs):
        raise InputError(f"The result takes {len(specs)} inputs, its source {len(inputs)}.")
    repeated, tensors = 1, []
    for spec, values in zip(specs, inputs, strict=True):
        shape = tuple(values.shape)
        fixed = spec.shape[0] if spec.shape else None
        if fixed is not None and fixed > 1 and shape[:1] == (1,):
            repeated = fixed
            values = np.repeat(values, fixed, axis=0)
        if not spec.accepts(values.shape) and values.ndim > 2:
            # Some compilers move the channels.
            moved = [np.moveaxis(values, -1, 1), np.moveaxis(values, 1, -1)]
            values = next((one for one in moved if spec.accepts(one.shape)), values)
        tensors.append(spec.conform(values))
    return repeated, tensors


def _first(output: Array, repeated: int) -> Array:
    return output[:1] if repeated > 1 and output.shape[:1] == (repeated,) else output


def _line(error: Exception) -> str:
    said = " ".join(str(error).split())
    return said if len(said) <= 300 else f"{said[:300]}..."
