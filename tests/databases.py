"""A real PostgreSQL server of its own for a test."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

LIMIT_S = 60
# Of Debian's packages, which put them on nobody's path.
_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


class Server(NamedTuple):
    """Where it listens, without the password, and the file that tells it."""

    address: str
    password_file: Path


@contextlib.contextmanager
def postgresql() -> Iterator[Server]:
    """Start a server that asks for a password; skip the test where there is none."""
    found = [folder for folder in _FOLDERS if (folder / "initdb").exists()]
    if found:
        programs = found[0]
    elif path := shutil.which("initdb"):
        programs = Path(path).parent
    else:
        pytest.skip("PostgreSQL's initdb is not installed")
    pytest.importorskip("psycopg")
    owner = _owner()
    # Others must be able to enter it, unlike the folders of pytest.
    folder = Path(tempfile.mkdtemp(prefix="et-database-", dir="/tmp"))
    try:
        (folder / "password").write_text("a secret")
        if owner:
            shutil.chown(folder, owner["user"], owner["group"])
            shutil.chown(folder / "password", owner["user"], owner["group"])
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        data = folder / "data"
        words = ("-U", "tester", "-A", "scram-sha-256", "--pwfile", folder / "password", "-N")
        command = [programs / "initdb", "-D", data, *words]
        environment = {"LC_ALL": "C", "PATH": os.environ["PATH"]}
        started = {"cwd": folder, "env": environment, **owner}
        done = subprocess.run(command, capture_output=True, text=True, check=False, **started)
        assert 0 == done.returncode, done.stderr
        command = [programs / "postgres", "-D", data, "-k", folder, "-h", "127.0.0.1"]
        command += ["-p", str(port), "-c", "fsync=off"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, **started)
        try:
            _wait_for(port, folder / "log", process)
            passwords = folder / "passwords"
            passwords.write_text(f"127.0.0.1:{port}:*:tester:a secret\n")
            passwords.chmod(0o600)
            yield Server(f"postgresql+psycopg://tester@127.0.0.1:{port}/postgres", passwords)
        finally:
            # What is not finished is rolled back, whoever is connected.
            process.send_signal(signal.SIGINT)
            process.wait(LIMIT_S)
    finally:
        shutil.rmtree(folder)


def _owner() -> dict[str, object]:
    """Return who runs it: PostgreSQL refuses to be run by root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    pytest.skip("there is no user postgres or nobody to run PostgreSQL")


def _wait_for(port: int, log: Path, process: subprocess.Popen[bytes]) -> None:
    end_s = time.monotonic() + LIMIT_S
    while "ready to accept connections" not in log.read_text():
        assert process.poll() is None and time.monotonic() < end_s, log.read_text()
        time.sleep(0.05)
