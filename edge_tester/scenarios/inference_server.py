"""Serve a target's runtimes to clients: ``edge-tester server``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from edge_tester.core import registry
from edge_tester.core.agent.agent import Agent
from edge_tester.core.backends import missing_packages
from edge_tester.core.errors import OptionError
from edge_tester.core.meter import Meter
from edge_tester.core.runtime import Runtime
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.scenarios._choice import Chosen
from edge_tester.scenarios._command import Command, Parsed
from edge_tester.scenarios._program import Logging, guard

# What disturbs the target is always counted; it costs nothing during an inference. Counters of
# the processor come first: they count the threads that a process starts after them.
_STANDING = ("hardware", "system", "thermal")


def serve(
    protocol: RuntimeProtocol,
    runtimes: Sequence[Runtime],
    agent: Agent,
    meters: Sequence[Meter] = (),
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Parameters
    ----------
    protocol : RuntimeProtocol
    runtimes : sequence of Runtime
        The first is for clients that do not choose.
    agent : Agent
    meters : sequence of Meter
        What counts beside time and memory.
    """
    names = ", ".join(type(runtime).__name__ for runtime in runtimes)

    def tell() -> None:
        # Whoever started an agent behind standard input waits for no line.
        if registry.name_of(type(protocol)) != "stdio":
            print(f"edge_tester agent on {protocol.address} runs {names}", flush=True)

    agent.serve(protocol, runtimes, tell, meters=meters)


def conduct(parsed: Parsed) -> None:
    """Do what a command line or a scenario file says."""
    parsed.extra(Logging).start()
    agent = parsed.extra(Agent)
    runtimes = [part for _, part in parsed.parts if isinstance(part, Runtime)]
    if parsed.left_out("runtimes") and not agent.serve_code:
        # Nobody has named them, so nobody has agreed that clients run code here.
        runtimes = [runtime for runtime in runtimes if not runtime.runs_code]
    if not runtimes:
        raise OptionError(
            "No runtime is installed here whose models are data: name one, or say --serve-code."
        )
    named = [part for _, part in parsed.parts if isinstance(part, Meter)]
    standing = [registry.load("meters", name) for name in _STANDING]
    others = [cls() for cls in standing if cls not in map(type, named)]
    meters = [*(one for one in others if isinstance(one, Meter)), *named]
    serve(parsed.needed(RuntimeProtocol), runtimes, agent, meters)


def _complete(chosen: list[Chosen]) -> list[Chosen]:
    """Add what was left out: the network, and every runtime that is installed."""
    roles = [one.role for one in chosen]
    if "runtimeprotocols" not in roles:
        network = registry.load("runtimeprotocols", "network")
        chosen = [Chosen("runtimeprotocols", network, {}), *chosen]
    if "runtimes" not in roles:
        found = (registry.loadable("runtimes", name) for name in registry.names("runtimes"))
        installed = (cls for cls in found if cls and not missing_packages(cls.packages))
        chosen = [*chosen, *(Chosen("runtimes", cls, {}) for cls in installed)]
    return chosen


COMMAND = Command(
    "server",
    "Run the target agent: it loads and runs the models that clients upload. Without "
    "a runtime it serves every runtime that is installed and whose models are data; those whose "
    "models are code have to be named, or --serve-code. With --stdio, or the protocol stdio, it "
    "serves the one client at its standard input and output, as through ssh.",
    roles=("runtimeprotocols", "runtimes", "meters"),
    extras=(Agent,),
    repeated=("runtimes", "meters"),
    complete=_complete,
)


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    # What others of its kind call it, and what reads well behind ssh.
    conduct(COMMAND.parse(["stdio" if word == "--stdio" else word for word in arguments]))


if __name__ == "__main__":
    sys.exit(guard(main))
