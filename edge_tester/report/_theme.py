"""Colours of a report, by the names that style sheet and plots share.

The series follow M. Okabe and K. Ito, "Color Universal Design" (2008), darkened
or lightened until lines stand out from their background; markers tell the
series apart as well.
"""

from __future__ import annotations

LIGHT = {
    "paper": "#fdfdfb",
    "panel": "#f5f5f1",
    "ink": "#1d2126",
    "muted": "#646b73",
    "rule": "#d9dad6",
    "accent": "#0b62a8",
    "supported": "#1a7f37",
    "warning": "#9a5b00",
    "series-1": "#0072b2",
    "series-2": "#c94f00",
    "series-3": "#008a63",
    "series-4": "#a8508a",
    "series-5": "#8a6f00",
    "series-6": "#5a4fbf",
    "series-7": "#5f6b7a",
    "series-8": "#1f8fb8",
}
DARK = {
    "paper": "#15181c",
    "panel": "#1d2126",
    "ink": "#e6e8ea",
    "muted": "#9aa2ab",
    "rule": "#363c43",
    "accent": "#6cb6f5",
    "supported": "#57c878",
    "warning": "#e0a345",
    "series-1": "#56b4e9",
    "series-2": "#ff8f4d",
    "series-3": "#3ccf9e",
    "series-4": "#e795c8",
    "series-5": "#e2c044",
    "series-6": "#aaa0f7",
    "series-7": "#a6b1be",
    "series-8": "#86dcf2",
}
FONTS = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
SERIES = 8
# matplotlib's names; drawn at the same size they are told apart without colour.
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "p")


def series_name(position: int) -> str:
    """Return the name of a record's colour."""
    return f"series-{position % SERIES + 1}"


def marker(position: int) -> str:
    """Return a record's marker; colour and marker repeat together only after 64 records."""
    return MARKERS[(position + position // SERIES) % len(MARKERS)]
