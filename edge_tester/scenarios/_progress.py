"""Show on a terminal how a run goes on; elsewhere stay quiet."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Literal

from edge_tester.core.backends import backend
from edge_tester.core.run.observer import Observer

# Drawing takes processor time that the target may need: rarely, and never in a thread.
_REDRAW_S = 0.25


class TerminalProgress(Observer):
    """Draws a bar with rate and remaining time on standard error."""

    def __enter__(self) -> TerminalProgress:
        """Begin."""
        rich_progress = backend("rich.progress", "edge-tester")
        console = backend("rich.console", "edge-tester").Console(stderr=True)
        self._console: Any = console
        self._classes: Any = rich_progress
        self._bar: Any = None
        self._task: Any = None
        self._pending = 0
        self._drawn_s = 0.0
        return self

    def begin(self, what: str, total: int, unit: Literal["bytes", "samples"]) -> None:
        """Draw a new bar."""
        self._finish()
        if not sys.stderr.isatty():
            return
        classes = self._classes
        amount = classes.DownloadColumn() if unit == "bytes" else classes.MofNCompleteColumn()
        self._bar = classes.Progress(
            classes.TextColumn("{task.description:<10}"),
            classes.BarColumn(),
            amount,
            classes.TextColumn("{task.fields[rate]}"),
            classes.TimeRemainingColumn(),
            console=self._console,
            auto_refresh=False,
        )
        self._begun_s = time.monotonic()
        self._unit = unit
        self._task = self._bar.add_task(what, total=total, rate="")
        self._bar.start()

    def advance(self, count: int) -> None:
        """Count, and redraw now and then."""
        self._pending += count
        if self._bar is not None and time.monotonic() - self._drawn_s > _REDRAW_S:
            self._draw()

    def tell(self, text: str) -> None:
        """Print a line."""
        self._finish()
        self._console.print(text, highlight=False, soft_wrap=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last bar as it is."""
        self._finish()

    def _draw(self) -> None:
        self._drawn_s = time.monotonic()
        self._bar.advance(self._task, self._pending)
        self._pending = 0
        done = self._bar.tasks[0].completed
        rate = done / max(1e-9, self._drawn_s - self._begun_s)
        shown = f"{rate / 1e6:.1f} MB/s" if self._unit == "bytes" else f"{rate:.0f}/s"
        self._bar.update(self._task, rate=shown)
        self._bar.refresh()

    def _finish(self) -> None:
        if self._bar is not None:
            self._draw()
            self._bar.stop()
        self._bar = None
        self._pending = 0
