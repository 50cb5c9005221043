"""What a target is, so that a matrix sees when it has become another."""

from __future__ import annotations

import msgspec

from edge_tester.core.errors import ProtocolError, TargetError
from edge_tester.core.options import path_of
from edge_tester.core.record import Machine
from edge_tester.core.run import heard
from edge_tester.core.run.deployment import hello_of
from edge_tester.core.run.plan import Plan
from edge_tester.core.system.machine import describe_machine
from edge_tester.core.wire.client import Client

# What changes from hour to hour decides nothing that is to be measured again for it.
_PASSING = {"load_average", "boot_id", "clock_epoch_ns"}


class Targets:
    """Asks each target once for its machine and for the versions of a runtime's packages."""

    def __init__(self) -> None:
        self._known: dict[str, str | None] = {}

    def identity(self, plan: Plan) -> str | None:
        """Return what tells the target of a plan from others.

        Returns
        -------
        str or None
            None if it cannot be asked now.
        """
        runtime, protocol = plan.runtime, plan.protocol
        if protocol is None or protocol.in_process:
            return _told(describe_machine(runtime.distributions))
        key = f"{place_of(plan)} {path_of(type(runtime))}"
        if key not in self._known:
            protocol.runtime = runtime
            client = Client(protocol)
            try:
                welcome = client.connect(hello_of(plan, wait=True))
                self._known[key] = _told(heard.machine_of(welcome))
            except (ProtocolError, TargetError):
                self._known[key] = None
            finally:
                client.disconnect()
        return self._known[key]


def place_of(plan: Plan) -> str | None:
    """Return what is the same for all plans of one target; None for an agent of its own."""
    if plan.protocol is None:
        return None
    place = (path_of(type(plan.protocol)), plan.protocol.to_options())
    return msgspec.json.encode(place, order="deterministic").decode()


def _told(machine: Machine) -> str:
    facts = {k: v for k, v in msgspec.to_builtins(machine).items() if k not in _PASSING}
    return msgspec.json.encode(facts, order="deterministic").decode()
