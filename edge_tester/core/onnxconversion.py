"""The ONNX conversion role: what of a framework survives the way through ONNX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from edge_tester.core.errors import BackendMissingError
from edge_tester.core.options import Configurable, option
from edge_tester.core.tensors import Array


class ModelEntry(NamedTuple):
    """One model of a framework's list: its name and what makes it."""

    name: str
    make: Callable[[], Any]


class Cell(msgspec.Struct, frozen=True):
    """One cell of the support grid.

    Attributes
    ----------
    model : str
    verdict : str
        ``supported``, ``different``, ``export error``, ``import error`` or ``unverified``.
    detail : str
        The reason, or what could not be done.
    difference : float or None
        Largest difference of an output, relative to the largest output value.
    """

    model: str
    verdict: str
    detail: str = ""
    difference: float | None = None


class ONNXConversion(Configurable):
    """A subclass must list models, run, export and import them.

    The base converts each model, compares the outputs of the original, the
    exported and the imported model, and fills a cell of the support grid.
    """

    tolerance: float = option(
        1e-3, minimum=0, help="Largest relative difference of outputs that counts as equal"
    )

    def models(self) -> Sequence[ModelEntry]:
        """Return the models to convert."""
        raise NotImplementedError

    def inputs_of(self, model: Any) -> list[Array]:
        """Return inputs that the model takes; the same on every call."""
        raise NotImplementedError

    def run(self, model: Any, inputs: Sequence[Array]) -> list[Array]:
        """Run an original or an imported model."""
        raise NotImplementedError

    def export_model(self, model: Any, path: Path) -> None:
        """Write the model as ONNX."""
        raise NotImplementedError

    def import_model(self, path: Path) -> Any:
        """Read an ONNX file back; NotImplementedError if the framework cannot."""
        raise NotImplementedError

    def convert(self, entry: ModelEntry, directory: Path, run_onnx: OnnxRunner) -> Cell:
        """Convert one model there and back.

        Parameters
        ----------
        entry : ModelEntry
        directory : Path
            Where the ONNX file is written.
        run_onnx : callable
            Runs an ONNX file on inputs in an engine that has nothing to do with
            the framework.

        Returns
        -------
        Cell
            Whatever goes wrong with the model is in it; only a missing package
            raises.
        """
        path = directory / f"{entry.name}.onnx"
        stage = "export error"
        try:
            model = entry.make()
            inputs = self.inputs_of(model)
            expected = self.run(model, inputs)
            self.export_model(model, path)
            exported = run_onnx(path, inputs)
            stage = "import error"
            difference = relative_difference(expected, exported)
            try:
                imported = self.import_model(path)
            except NotImplementedError:
                return self._judged(entry, difference, "not imported back")
            difference = max(difference, relative_difference(expected, self.run(imported, inputs)))
        except BackendMissingError:
            raise
        # A converter can fail in any way; that is what the grid is to show.
        except Exception as error:
            return Cell(entry.name, stage, f"{type(error).__name__}: {error}")
        return self._judged(entry, difference, "")

    def _judged(self, entry: ModelEntry, difference: float, detail: str) -> Cell:
        if not difference <= self.tolerance:
            return Cell(entry.name, "different", detail, difference)
        return Cell(entry.name, "unverified" if detail else "supported", detail, difference)


OnnxRunner = Callable[[Path, Sequence[Array]], list[Array]]


def relative_difference(expected: Sequence[Array], found: Sequence[Array]) -> float:
    """Return the largest difference relative to the largest expected value.

    Infinite if counts or shapes differ or a value is not a number.
    """
    if [e.shape for e in expected] != [f.shape for f in found]:
        return float("inf")
    worst = 0.0
    for mine, theirs in zip(expected, found, strict=True):
        if mine.size == 0:
            continue
        # As floats: the smallest integer of a dtype has no absolute value in it.
        scale = float(np.abs(mine.astype(np.float64)).max()) or 1.0
        difference = float(np.abs(np.subtract(mine, theirs, dtype=np.float64)).max()) / scale
        worst = max(worst, difference if np.isfinite(difference) else float("inf"))
    return worst
