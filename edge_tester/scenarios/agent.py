"""Ask an agent how it fares, or for the target alone: ``edge-tester agent``."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence

import msgspec

from edge_tester.core import registry
from edge_tester.core.errors import OptionError, RemoteProtocolError
from edge_tester.core.options import Configurable, hint, option
from edge_tester.core.results.words import amount, plural
from edge_tester.core.run import reservations
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.system.text import printable
from edge_tester.core.wire.conversation import Conversation
from edge_tester.core.wire.greeting import ask
from edge_tester.core.wire.payloads import Hello
from edge_tester.core.wire.standing import ASKED, RESERVATION_LIMIT_S, Reserved, Standing
from edge_tester.scenarios._choice import Chosen
from edge_tester.scenarios._command import Command
from edge_tester.scenarios._program import Logging, guard


class Asking(Configurable):
    """What is asked of an agent."""

    lasting_s: float = option(
        3600.0,
        minimum=1,
        maximum=RESERVATION_LIMIT_S,
        unit="s",
        help="For how long to reserve the target",
    )
    json: bool = option(False, help="Print JSON, for other programs")


def asked(link: RuntimeProtocol, what: str, lasting_s: float = 0.0) -> Standing | Reserved:
    """Return the answer of an agent, whoever is served meanwhile.

    Parameters
    ----------
    link : RuntimeProtocol
        Not connected.
    what : str
        ``status``, ``reserve`` or ``release``.
    lasting_s : float
        For how long to reserve the target.

    Raises
    ------
    UnreachableError, RemoteProtocolError, TargetError, OptionError
    """
    conversation = Conversation(link)
    hello = Hello(
        client=f"edge_tester on {platform.node()}",
        ask=what,
        lasting_s=lasting_s,
        reservation=reservations.ticket_for(link.address),
    )
    try:
        answer = ask(conversation, hello)
    finally:
        conversation.end()
    if isinstance(answer, Reserved):
        reservations.keep(link.address, answer.reservation, answer.lasting_s)
    return answer


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    what, *rest = arguments or ["-h"]
    if what not in ASKED and what not in ("-h", "--help"):
        raise OptionError(f"edge-tester agent has no {what!r}{hint(what, ASKED)}")
    parsed = COMMAND.parse(rest if what in ASKED else arguments or ["-h"])
    parsed.extra(Logging).start()
    asking, link = parsed.extra(Asking), parsed.needed(RuntimeProtocol)
    answer = asked(link, what, asking.lasting_s if what == "reserve" else 0.0)
    if asking.json:
        print(msgspec.json.format(msgspec.json.encode(answer), indent=1).decode())
    elif isinstance(answer, Standing):
        _show(link, answer)
    elif answer.reservation:
        print(
            f"{link.address} is reserved for {answer.lasting_s:g} s: commands of this user go "
            "on as usual, others wait"
        )
    else:
        print(f"{link.address} is free for others again")


def _show(link: RuntimeProtocol, found: Standing) -> None:
    machine = found.machine
    if not isinstance(machine.get("hostname"), str):
        raise RemoteProtocolError(f"{link.address} describes its machine wrongly: {machine!r:.200}")
    served = [f"{one.client} ({one.address}) for {one.lasting_s:.0f} s" for one in found.served]
    memory = [amount(found.memory_available_bytes, "bytes"), amount(found.disk_free_bytes, "bytes")]
    rows = {
        "Agent": f"edge_tester {found.version} at {link.address}, up for {found.uptime_s:.0f} s",
        "Machine": f"{machine['hostname']}, {machine.get('system')}, {machine.get('architecture')}",
        "Free": f"memory {memory[0]}, disk {memory[1]}",
        "Models kept": amount(found.store_bytes, "bytes"),
        "Served": "; ".join(served) or "nobody",
        "In line": str(found.waiting),
        "Served before": plural(found.sessions, "client"),
        "Reserved": f"by {found.reserved_by} for another {found.reserved_s:.0f} s"
        if found.reserved_by
        else "no",
        "Can do": ", ".join(found.features),
    }
    if found.stopping:
        rows["Stopping"] = "after this session"
    for title, text in rows.items():
        print(f"{title:<14} {printable(text, 1000)}")
    print("Runtimes")
    for one in found.runtimes:
        versions = [f"{name} {version}" for name, version in one.versions.items()]
        about = f"{', '.join(one.input_formats)}; {', '.join(versions)}"
        print(f"  {printable(one.name, 80):<16} {printable(about, 1000)}")
    for text in found.unprotected:
        print(f"note: {printable(text, 1000)}")


def _complete(chosen: list[Chosen]) -> list[Chosen]:
    """Take the network where no link is named."""
    if chosen:
        return chosen
    return [Chosen("runtimeprotocols", registry.load("runtimeprotocols", "network"), {})]


COMMAND = Command(
    f"agent {{{','.join(ASKED)}}}",
    f"Ask an agent, whoever it serves meanwhile. The first word is one of {', '.join(ASKED)}: how "
    "it fares and what it has; have the target for this user alone for a time (others wait in "
    "line); let others have it again.",
    roles=("runtimeprotocols",),
    extras=(Asking,),
    complete=_complete,
)


if __name__ == "__main__":
    sys.exit(guard(main))
