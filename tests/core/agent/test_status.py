"""The word that a model can write to as it likes."""

import os
import sys

import pytest

from edge_tester.core.agent import status
from edge_tester.core.agent.status import Activity, Status


@pytest.fixture(params=["memory", "file"])
def shared(request, monkeypatch):
    """The descriptor of a shared word, as on Linux and as elsewhere."""
    if request.param == "file":
        monkeypatch.delattr(os, "memfd_create", raising=False)
    descriptor = status.create()
    yield descriptor
    os.close(descriptor)


def test_what_one_side_writes_the_other_reads(shared):
    assert (Activity.STARTING, 0) == status.read(shared)
    word = Status(shared)
    for number, activity in enumerate((Activity.WAITING, Activity.RUNNING, Activity.WAITING), 1):
        word.write(activity)
        assert (activity, number) == status.read(shared)
    word.close()


def test_a_word_that_was_cut_off_is_noticed(monkeypatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    descriptor = status.create()
    for size_bytes in (7, 0):
        os.ftruncate(descriptor, size_bytes)
        assert status.read(descriptor) is None
    os.close(descriptor)


@pytest.mark.skipif(sys.platform != "linux", reason="needs sealed files in memory")
@pytest.mark.parametrize("size_bytes", [0, 1 << 20])
def test_nobody_changes_the_size_of_the_word(size_bytes):
    descriptor = status.create()
    with pytest.raises(PermissionError):
        os.ftruncate(descriptor, size_bytes)
    os.close(descriptor)


def test_a_descriptor_that_is_gone_is_noticed():
    descriptor = status.create()
    os.close(descriptor)
    assert status.read(descriptor) is None
