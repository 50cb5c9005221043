"""A target behind ssh, where the agent is installed and started when it is needed."""

from __future__ import annotations

import contextlib
import re
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_tester.core.deploying.environment import Environment, environment_for
from edge_tester.core.deploying.installing import install
from edge_tester.core.deploying.shell import Deploys, Shell
from edge_tester.core.deploying.starting import HERE, MISSING, START, STAY
from edge_tester.core.errors import LocalProtocolError, OptionError, UnreachableError
from edge_tester.core.options import flags_of, option, path_of, state
from edge_tester.core.runtimeprotocol import Listener, RuntimeProtocol
from edge_tester.core.wire.writing import lost
from edge_tester.runtimeprotocols._child import ChildLink
from edge_tester.runtimeprotocols._ssh import Child, SshShell, Words, forwards, remote

# A user or host that begins with a dash would be an option of ssh.
_NAME = r"[^\s@/:\[\]-][^\s@/:\[\]]*"
_ADDRESS = re.compile(rf"ssh://((?:{_NAME}@)?(?:\[[\w:.%]+\]|{_NAME}))(?::(\d+))?/?")


class SshProtocol(Deploys, ChildLink):
    """Goes to the target by the system's ssh, installs the agent there once, and starts it."""

    scheme = "ssh"
    address_forms = ("ssh://user@host[:port]",)
    owned = True

    host: str = option("", help="Host, or user@host, as ssh takes it")
    port: int | None = option(
        None, minimum=1, maximum=65535, help="Port of the SSH server; as ssh decides by default"
    )
    bring_wheels: bool = option(
        False, help="Install packages that are fetched here, and ask no package index there"
    )

    _socket: Path | None = state()

    @classmethod
    def from_address(cls, address: str) -> SshProtocol:
        """Return a link to ``ssh://user@host:port``."""
        found = _ADDRESS.fullmatch(address)
        if found is None:
            raise OptionError("A host that ssh can go to is expected behind ssh://.")
        host, port = found[1].replace("[", "").replace("]", ""), found[2]
        return cls.from_options({"host": host, **({"port": int(port)} if port else {})})

    @property
    def address(self) -> str:
        """As it is written for ``--target``."""
        return f"ssh://{self.host}" + ("" if self.port is None else f":{self.port}")

    def shell(self) -> Shell:
        """Return a shell there."""
        return SshShell(self._words())

    def start_server(self) -> Listener:
        """Refuse: the agent there is started by its client."""
        raise LocalProtocolError(
            "SshProtocol has no server: its client starts the agent, edge-tester server --stdio, "
            "on the target."
        )

    @contextlib.contextmanager
    def opened(self) -> Iterator[RuntimeProtocol]:
        """Start an agent that stays, and give a link to its socket, forwarded by the same ssh."""
        environment = self._environment()
        # Nobody else enters either folder; that of the other machine nobody can have made before.
        with tempfile.TemporaryDirectory(prefix="edge_tester-") as here:
            ours, theirs = Path(here) / "agent", f"/tmp/edge_tester-{secrets.token_hex(16)}"
            words = [environment.key, theirs, *self._agent_words("network")]
            # What listened there before an installation is gone, its socket is not.
            flags = ["-o", "StreamLocalBindUnlink=yes", "-L", f"{ours}:{theirs}/agent"]
            child = self._child(STAY, words, environment, flags)
            try:
                child.first_line((f"edge_tester agent on {theirs}/agent",))
                if forwards(ours):
                    child.errors.show()
                    yield self._to(ours)
                else:
                    # Each connection is an agent of its own then.
                    yield self
            finally:
                child.errors.hide()
                child.close()

    def start_client(self) -> None:
        """Start the agent there, unless it was; install it first if it is not there."""
        if self._socket is not None:
            self._connect(self._socket)
            return
        environment = self._environment()
        child = self._child(START, [environment.key, *self._agent_words("stdio")], environment)
        child.errors.show()
        self.hold(child.process)

    def another(self) -> RuntimeProtocol:
        """Return a link to the same agent if that stays, to one of its own otherwise."""
        return self._to(self._socket)

    def _to(self, socket: Path | None) -> SshProtocol:
        link = type(self).from_options(self.chosen_options())
        link.runtime, link._socket = self.runtime, socket
        return link

    def _connect(self, path: Path) -> None:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(path))
        except OSError as error:
            connection.close()
            raise lost(self.address, error) from error
        self.attach(connection)

    def _environment(self) -> Environment:
        return environment_for([type(self.runtime)] if self.runtime else [])

    def _child(
        self,
        script: str,
        words: Sequence[str],
        environment: Environment,
        flags: Sequence[str] = (),
    ) -> Child:
        """Start a script there that says that it is installed; install it if it is not."""
        target = self._words()
        child = Child(target, remote(script, words), flags)
        if child.first_line((HERE, MISSING)) == HERE:
            return child
        child.close()
        install(self.shell(), environment, _tell, bring=self.bring_wheels)
        child = Child(target, remote(script, words), flags)
        if child.first_line((HERE, MISSING)) == HERE:
            return child
        child.close()
        raise UnreachableError(
            f"{self.address} does not have what was installed there just now: see who else "
            "removes folders in ~/.cache/edge_tester."
        )

    def _agent_words(self, protocol: str) -> list[str]:
        runtime = self.runtime
        named = [] if runtime is None else [path_of(type(runtime)), *flags_of(runtime)]
        return ["server", protocol, *named, "--verbosity", "ERROR"]

    def _words(self) -> Words:
        if not self.host or self.host.startswith("-") or any(map(str.isspace, self.host)):
            raise OptionError(f"SshProtocol.host must be host or user@host, got {self.host!r}.")
        return Words(self.host, self.port)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
