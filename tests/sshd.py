"""Debian's real sshd on a free port of loopback, with a user account of its own where root can."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
MISSING = [
    name
    for name, found in {
        "ssh": shutil.which("ssh"),
        "sshd": SSHD,
        "ssh-keygen": shutil.which("ssh-keygen"),
    }.items()
    if not found
]
needs_sshd = pytest.mark.skipif(
    bool(MISSING), reason=f"{', '.join(MISSING)} missing: apt-get install openssh-server"
)
_WAIT_LIMIT_S = 20
# An own configuration instead of the user's, by an ssh that comes first in PATH.
_SSH = '#!/bin/sh\nexec {ssh} -F {folder}/config "$@"\n'
_CLIENT = """\
Host board
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {folder}/key
Host stranger
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {folder}/other
Host restricted
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {folder}/restricted
Host unknown-key
    HostName 127.0.0.1
    Port {port}
    User {user}
    UserKnownHostsFile {folder}/no-known-hosts
    StrictHostKeyChecking yes
Host changed
    HostName 127.0.0.1
    Port {port}
    User {user}
    UserKnownHostsFile {folder}/changed
Host *
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {folder}/known
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
"""
_SERVER = """\
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
PidFile none
AuthorizedKeysFile {folder}/authorized/%u
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PrintMotd no
SetEnv {environment}
"""


class Board(NamedTuple):
    """A machine behind ssh.

    Attributes
    ----------
    user : str
        Name of the account there.
    home : Path
        Its home folder.
    folder : Path
        Configuration and keys; ``bin`` has the ssh that knows them.
    server : subprocess.Popen
    """

    user: str
    home: Path
    folder: Path
    server: subprocess.Popen

    @property
    def installed(self) -> Path:
        """Where environments lie there."""
        return self.home / ".cache" / "edge_tester"

    def processes(self) -> dict[int, str]:
        """The processes of the account, but for those of the tests themselves."""
        owner, found = pwd.getpwnam(self.user).pw_uid, {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                if folder.stat().st_uid == owner and words:
                    found[int(folder.name)] = words
        if owner == os.getuid():
            # Of this very user those that came by ssh, whose home folder is another one.
            found = {pid: words for pid, words in found.items() if self._is_home_of(pid)}
        return found

    def carrier(self) -> int:
        """The process of sshd that carries the one connection that there is."""
        parents = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (folder / "cmdline").read_bytes().startswith(b"sshd:"):
                    parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                    parents[int(folder.name)] = int(parent)
        # Where sshd runs as root, one of root's lies between.
        own = {pid for pid, parent in parents.items() if parent == self.server.pid}
        last = {pid for pid, parent in parents.items() if parent in own} or own
        (found,) = last
        return found

    def _is_home_of(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            return f"HOME={self.home}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes()
        return False

    def wait_for_no_process(self) -> None:
        """Wait until nothing of the account runs; fail if it goes on."""
        end_s = time.monotonic() + _WAIT_LIMIT_S
        while found := self.processes():
            assert time.monotonic() < end_s, found
            time.sleep(0.05)

    def forget(self) -> None:
        """Remove what was installed there."""
        shutil.rmtree(self.home / ".cache", ignore_errors=True)


@contextlib.contextmanager
def running_board(environment: Mapping[str, str]) -> Iterator[Board]:
    """Start sshd, and make an account; both are gone at the end.

    Parameters
    ----------
    environment : mapping
        Variables of every command there.
    """
    # Not in a folder of pytest's, which other users cannot enter.
    with tempfile.TemporaryDirectory(prefix="edge_tester-sshd-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        with _account(folder) as (user, home):
            _configure(folder, user, port, {**environment, "HOME": str(home)})
            log = (folder / "log").open("wb")
            command = [SSHD, "-D", "-e", "-f", str(folder / "sshd_config")]
            server = subprocess.Popen(command, stderr=log, start_new_session=True)
            try:
                _wait_for(port, server, folder / "log")
                yield Board(user, home, folder, server)
            finally:
                server.terminate()
                server.wait()
                log.close()


@contextlib.contextmanager
def _account(folder: Path) -> Iterator[tuple[str, Path]]:
    """Make a user where root can; otherwise it is this one with another home folder."""
    home = folder / "home"
    if os.getuid() != 0:
        home.mkdir()
        yield pwd.getpwuid(os.getuid()).pw_name, home
        return
    user = f"edgeboard{os.getpid()}"
    # An account with a password of "!" counts as locked.
    make = ["useradd", "--create-home", "--home-dir", str(home), "--password", "*"]
    subprocess.run([*make, "--shell", "/bin/sh", user], check=True, capture_output=True)
    home.chmod(0o700)
    try:
        yield user, home
    finally:
        for pid in Board(user, home, folder, None).processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        subprocess.run(["userdel", "--remove", user], check=False, capture_output=True)


def _configure(folder: Path, user: str, port: int, environment: Mapping[str, str]) -> None:
    for key in ("host", "key", "other", "restricted"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)]
        subprocess.run(command, check=True)
    (folder / "authorized").mkdir()
    restricted = f"restrict {(folder / 'restricted.pub').read_text()}"
    (folder / "authorized" / user).write_text((folder / "key.pub").read_text() + restricted)
    host_key = (folder / "host.pub").read_text()
    (folder / "known").write_text(f"[127.0.0.1]:{port} {host_key}")
    (folder / "changed").write_text(f"[127.0.0.1]:{port} {(folder / 'other.pub').read_text()}")
    places = {"folder": folder, "user": user, "port": port}
    variables = " ".join(f"{name}={value}" for name, value in environment.items())
    (folder / "sshd_config").write_text(_SERVER.format(**places, environment=variables))
    (folder / "config").write_text(_CLIENT.format(**places))
    (folder / "bin").mkdir()
    (folder / "bin" / "ssh").write_text(_SSH.format(ssh=shutil.which("ssh"), folder=folder))
    (folder / "bin" / "ssh").chmod(0o755)
    if os.getuid() == 0:
        # Which the system's service would make.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)


def _wait_for(port: int, server: subprocess.Popen, log: Path) -> None:
    end_s = time.monotonic() + _WAIT_LIMIT_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < end_s, log.read_text()
        time.sleep(0.02)
