"""Pages that are put together from texts, tables and plots, in the style of the reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from edge_tester.report._details import Table
from edge_tester.report._theme import DARK, FONTS, LIGHT
from edge_tester.report.plots import WIDTH, Drawing
from edge_tester.report.render import Shown, template, write


class Section(NamedTuple):
    """A chapter of a page.

    Attributes
    ----------
    anchor : str
        Its place, for links; unique on the page.
    title : str
    sentences : sequence of str
        What it comes to, for those who read nothing else.
    tables : sequence of Table
    drawings : sequence of Drawing
    folded : sequence of Table
        Shown when somebody asks for them.
    notes : sequence of str
        Doubts, and how to read it.
    links : sequence of (str, str)
        Texts and places of further files, relative to the page.
    """

    anchor: str
    title: str
    sentences: Sequence[str] = ()
    tables: Sequence[Table] = ()
    drawings: Sequence[Drawing] = ()
    folded: Sequence[Table] = ()
    notes: Sequence[str] = ()
    links: Sequence[tuple[str, str]] = ()


class Page(NamedTuple):
    """A page.

    Attributes
    ----------
    kind, title : str
    about : sequence of str
        When, where, of what.
    findings : sequence of str
        What it comes to, in large type.
    cautions : sequence of str
        What makes that doubtful.
    sections : sequence of Section
    """

    kind: str
    title: str
    about: Sequence[str]
    findings: Sequence[str]
    cautions: Sequence[str]
    sections: Sequence[Section]


def render_page(page: Page, path: Path) -> None:
    """Write a page as one HTML file that needs nothing else.

    Raises
    ------
    RecordError
        It cannot be written.
    """
    plots = [
        [Shown(one, one.svg(f"{section.anchor}-{one.name}-", themed=True)) for one in drawings]
        for section in page.sections
        for drawings in [section.drawings]
    ]
    text = template("page.html.j2", autoescape=True).render(
        page=page, plots=plots, light=LIGHT, dark=DARK, fonts=FONTS, WIDTH=WIDTH
    )
    write(path, text.encode("utf-8", "replace"))
