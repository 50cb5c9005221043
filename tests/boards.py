"""Fixtures of a board behind a real sshd, without a network."""

import os

import pytest

from tests.sshd import running_board
from tests.wheelhouse import write_wheels

# An index that cannot be reached, and nothing that this machine's configuration adds.
OFFLINE = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": "/dev/null"}


@pytest.fixture(scope="module")
def board_wheels(tmp_path_factory):
    """What the host's pip finds, in place of an index."""
    folder = tmp_path_factory.mktemp("wheels")
    write_wheels(folder, ["numpy", "msgspec", "ai-edge-litert"])
    return folder


@pytest.fixture(scope="module")
def board_server():
    """The board, for all tests of a module."""
    with running_board(OFFLINE) as board:
        yield board


@pytest.fixture
def board_environment(board_server, board_wheels, tmp_path_factory, monkeypatch):
    """Variables of the host: the ssh that knows the board, a cache and an index of its own."""
    changed = {
        "PATH": f"{board_server.folder / 'bin'}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path_factory.getbasetemp() / "host-cache"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(board_wheels),
        "PIP_CONFIG_FILE": os.devnull,
    }
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, **changed}


@pytest.fixture
def board(board_server, board_environment):
    """The board; nothing of its account may run when a test ends."""
    yield board_server
    board_server.wait_for_no_process()
