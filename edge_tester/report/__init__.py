"""Reports: what run records say, as HTML, reStructuredText or Markdown."""

from edge_tester.report.page import Page, Section, render_page
from edge_tester.report.render import render_html, render_text

__all__ = ["Page", "Section", "render_html", "render_page", "render_text"]
