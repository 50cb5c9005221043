"""A target behind ssh, where the agent is installed and started when it is needed."""

from __future__ import annotations

import re
import sys

from edge_tester.core.deploying.environment import Environment, environment_for
from edge_tester.core.deploying.installing import install
from edge_tester.core.deploying.shell import Deploys, Shell
from edge_tester.core.deploying.starting import HERE, MISSING, START
from edge_tester.core.errors import LocalProtocolError, OptionError, UnreachableError
from edge_tester.core.options import flags_of, option, path_of, state
from edge_tester.core.runtimeprotocol import Listener
from edge_tester.runtimeprotocols._child import ChildLink, end
from edge_tester.runtimeprotocols._ssh import Errors, SshShell, Words, asks, first_line, remote

# A user or host that begins with a dash would be an option of ssh.
_NAME = r"[^\s@/:\[\]-][^\s@/:\[\]]*"
_ADDRESS = re.compile(rf"ssh://((?:{_NAME}@)?(?:\[[\w:.%]+\]|{_NAME}))(?::(\d+))?/?")
# From starting ssh until the shell there says its line.
_LOGIN_LIMIT_S, _ASKING_LIMIT_S = 60.0, 300.0


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

    _errors: Errors | None = state()

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

    def start_client(self) -> None:
        """Start the agent there; install it first if it is not there."""
        environment = environment_for([type(self.runtime)] if self.runtime else [])
        if self._starts(environment):
            return
        install(self.shell(), environment, _tell, bring=self.bring_wheels)
        if not self._starts(environment):
            raise UnreachableError(
                f"{self.address} does not have what was installed there just now: see who else "
                "removes folders in ~/.cache/edge_tester."
            )

    def _starts(self, environment: Environment) -> bool:
        """Start the agent; return False if it is not installed there."""
        words = self._words()
        process = words.started(remote(START, [environment.key, *self._agent_words()]))
        errors = Errors(process)
        try:
            limit_s = _ASKING_LIMIT_S if asks() else _LOGIN_LIMIT_S
            said = first_line(process, (HERE, MISSING), limit_s)
        except TimeoutError as error:
            process.kill()
            raise UnreachableError(
                f"{self.address}: nobody was logged in within {limit_s:g} s."
            ) from error
        if said == HERE:
            errors.show()
            self.hold(process)
            return True
        process.stdin.close()  # type: ignore[union-attr]
        process.stdout.close()  # type: ignore[union-attr]
        end(process)
        if said == MISSING:
            return False
        raise words.refusal(process.returncode, errors.lines())

    def _agent_words(self) -> list[str]:
        runtime = self.runtime
        named = [] if runtime is None else [path_of(type(runtime)), *flags_of(runtime)]
        return ["server", "stdio", *named, "--verbosity", "ERROR"]

    def _words(self) -> Words:
        if not self.host or self.host.startswith("-") or any(map(str.isspace, self.host)):
            raise OptionError(f"SshProtocol.host must be host or user@host, got {self.host!r}.")
        return Words(self.host, self.port)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
