"""How tuning goes on, on the terminal."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

from edge_tester.core.backends import backend

_STANDARD_ERROR = 2


@contextlib.contextmanager
def progress() -> Iterator[Callable[[int, int], None]]:
    """Give what draws the trials done on the terminal, if standard error is one.

    It keeps drawing while standard error is held back.
    """
    with contextlib.ExitStack() as stack:
        terminal = stack.enter_context(os.fdopen(os.dup(_STANDARD_ERROR), "w"))
        if not terminal.isatty():
            yield lambda done, total: None
            return
        rich: Any = backend("rich.progress", "TVMCompiler")
        console: Any = backend("rich.console", "TVMCompiler").Console(file=terminal)
        bar = stack.enter_context(
            rich.Progress(
                rich.TextColumn("Tuning"),
                rich.BarColumn(),
                rich.TextColumn("{task.fields[trials]}"),
                rich.TimeElapsedColumn(),
                console=console,
                auto_refresh=False,
            )
        )
        task = bar.add_task("", total=None, visible=False, trials="")

        def show(done: int, total: int) -> None:
            trials = f"{done}/{total} trials" if total else f"{done} trials"
            bar.update(
                task,
                completed=done,
                total=total or None,
                visible=True,
                trials=trials,
                refresh=True,
            )

        yield show
