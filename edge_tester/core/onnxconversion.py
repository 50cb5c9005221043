"""The ONNX conversion role: what of a framework survives the way through ONNX."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import msgspec
import numpy as np

from edge_tester.core.backends import backend
from edge_tester.core.errors import BackendMissingError, EdgeTesterError, ModelError, OptionError
from edge_tester.core.options import Configurable, option
from edge_tester.core.tensors import Array

# Errors of converters may be pages long.
_LONGEST_REASON = 300
# What converters call operators they cannot take.
_OPERATOR = re.compile(r"aten[:.]+\w+|\bunsupported\b|\bnot supported\b|\bnot implemented\b", re.I)


class ModelEntry(NamedTuple):
    """One model of a framework's list: its name and what makes it."""

    name: str
    make: Callable[[], Any]


class Cell(msgspec.Struct, frozen=True):
    """One cell of the support grid: one model, exported by one framework or imported by one.

    Attributes
    ----------
    exporter, model : str
        Framework that the model is of, and the model's name.
    importer : str
        What read the ONNX file; empty for the export itself.
    verdict : str
        ``supported``, ``different``, ``export error``, ``import error`` or ``unverified``.
    detail : str
        The reason, or what could not be done.
    difference : float or None
        Largest difference of an output, relative to the largest output value.
    """

    exporter: str
    model: str
    importer: str
    verdict: str
    detail: str = ""
    difference: float | None = None


class ONNXConversion(Configurable):
    """A subclass must export its models, or import ONNX files, or both.

    For exporting: ``models``, ``inputs_of``, ``run`` and ``export_model``; for importing:
    ``import_model`` and ``run``. The base compares outputs and fills cells of the support grid;
    what is made lies in a folder, so that each step can be a process of its own.
    """

    framework: ClassVar[str]
    """Name of the framework, for people."""
    import_tools: ClassVar[str] = ""
    """What reads ONNX files for the framework where it does not do so itself."""

    tolerance: float = option(
        1e-3, minimum=0, help="Largest relative difference of outputs that counts as equal"
    )

    def models(self) -> Sequence[ModelEntry]:
        """Return the models to export; the same weights on every call."""
        return []

    def inputs_of(self, model: Any) -> list[Array]:
        """Return inputs that the model takes; the same on every call."""
        raise NotImplementedError

    def run(self, model: Any, inputs: Sequence[Array]) -> list[Array]:
        """Run an original or an imported model."""
        raise NotImplementedError

    def export_model(self, model: Any, path: Path) -> None:
        """Write the model as one ONNX file."""
        raise NotImplementedError

    def import_model(self, path: Path) -> Any:
        """Read an ONNX file; NotImplementedError with the reason if the framework cannot."""
        # A converter that never imports may be asked before it says for which framework.
        framework = getattr(self, "framework", type(self).__name__)
        raise NotImplementedError(f"{framework} has no importer of ONNX files")

    @property
    def imports(self) -> bool:
        """Whether it imports ONNX files."""
        return type(self).import_model is not ONNXConversion.import_model

    @property
    def importer(self) -> str:
        """Name of what imports, for people: ``PyTorch (onnx2torch)``."""
        return f"{self.framework} ({self.import_tools})" if self.import_tools else self.framework

    def prepare(self) -> None:
        """Get what importing needs, before its time counts.

        Raises
        ------
        BackendMissingError
            A package is missing.
        """

    def exported(self, name: str, directory: Path) -> Cell:
        """Export one model, check the file, and keep inputs and outputs for importers.

        Parameters
        ----------
        name : str
            One of :meth:`models`.
        directory : Path
            Where ``<name>.onnx`` and ``<name>.npz`` are written.

        Raises
        ------
        BackendMissingError
            A package is missing; whatever else goes wrong is in the cell.
        """
        entry = next((entry for entry in self.models() if entry.name == name), None)
        if entry is None:
            raise OptionError(f"{type(self).__name__} has no model {name!r}.")
        path = directory / f"{name}.onnx"
        onnx: Any = backend("onnx", self)
        try:
            model = entry.make()
            inputs = self.inputs_of(model)
            outputs = self.run(model, inputs)
            self.export_model(model, path)
            onnx.checker.check_model(str(path), full_check=True)
            _check_inputs(onnx.load(str(path)).graph, inputs)
        except BackendMissingError:
            raise
        # A converter can fail in any way; that is what the grid is to show.
        except Exception as error:
            return Cell(self.framework, name, "", "export error", _reason(error))
        arrays = {f"input_{i}": values for i, values in enumerate(inputs)}
        arrays |= {f"output_{i}": values for i, values in enumerate(outputs)}
        np.savez(path.with_suffix(".npz"), **arrays)  # type: ignore[arg-type]
        return Cell(self.framework, name, "", "supported", f"{path.stat().st_size} bytes")

    def imported(self, exporter: str, name: str, directory: Path) -> Cell:
        """Import what :meth:`exported` of any framework wrote, run it and compare.

        Raises
        ------
        BackendMissingError
            A package is missing; whatever else goes wrong is in the cell.
        """
        with np.load(directory / f"{name}.npz") as arrays:
            kept = dict(arrays)
        inputs = [values for key, values in kept.items() if key.startswith("input_")]
        expected = [values for key, values in kept.items() if key.startswith("output_")]

        def cell(verdict: str, detail: str = "", difference: float | None = None) -> Cell:
            return Cell(exporter, name, self.importer, verdict, detail, difference)

        try:
            model = self.import_model(directory / f"{name}.onnx")
            found = self.run(model, inputs)
        except BackendMissingError:
            raise
        except NotImplementedError as error:
            return cell("unverified", _reason(error))
        except Exception as error:
            return cell("import error", _reason(error))
        difference = relative_difference(expected, found)
        verdict = "supported" if difference <= self.tolerance else "different"
        return cell(verdict, difference=difference)


def _check_inputs(graph: Any, inputs: Sequence[Array]) -> None:
    """See whether the file takes what the model takes: exporters may lose constants."""
    constants = {constant.name for constant in graph.initializer}
    names = [given.name for given in graph.input if given.name not in constants]
    if len(names) != len(inputs):
        raise ModelError(
            f"The file takes {len(names)} inputs ({', '.join(names)}), the model {len(inputs)}."
        )


def _reason(error: Exception) -> str:
    """Return the line of an error that says most: one that names an operator, or the first."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    line = next((one for one in lines if _OPERATOR.search(one)), lines[0] if lines else "")
    if len(line) > _LONGEST_REASON:
        line = f"{line[:_LONGEST_REASON]}..."
    if isinstance(error, EdgeTesterError | NotImplementedError) and line:
        return line
    return f"{type(error).__name__}: {line}"


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
