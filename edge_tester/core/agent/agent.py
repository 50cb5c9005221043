"""The target agent: what a command or a test starts on the target."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from edge_tester.core.agent.process import SESSION_COMMAND, SessionProcess
from edge_tester.core.agent.supervisor import Supervisor
from edge_tester.core.errors import OptionError
from edge_tester.core.options import Configurable, option, path_of
from edge_tester.core.runtime import Runtime
from edge_tester.core.runtimeprotocol import RuntimeProtocol


class Agent(Configurable):
    """Serves clients on the target, one after another."""

    insecure: bool = option(
        False, help="Listen where other machines can connect; anyone there can run code here"
    )
    time_limit_s: float = option(
        60.0, minimum=0.1, unit="s", help="Time that one load or one inference may take"
    )
    idle_limit_s: float = option(
        600.0, minimum=1, unit="s", help="Time that a client may say nothing"
    )

    def serve(
        self,
        protocol: RuntimeProtocol,
        runtimes: Sequence[Runtime],
        on_ready: Callable[[], None] = lambda: None,
        session_command: Sequence[str] = SESSION_COMMAND,
    ) -> None:
        """Serve until SIGTERM or SIGINT.

        Parameters
        ----------
        protocol : RuntimeProtocol
        runtimes : sequence of Runtime
            What clients may use; the first is for those who do not say.
        on_ready : callable
            Called once, when clients can be served.
        session_command : sequence of str
            Program of the session process.

        Raises
        ------
        OptionError
            The address can be reached from other machines and ``insecure`` is not set.
        UnreachableError
            The address is in use or does not exist.
        RuntimeStateError
            A runtime lacks something on this target.
        """
        if protocol.exposed and not self.insecure:
            raise OptionError(
                f"Whoever can connect to {protocol.address} could run any code on this machine: "
                "a model is code, and clients are not authenticated. Listen on 127.0.0.1 and use "
                "an SSH tunnel, or say --insecure on a network that you trust."
            )
        log_level = logging.getLogger("edge_tester").getEffectiveLevel()
        described = [(path_of(type(r)), r.to_options()) for r in runtimes]

        def start_session() -> SessionProcess:
            return SessionProcess(
                path_of(type(protocol)),
                protocol.to_options(),
                described,
                log_level,
                session_command,
            )

        Supervisor(
            protocol.start_server(),
            start_session,
            time_limit_s=self.time_limit_s,
            idle_limit_s=self.idle_limit_s,
            on_ready=on_ready,
        ).run()
