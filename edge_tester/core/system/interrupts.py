"""Ctrl-C that waits until what belongs together is done."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

_asked: list[int] = []


def note(number: int) -> None:
    """Remember that the program was asked to end, by the number of the signal."""
    _asked.append(number)


def forget() -> None:
    """Begin anew, or be done with it."""
    _asked.clear()


def heed() -> None:
    """End if that was asked for, and Python has let it pass.

    What a signal's handler raises is ignored where nobody could catch it: in a finalizer, a
    callback of a weak reference, a hook of ``fork``. Whoever goes on for long calls this.

    Raises
    ------
    KeyboardInterrupt
    """
    if _asked:
        raise KeyboardInterrupt


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until the block has ended; for blocks that take no time.

    Only the main thread hears of Ctrl-C; in others this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if pressed:
            signal.raise_signal(signal.SIGINT)
