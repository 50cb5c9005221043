"""Write reports: one HTML file, or text with its plots beside it."""

from __future__ import annotations

import os
import re
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edge_tester.core.backends import backend
from edge_tester.core.errors import OptionError, RecordError
from edge_tester.core.record import RunRecord
from edge_tester.core.results.words import NOT_AVAILABLE
from edge_tester.core.statistics.comparing import MARGIN
from edge_tester.core.system.files import write_atomically
from edge_tester.report._comparison_plots import comparison_drawings
from edge_tester.report._record_plots import record_drawings
from edge_tester.report._theme import DARK, FONTS, LIGHT, series_name
from edge_tester.report.context import Report, report_of
from edge_tester.report.plots import WIDTH, Drawing

TEXT_SUFFIXES = (".rst", ".md")
# What is behind a report's name in the name of the folder beside it.
PLOTS = "_plots"


class Shown(NamedTuple):
    """A drawing as a template uses it."""

    drawing: Drawing
    content: str


def render_html(
    records: Sequence[RunRecord],
    path: Path,
    failures: Sequence[tuple[str, str]] = (),
    *,
    sources: Sequence[Path] = (),
    baseline: str | None = None,
    margin: float = MARGIN,
) -> None:
    """Write a report as one HTML file that needs nothing else.

    Parameters
    ----------
    records : sequence of RunRecord
        At least one; several are compared.
    path : Path
        Missing folders are made.
    failures : sequence of (str, str)
        Names of runs that gave no record, and why.
    sources : sequence of Path
        The files of the records, or none of them; the report links them.
    baseline : str, optional
        Name of the record with which all are compared; the first by default.
    margin : float
        Relative difference of the latency that does not matter.

    Raises
    ------
    OptionError
        No record has the name of the baseline.
    RecordError
        There is no record, or the file cannot be written.
    """
    report = report_of(
        _checked(records), failures, sources=sources, baseline=baseline, margin=margin
    )

    def shown(drawings: Sequence[Drawing], anchor: str) -> list[Shown]:
        return [Shown(one, one.svg(f"{anchor}-{one.name}-", themed=True)) for one in drawings]

    text = template("report.html.j2", autoescape=True).render(
        report=report,
        comparison=shown(comparison_drawings(report) if report.compares else [], "all"),
        plots=[shown(record_drawings(view), view.anchor) for view in report.views],
        light=LIGHT,
        dark=DARK,
        fonts=FONTS,
        WIDTH=WIDTH,
        NOT_AVAILABLE=NOT_AVAILABLE,
        series_name=series_name,
        links=_links(report, path),
    )
    write(path, text.encode("utf-8", "replace"))


def render_text(
    records: Sequence[RunRecord],
    path: Path,
    *,
    sources: Sequence[Path] = (),
    baseline: str | None = None,
    margin: float = MARGIN,
) -> None:
    """Write a report as reStructuredText or Markdown, with plots beside it.

    Parameters
    ----------
    records : sequence of RunRecord
        At least one; several are compared.
    path : Path
        With the suffix ``.rst`` or ``.md``. Plots are written as PNG and SVG
        into the folder ``<stem>_plots`` beside it.
    sources : sequence of Path
        The files of the records, or none of them; the report links them.
    baseline : str, optional
        Name of the record with which all are compared; the first by default.
    margin : float
        Relative difference of the latency that does not matter.

    Raises
    ------
    OptionError
        The suffix is another, or no record has the name of the baseline.
    RecordError
        There is no record, or a file cannot be written.
    """
    if path.suffix not in TEXT_SUFFIXES:
        raise OptionError(f"A report in text ends with .rst or .md, got {path.name!r}.")
    report = report_of(_checked(records), sources=sources, baseline=baseline, margin=margin)
    folder = path.parent / f"{path.stem}{PLOTS}"

    def shown(drawings: Sequence[Drawing], anchor: str) -> list[Shown]:
        for one in drawings:
            file = folder / f"{anchor}-{one.name}"
            write(file.with_suffix(".svg"), one.svg("", themed=False).encode("utf-8", "replace"))
            write(file.with_suffix(".png"), one.png())
        return [Shown(one, f"{folder.name}/{anchor}-{one.name}.png") for one in drawings]

    text = template(f"report{path.suffix}.j2", autoescape=False).render(
        report=report,
        comparison=shown(comparison_drawings(report) if report.compares else [], "all"),
        plots=[shown(record_drawings(view), view.anchor) for view in report.views],
        links=_links(report, path),
    )
    write(path, re.sub(r"\n{3,}", "\n\n", text).encode("utf-8", "replace"))


def _checked(records: Sequence[RunRecord]) -> Sequence[RunRecord]:
    if not records:
        raise RecordError("A report needs at least one run record, got none.")
    return records


def _links(report: Report, path: Path) -> list[str]:
    """Return the way from the report to the file of each record, empty if that is not known."""
    folder = path.resolve().parent
    sources = [view.source for view in report.views]
    return [
        urllib.parse.quote(Path(os.path.relpath(source.resolve(), folder)).as_posix())
        if source
        else ""
        for source in sources
    ]


def template(name: str, *, autoescape: bool) -> Any:
    """Return one of this package's templates."""
    jinja2 = backend("jinja2", "The report")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("edge_tester.report"),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["rst"] = _escaped_rst
    environment.filters["link"] = urllib.parse.quote
    environment.filters["markdown"] = escaped_markdown
    return environment.get_template(name)


def _escaped_rst(text: str) -> str:
    """Return a text in which reStructuredText finds no markup."""
    return re.sub(r"([\\*`|_<>\[\]:])", r"\\\1", " ".join(text.split())) or "\\ "


def escaped_markdown(text: str) -> str:
    """Return a text in which Markdown finds neither markup nor HTML.

    Only what would be markup where it stands is escaped, so that the text stays readable
    as it is: ``num_threads`` and ``(1, 8)`` are none.

    Notes
    -----
    Source: GitHub Flavored Markdown Spec 0.29, sections 4 and 6.
    """
    text = " ".join(text.split()).replace("\\", "\\\\")
    text = re.sub(r"&(?=#?\w+;)", "&amp;", text).replace("<", "&lt;")
    text = re.sub(r"([`|~]|\](?=[(\[])|!(?=\[))", r"\\\1", text)
    # Between spaces they are only signs; so are underscores within a word.
    text = re.sub(r"(?<!\s)\*|\*(?!\s)", r"\\*", text)
    text = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)
    # Headings, lists and quotations, where a line begins.
    text = re.sub(r"^(#{1,6}(?= |$)|[-+*](?= |$)|>|[-=_]{3,}$)", r"\\\1", text)
    return re.sub(r"^(\d+)([.)])(?= |$)", r"\1\\\2", text)


def write(path: Path, content: bytes) -> None:
    """Write a file of a report; RecordError if that fails."""
    try:
        write_atomically(path, content)
    except OSError as error:
        raise RecordError(f"The report {path} cannot be written: {error.strerror}.") from error
