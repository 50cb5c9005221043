"""Work that is dealt out to several targets, which do it at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

from edge_tester.core.run.observer import Observer

Item = TypeVar("Item")
Target = TypeVar("Target")


class Heard(Observer):
    """Hears of one target among several: lines with its name, and no bar.

    Parameters
    ----------
    observer : Observer
        Who is told.
    name : str
    lock : lock
        One tells at a time.
    stopped : event
        Set when all shall end: whoever reports progress then is interrupted.
    """

    def __init__(
        self, observer: Observer, name: str, lock: threading.Lock, stopped: threading.Event
    ) -> None:
        self._observer, self._name = observer, name
        self._lock, self._stopped = lock, stopped

    def advance(self, count: int) -> None:
        """End here if all shall end: Ctrl-C reaches no other thread than the first."""
        if self._stopped.is_set():
            raise KeyboardInterrupt

    def tell(self, text: str) -> None:
        """Tell who it is about."""
        with self._lock:
            self._observer.tell(f"{self._name}: {text}")


def dealt(items: Sequence[Item], targets: Sequence[Target]) -> dict[Target, list[Item]]:
    """Return which target gets which items: the same ones in every call, one after another."""
    found: dict[Target, list[Item]] = {target: [] for target in targets}
    for number, item in enumerate(items):
        found[targets[number % len(targets)]].append(item)
    return {target: own for target, own in found.items() if own}


def at_once(work: Mapping[str, Callable[[Observer], None]], observer: Observer) -> None:
    """Do the work of several targets at the same time, each in a thread.

    Parameters
    ----------
    work : mapping of str to callable
        By the name of the target, what is given whom to tell.
    observer : Observer

    Raises
    ------
    Exception, KeyboardInterrupt
        What the first of them raises; the others have been interrupted, and have kept what they
        had, as after Ctrl-C.
    """
    lock, stopped = threading.Lock(), threading.Event()
    with ThreadPoolExecutor(len(work)) as threads:
        futures = [
            threads.submit(do, Heard(observer, name, lock, stopped)) for name, do in work.items()
        ]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            stopped.set()
        for future in done:
            future.result()
