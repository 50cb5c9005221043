import threading
import time

import pytest

from edge_tester.core.run.readahead import read_ahead


def threads() -> int:
    return threading.active_count()


def test_order_is_kept():
    before = threads()
    assert list(range(1000)) == list(read_ahead(iter(range(1000))))
    assert before == threads()


def test_nothing_gives_nothing():
    assert [] == list(read_ahead(iter(())))


def test_an_error_comes_where_its_item_would():
    before, seen = threads(), []

    def source():
        yield from range(5)
        raise KeyError("the sixth")

    with pytest.raises(KeyError, match="the sixth"):
        for item in read_ahead(source()):
            seen.append(item)
    assert list(range(5)) == seen
    assert before == threads()


def test_no_more_than_a_few_items_are_made_ahead():
    made = []

    def source():
        for index in range(1000):
            made.append(index)
            yield index

    items = read_ahead(source())
    assert 0 == next(items)
    time.sleep(0.2)
    # Two wait in line and one more in the hands of the thread.
    assert len(made) <= 4
    items.close()


def test_whoever_stops_early_leaves_no_thread():
    before, closed = threads(), []

    def source():
        try:
            yield from range(1000)
        finally:
            closed.append(True)

    items = read_ahead(source())
    assert 0 == next(items)
    assert before + 1 == threads()
    items.close()
    assert before == threads()
    # What the source holds open, a file perhaps, is closed with it.
    assert [True] == closed


def test_it_really_reads_ahead():
    made = threading.Event()

    def source():
        yield 0
        made.set()
        yield 1

    items = read_ahead(source())
    assert 0 == next(items)
    assert made.wait(30)
    assert [1] == list(items)
