"""Reports: what run records say, as HTML, reStructuredText or Markdown."""

from collections.abc import Callable
from pathlib import Path

from edge_tester.report.page import Page, Section, render_page
from edge_tester.report.render import render_html, render_text

__all__ = ["SUFFIXES", "Page", "Section", "draw", "render_html", "render_page", "render_text"]

SUFFIXES = (".html", ".rst", ".md")


def draw(path: Path) -> Callable[..., None]:
    """Return what renders a report for the suffix of a file."""
    return render_html if path.suffix == ".html" else render_text
