"""Text from others, before it reaches a log, a terminal or a message."""

from __future__ import annotations

NAME_LIMIT = 80


def printable(text: str, limit: int = NAME_LIMIT) -> str:
    """Return a text on one line: nothing in it moves a cursor, colours, or hides what follows.

    Parameters
    ----------
    text : str
        From anybody.
    limit : int
        Most characters to keep; the end of a longer one becomes ``...``.
    """
    # Before looking at each character: a peer decides how many there are.
    cut = text[: limit + 1]
    # Unprintable by Unicode: controls, escapes, marks of direction, separators, surrogates.
    clean = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in cut)
    return clean if len(clean) <= limit else f"{clean[: limit - 3]}..."
