"""The session process: loads the runtimes, waits for one client, serves it and ends.

It gives up its rights before anything is imported that starts threads, numpy included: nothing at
the top of this module may import it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

import edge_tester
from edge_tester.core.agent.control import Failed, Ready, receive_client, report
from edge_tester.core.agent.isolation import isolate, limit_files
from edge_tester.core.agent.output import LOG_FORMAT
from edge_tester.core.agent.process import SessionSettings
from edge_tester.core.agent.status import Activity, Status
from edge_tester.core.agent.turn import Turn
from edge_tester.core.errors import EdgeTesterError, ProtocolError, RuntimeStateError
from edge_tester.core.meter import Meter
from edge_tester.core.options import Configurable, path_of
from edge_tester.core.registry import load, name_of
from edge_tester.core.runtime import Runtime
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.system.processes import end_with_parent
from edge_tester.core.wire.payloads import Welcome

if TYPE_CHECKING:
    from edge_tester.core.agent.session import Session
    from edge_tester.core.agent.storage import Store

logger = logging.getLogger(__name__)

Part = TypeVar("Part", bound=Configurable)
SessionFactory = Callable[
    [
        RuntimeProtocol,
        list[Runtime],
        Callable[[Runtime], Welcome],
        Path,
        Status | None,
        "Store",
        list[Meter],
        Turn | None,
    ],
    "Session",
]


def welcome_of(runtime: Runtime) -> Welcome:
    """Return the answer to a HELLO that chose this runtime."""
    from edge_tester.core.system.machine import describe_machine

    machine = describe_machine(runtime.distributions)
    return Welcome(
        version=edge_tester.__version__,
        runtime=name_of(type(runtime)),
        input_formats=list(runtime.input_formats),
        runtime_options=runtime.to_options(),
        machine=msgspec.to_builtins(machine),
    )


def main(arguments: list[str], session_factory: SessionFactory | None = None) -> int:
    """Serve one client.

    Parameters
    ----------
    arguments : list of str
        One :class:`SessionSettings` as JSON.
    session_factory : callable, optional
        Makes the session; :class:`Session` unless a benchmark needs another.
    """
    settings = msgspec.json.decode(arguments[0], type=SessionSettings)
    logging.basicConfig(level=settings.log_level, format=LOG_FORMAT)
    _prefer_as_victim()
    end_with_parent()
    # What a model prints must have left before it crashes.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    control, keeper = (socket.socket(fileno=one) for one in (settings.control, settings.keeper))
    status = Status(settings.status)
    own, models = Path(settings.own), Path(settings.models)
    try:
        # A file of the agent, which is open before the others are out of reach.
        turn = Turn(Path(settings.turn), status.write) if settings.turn else None
        _take_place(settings)
        meters = _meters(settings.early_meters)
        isolate(settings.isolation, own, models)
        runtimes, meters = _runtimes(settings), meters + _meters(settings.meters)
    except EdgeTesterError as error:
        report(control, Failed(str(error)))
        return 0
    report(control, Ready([path_of(type(r)) for r in runtimes]))
    client = receive_client(control)
    if client is None:
        return 0
    hello, frame_key, descriptor = client
    threading.Thread(target=_heed, args=(control, turn), daemon=True).start()
    protocol = load("runtimeprotocols", settings.protocol).from_options(settings.protocol_options)
    if not isinstance(protocol, RuntimeProtocol):
        raise TypeError(f"{settings.protocol} is no runtime protocol.")
    protocol.attach(descriptor)
    store = _store(settings, keeper, own, models)
    made = session_factory or _session
    session = made(protocol, runtimes, welcome_of, own, status, store, meters, turn)
    try:
        session.serve(hello, frame_key)
    except ProtocolError as error:
        # Who breaks the protocol may be gone before he hears of it: no fault of the model.
        logger.info("client is gone: %s", error)
    finally:
        status.write(Activity.WAITING)
        protocol.disconnect()
        for meter in meters:
            meter.close()
        # Whatever a backend does at the end, the supervisor need not wait for it long.
        with contextlib.suppress(OSError):
            control.shutdown(socket.SHUT_WR)
    return 0


def _session(*parts: Any) -> Session:
    from edge_tester.core.agent.session import Session

    return Session(*parts)


def _made(role: str, kind: type[Part], described: list[tuple[str, dict[str, Any]]]) -> list[Part]:
    """Return an instance for each dotted path and its options."""
    found = []
    for path, options in described:
        part = load(role, path).from_options(options)
        if not isinstance(part, kind):
            raise TypeError(f"{path} is no {kind.__name__}.")
        found.append(part)
    return found


def _store(settings: SessionSettings, keeper: socket.socket, own: Path, models: Path) -> Store:
    """Return the agent's store, which is out of reach from the first load on."""
    from edge_tester.core.agent.storage import Store
    from edge_tester.core.agent.storekeeper import KeptElsewhere

    elsewhere = KeptElsewhere(keeper, own, models)

    def leave() -> Store:
        limit_files(settings.isolation)
        return Store(elsewhere.left())

    return Store(elsewhere, leave)


def _meters(described: list[tuple[str, dict[str, Any]]]) -> list[Meter]:
    meters = _made("meters", Meter, described)
    for meter in meters:
        meter.open()
    return meters


def _take_place(settings: SessionSettings) -> None:
    """Go to the processors and the priority that the target's owner chose for models.

    Before anything is imported: threads inherit both.

    Raises
    ------
    RuntimeStateError
        The system refuses.
    """
    try:
        if settings.pin_cpus:
            os.sched_setaffinity(0, settings.pin_cpus)
        if settings.priority is not None:
            os.setpriority(os.PRIO_PROCESS, 0, settings.priority)
    except (OSError, AttributeError) as error:
        usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        raise RuntimeStateError(
            f"--pin-cpus {','.join(map(str, settings.pin_cpus)) or 'not set'} and --priority "
            f"{settings.priority} cannot be had here: {error}. This process may use the processors "
            f"{', '.join(map(str, usable)) or 'that the system gives it'}; priorities below 0 need "
            "the privilege CAP_SYS_NICE."
        ) from error


def _runtimes(settings: SessionSettings) -> list[Runtime]:
    runtimes = _made("runtimes", Runtime, settings.runtimes)
    # One runtime is imported before a client comes. Of several, only the one that
    # the client chooses: the others would cost memory for nothing.
    if len(runtimes) == 1:
        runtimes[0].prepare()
    return runtimes


def _prefer_as_victim() -> None:
    """Ask the kernel to end this process, not the supervisor, when memory runs out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError as error:
        logger.debug("oom_score_adj: %s", error)


def _heed(control: socket.socket, turn: Turn | None) -> None:
    """Share the turn when the supervisor says so, and end when it is gone."""
    while control.recv(1):
        if turn is not None:
            # It waits for a block, during which the supervisor may end.
            threading.Thread(target=turn.share, daemon=True).start()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
