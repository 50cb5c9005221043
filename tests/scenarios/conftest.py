"""A user's folder, and the commands as a user types them there."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
TIME_LIMIT_S = 240


class User:
    """Somebody who types commands in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scratch = folder / "scratch"
        self.scratch_of_agents = folder / "scratch of agents"
        for path in (self.scratch, self.scratch_of_agents):
            path.mkdir()

    def start(self, *words: object, agent: bool = False, **arguments: object) -> subprocess.Popen:
        """Start ``edge-tester`` with these words, or ``python`` if that comes first."""
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(self.folder)]),
            "TMPDIR": str(self.scratch_of_agents if agent else self.scratch),
        }
        command = [sys.executable, "-m", "edge_tester"]
        if words[0] == "python":
            command, words = command[:1], words[1:]
        return subprocess.Popen(
            [*command, *map(str, words)],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **arguments,
        )

    def run(self, *words: object, **arguments: object) -> tuple[int, str, str]:
        """Run a command; return its exit status, output and errors."""
        process = self.start(*words, **arguments)
        output, errors = process.communicate(timeout=TIME_LIMIT_S)
        assert "Traceback" not in errors, errors
        return process.returncode, output, errors

    def does(self, *words: object) -> str:
        """Run a command that succeeds; return its output."""
        status, output, errors = self.run(*words)
        assert 0 == status, errors
        self.assert_clean()
        return output

    def refused(self, *words: object, **arguments: object) -> str:
        """Run a command that is refused in one line; return the line."""
        status, _, errors = self.run(*words, **arguments)
        assert 2 == status, errors
        *notes, last = errors.splitlines()
        # What was chosen for the user is said before; a traceback never.
        assert all(note.startswith(("No ", "Compiling ", "Incomplete ")) for note in notes), errors
        assert last.startswith("error: "), errors
        self.assert_clean()
        return last.removeprefix("error: ")

    def assert_clean(self) -> None:
        """Nothing is left in the folder for temporary files, and no half-written file."""
        assert [] == [path.name for path in self.scratch.glob("edge_tester-*")]
        # Temporary names of files that are written in one go.
        hidden = [path for path in self.folder.rglob(".*") if path.is_file()]
        assert [] == [path for path in hidden if self.scratch not in path.parents]

    @contextlib.contextmanager
    def agent(self, *words: object, **arguments: object) -> Iterator[tuple[subprocess.Popen, str]]:
        """Start an agent; give its process and its port."""
        words = words or ("server", "network", "tflite", "--port", 0)
        process = self.start(*words, agent=True, **arguments)
        line = process.stdout.readline()
        found = re.match(r"edge_tester agent on .*?(?::(\d+))? runs \w+", line)
        if not found:
            process.kill()
        assert found, process.communicate()[1]
        try:
            yield process, found.group(1)
        finally:
            process.terminate()
            process.communicate(timeout=20)
            assert [] == list(self.scratch_of_agents.glob("edge_tester-*"))


@pytest.fixture(scope="module")
def user(tmp_path_factory) -> User:
    """A user with the shipped models and the digits as files."""
    from sklearn.datasets import load_digits

    user = User(tmp_path_factory.mktemp("user"))
    for suffix in ("tflite", "onnx"):
        shutil.copy(ROOT / f"edge_tester/resources/digits.{suffix}", user.folder / f"m.{suffix}")
    digits = load_digits()
    images = (digits.images[..., np.newaxis] / 16).astype(np.float32)
    np.savez(user.folder / "data.npz", x=images, y=digits.target)
    return user


def pytest_collection_modifyitems(items) -> None:
    """A command that hangs shall not hold up everything; some say themselves how long they take."""
    for item in items:
        if "tests/scenarios/" in item.nodeid and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIME_LIMIT_S + 30))
