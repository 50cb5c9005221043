"""Reports: what run records say, as HTML, reStructuredText or Markdown."""

from edge_tester.report.render import render_html, render_text

__all__ = ["render_html", "render_text"]
