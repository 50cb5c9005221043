"""Read ahead in a second thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

Item = TypeVar("Item")
_ITEMS_AHEAD = 2


def read_ahead(source: Iterator[Item]) -> Generator[Item, None, None]:
    """Make the next items in a second thread while the first is used.

    An error of the source is raised where its item would have been given.
    """
    ready: queue.Queue[Item | BaseException | None] = queue.Queue(_ITEMS_AHEAD)
    given_up = threading.Event()

    def put(item: Item | BaseException | None) -> None:
        while not given_up.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def make() -> None:
        try:
            for item in source:
                put(item)
                if given_up.is_set():
                    return
            put(None)
        # It belongs to the thread that takes the items.
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        given_up.set()
        thread.join()
