"""The two models that are compared: what can be looked into, and what can be cut."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from edge_tester.core.errors import InputError, ModelError
from edge_tester.core.inspects import Cuts, Inspects, Tensor
from edge_tester.core.making.trial import fitted
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import hint
from edge_tester.core.registry import loadable, names
from edge_tester.core.runtime import Runtime
from edge_tester.core.system.quiet import quiet
from edge_tester.core.tensors import Array, TensorSpec


@dataclasses.dataclass(frozen=True)
class Side:
    """One of the two models, loaded.

    Attributes
    ----------
    path : Path
        Its file.
    format : str
    inspects : Inspects
        A runtime that has loaded it, or its model wrapper.
    inputs : list of TensorSpec
    """

    path: Path
    format: str
    inspects: Inspects
    inputs: list[TensorSpec]

    def tensors(self, values: Sequence[Array]) -> list[Tensor]:
        """Return the tensors of one inference.

        Parameters
        ----------
        values : sequence of ndarray of shape (1, ...)
            Real values as the source takes them; channels are moved where this side wants them
            elsewhere.

        Raises
        ------
        InputError
            They do not fit, or this side takes more than one sample at a time.
        """
        repeated, tensors = fitted(self.inputs, values)
        if repeated > 1:
            raise InputError(
                f"{self.path.name} takes {repeated} samples at a time; layers are compared one "
                "sample at a time, so compile it for a batch of one."
            )
        with quiet():
            return self.inspects.inspect(tensors)

    @property
    def cuts(self) -> Cuts | None:
        """What cuts parts out of it, None where nothing does."""
        return self.inspects if isinstance(self.inspects, Cuts) else None


def side_of(model: ModelWrapper) -> Side:
    """Load a model in the framework, or with the runtime, that its wrapper is for.

    Raises
    ------
    ModelError
        It cannot be loaded, or nothing here can look into it.
    """
    if isinstance(model, Inspects):
        model.load()
        return Side(model.model_path, model.format, model, model.specs()[0])
    runtime = model.host_runtime()
    if not isinstance(runtime, Inspects):
        raise ModelError(
            f"{type(model).__name__} cannot tell the tensors inside of {model.model_path}."
        )
    return _loaded(cast(Runtime, runtime), model.model_path, model.format)


def side_of_file(path: Path, format: str) -> Side:
    """Load a file with a runtime that can look into it.

    Parameters
    ----------
    path : Path
    format : str
        One of the values of :data:`edge_tester.core.formats.FORMATS`.

    Raises
    ------
    ModelError
        No runtime here can, or the file cannot be loaded.
    """
    known = {}
    for name in names("runtimes"):
        found = loadable("runtimes", name)
        if found is not None and issubclass(found, Inspects):
            known.update(dict.fromkeys(cast(type[Runtime], found).input_formats, found))
    if format not in known:
        raise ModelError(
            f"No runtime here tells the tensors inside of a file of format {format!r}"
            f"{hint(format, list(known))}"
        )
    return _loaded(cast(type[Runtime], known[format])(), path, format)


def _loaded(runtime: Runtime, path: Path, format: str) -> Side:
    with quiet():
        runtime.prepare()
        inputs, _ = runtime.load(path, 1)
    return Side(path, format, cast(Inspects, runtime), inputs)


class Part:
    """A part of a model that was cut out, loaded by a fresh runtime of the kind that cut it.

    Parameters
    ----------
    cuts : Cuts
    path : Path
    """

    def __init__(self, cuts: Cuts, path: Path) -> None:
        self._runtime = cast(type[Runtime], type(cuts))()
        with quiet():
            self._runtime.prepare()
            self.inputs, self.outputs = self._runtime.load(path, 1)

    def given(self, values: Sequence[Array]) -> list[Array]:
        """Return real values as the file takes them, in the order of its inputs."""
        return [spec.conform(one) for spec, one in zip(self.inputs, values, strict=True)]

    def run(self, values: Sequence[Array]) -> list[Array]:
        """Return the outputs for real values, as real values."""
        with quiet():
            self._runtime.set_inputs(self.given(values))
            self._runtime.run()
        found = self._runtime.get_outputs()
        return [spec.dequantize(one) for spec, one in zip(self.outputs, found, strict=True)]
