"""See which models survive the way through ONNX: ``edge-tester onnx-conversion``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from edge_tester.core.errors import BackendMissingError, IsolationError, OptionError
from edge_tester.core.making.isolation import isolated
from edge_tester.core.onnxconversion import Cell, ONNXConversion
from edge_tester.core.options import Configurable, hint, option, path_of
from edge_tester.core.registry import load, names
from edge_tester.report.grid import render_grid
from edge_tester.scenarios._command import Command
from edge_tester.scenarios._onnx_steps import (
    Job,
    converter_of,
    export_step,
    import_step,
    prepare_step,
)
from edge_tester.scenarios._program import Logging, guard
from edge_tester.scenarios._progress import TerminalProgress


class Grid(Configurable):
    """What is converted, and how long it may take."""

    converters_list: tuple[str, ...] = option(
        (), help="Frameworks and importers, short names or dotted paths; all if not given"
    )
    models_list: tuple[str, ...] = option((), help="Names of the models to convert; all by default")
    tolerance: float = option(
        1e-3, minimum=0, help="Largest relative difference of outputs that counts as equal"
    )
    time_limit_s: float = option(
        300.0, minimum=1, unit="s", help="Time allowed for each export and each import"
    )


COMMAND = Command(
    "onnx-conversion",
    "Export the models of each framework to ONNX, check the files, import them again, run "
    "them and compare the outputs with those of the original. Each step is a process of "
    "its own. The grid is written as .rst, .html and .json.",
    extras=(Grid,),
    trailing=("onnx_directory", "grid_path"),
)


def converted(
    grid: Grid, onnx_directory: Path, progress: TerminalProgress | None = None
) -> Iterator[Cell]:
    """Yield the cells of a support grid, row by row.

    Parameters
    ----------
    grid : Grid
    onnx_directory : Path
        Where the ONNX files are written, in a folder per framework.
    progress : TerminalProgress, optional
    """
    paths = [_path(name) for name in grid.converters_list or names("onnxconverters")]
    converters = {path: converter_of(path, grid.tolerance) for path in paths}
    listed = [(path, entry.name) for path, one in converters.items() for entry in one.models()]
    _check_models(grid.models_list, [name for _, name in listed])
    chosen = [(p, name) for p, name in listed if name in grid.models_list or not grid.models_list]
    unprepared = {path: _unprepared(path, one) for path, one in converters.items()}
    for number, (path, name) in enumerate(chosen, 1):
        exporter = converters[path]
        folder = onnx_directory / type(exporter).__module__.rpartition(".")[2]
        folder.mkdir(parents=True, exist_ok=True)
        job = Job(grid.tolerance, exporter.framework, name, folder)
        for cell in _row(path, converters, unprepared, job, grid.time_limit_s):
            if progress is not None:
                where = f"[{number}/{len(chosen)}] {exporter.framework} {name}"
                progress.tell(f"{where} -> {cell.importer or 'ONNX'}: {cell.verdict}")
            yield cell


def _unprepared(path: str, converter: ONNXConversion) -> str:
    """Let a converter get what importing needs, for which no time is too long.

    Returns
    -------
    str
        Why it cannot, or nothing.
    """
    if converter.imports:
        try:
            isolated(prepare_step, path, converter.tolerance)
        except (BackendMissingError, IsolationError) as error:
            return str(error)
    return ""


def _row(
    exporter: str,
    converters: Mapping[str, ONNXConversion],
    unprepared: Mapping[str, str],
    job: Job,
    time_limit_s: float,
) -> Iterator[Cell]:
    export = _step(export_step, exporter, job, time_limit_s, "")
    yield export
    for path, converter in converters.items():
        # A framework without importer has a say about its own models alone.
        if not converter.imports and path != exporter:
            continue
        if export.verdict == "export error":
            yield Cell(job.framework, job.model, converter.importer, "export error")
        elif unprepared[path]:
            yield Cell(
                *(job.framework, job.model, converter.importer), "unverified", unprepared[path]
            )
        else:
            yield _step(import_step, path, job, time_limit_s, converter.importer)


def _step(
    function: Callable[[str, Job], Cell],
    converter: str,
    job: Job,
    time_limit_s: float,
    importer: str,
) -> Cell:
    try:
        return isolated(function, converter, job, timeout_s=time_limit_s)
    except IsolationError as error:
        verdict = "import error" if importer else "export error"
        return Cell(job.framework, job.model, importer, verdict, str(error))


def _path(name: str) -> str:
    return path_of(load("onnxconverters", name))


def _check_models(wanted: Sequence[str], known: Sequence[str]) -> None:
    for name in wanted:
        if name not in known:
            raise OptionError(f"No converter has a model {name!r}{hint(name, known)}")


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    parsed = COMMAND.parse(arguments)
    parsed.extra(Logging).start()
    path = Path(parsed.trailing["grid_path"])
    if path.suffix != ".rst":
        raise OptionError(f"The support grid ends with .rst, got {path.name!r}.")
    with TerminalProgress() as progress:
        directory = Path(parsed.trailing["onnx_directory"])
        cells = list(converted(parsed.extra(Grid), directory, progress))
    for written in render_grid(cells, path):
        print(f"Grid: {written}")


if __name__ == "__main__":
    sys.exit(guard(main))
