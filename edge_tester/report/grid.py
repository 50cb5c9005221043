"""Write the ONNX support grid: one row per model, one column per importer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from edge_tester.core.errors import OptionError
from edge_tester.core.onnxconversion import Cell
from edge_tester.report._theme import DARK, FONTS, LIGHT
from edge_tester.report.render import template, write

# Verdict -> what it means.
VERDICTS = {
    "supported": "the outputs agree with those of the original model",
    "different": "it runs, but its outputs differ by this part of the largest output",
    "export error": "the framework could not write the model as ONNX",
    "import error": "the file was not read, or did not run",
    "unverified": "nothing could be compared",
}
_EXPORT = "Export"


class Row(NamedTuple):
    """One model, its cells in the order of the columns; None where nothing was tried."""

    model: str
    exporter: str
    cells: list[Cell | None]


def render_grid(cells: Sequence[Cell], path: Path) -> list[Path]:
    """Write a grid as reStructuredText, and as HTML and JSON beside it.

    Parameters
    ----------
    cells : sequence of Cell
    path : Path
        With the suffix ``.rst``.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    OptionError
        The suffix is another.
    RecordError
        A file cannot be written.
    """
    if path.suffix != ".rst":
        raise OptionError(f"The support grid ends with .rst, got {path.name!r}.")
    columns = list(dict.fromkeys(cell.importer or _EXPORT for cell in cells))
    rows = _rows(cells, columns)
    values = {"columns": columns, "rows": rows, "verdicts": VERDICTS, "failed": _failed(cells)}
    html = template("grid.html.j2", autoescape=True).render(
        **values, light=LIGHT, dark=DARK, fonts=FONTS
    )
    text = template("grid.rst.j2", autoescape=False).render(**values)
    json = msgspec.json.format(msgspec.json.encode(list(cells)), indent=1)
    paths = [path, path.with_suffix(".html"), path.with_suffix(".json")]
    for one, content in zip(paths, (text.encode(), html.encode(), json + b"\n"), strict=True):
        write(one, content)
    return paths


def _rows(cells: Sequence[Cell], columns: Sequence[str]) -> list[Row]:
    found: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in cells:
        row = found.setdefault((cell.exporter, cell.model), {})
        row[cell.importer or _EXPORT] = cell
    return [
        Row(model, exporter, [row.get(column) for column in columns])
        for (exporter, model), row in found.items()
    ]


def _failed(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells with a reason worth reading, each export error once."""
    return [
        cell
        for cell in cells
        if cell.detail and cell.verdict != "supported"
        if not (cell.verdict == "export error" and cell.importer)
    ]
