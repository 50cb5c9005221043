"""A target behind ssh, where the agent is installed and started when it is needed."""

from __future__ import annotations

import contextlib
import re
import secrets
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_tester.core.deploying.environment import environment_for
from edge_tester.core.deploying.installing import install
from edge_tester.core.deploying.shell import Deploys, Shell
from edge_tester.core.deploying.starting import HERE, MISSING, START, STAY
from edge_tester.core.errors import LocalProtocolError, OptionError, UnreachableError
from edge_tester.core.options import flags_of, option, path_of, state
from edge_tester.core.runtimeprotocol import Listener, RuntimeProtocol
from edge_tester.core.system.temporary import TemporaryFolder
from edge_tester.core.wire.writing import lost
from edge_tester.runtimeprotocols._child import ChildLink
from edge_tester.runtimeprotocols._ssh import (
    Child,
    SshShell,
    Staying,
    Words,
    forwards,
    remote,
)

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

    _staying: Staying | None = state()

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
        """Start an agent that stays, and give a link to its socket, forwarded by the same ssh.

        If ssh ends, with the network or by itself, the next connection starts both anew.
        """
        # Nobody else enters that folder.
        with TemporaryFolder() as folder:
            staying = Staying(self._stays, Path(folder) / "agent")
            try:
                staying.ensure()
                if forwards(staying.socket):
                    yield self._to(staying)
                    return
                # Each connection is an agent of its own then.
                staying.close()
                yield self
            finally:
                staying.close()

    def start_client(self) -> None:
        """Start the agent there, unless it was; install it first if it is not there."""
        if self._staying is not None:
            self._connect(self._staying)
            return
        child = self._child(START, [], self._agent_words("stdio"))
        child.errors.show()
        self.hold(child.process)

    def another(self) -> RuntimeProtocol:
        """Return a link to the same agent if that stays, to one of its own otherwise."""
        return self._to(self._staying)

    def _to(self, staying: Staying | None) -> SshProtocol:
        link = type(self).from_options(self.chosen_options())
        link.runtime, link._staying = self.runtime, staying
        return link

    def _connect(self, staying: Staying) -> None:
        staying.ensure()
        staying.show()
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(staying.socket))
        except OSError as error:
            connection.close()
            raise lost(self.address, error) from error
        self.attach(connection)

    def _stays(self, ours: Path) -> Child:
        """Start an agent that stays, and forward a socket of this machine to it."""
        # Nobody there can have made a folder of this name before.
        theirs = f"/tmp/edge_tester-{secrets.token_hex(16)}"
        # Where another one listened before, its socket is still there.
        flags = ["-o", "StreamLocalBindUnlink=yes", "-L", f"{ours}:{theirs}/agent"]
        child = self._child(STAY, [theirs], self._agent_words("network"), flags)
        child.first_line((f"edge_tester agent on {theirs}/agent",))
        return child

    def _child(
        self, script: str, first: Sequence[str], words: Sequence[str], flags: Sequence[str] = ()
    ) -> Child:
        """Start a script there that says that it is installed; install it if it is not."""
        environment = environment_for([type(self.runtime)] if self.runtime else [])
        target, command = self._words(), remote(script, [environment.key, *first, *words])
        for installed in (False, True):
            child = Child(target, command, flags)
            if child.first_line((HERE, MISSING)) == HERE:
                return child
            child.close()
            if not installed:
                install(self.shell(), environment, _tell, bring=self.bring_wheels)
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
