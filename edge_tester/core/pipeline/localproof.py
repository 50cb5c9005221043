"""Proof on this machine: an agent, one client after another load pattern, and several clients."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np

from edge_tester.core import registry
from edge_tester.core.errors import EdgeTesterError, TargetError
from edge_tester.core.pattern import LoadPattern
from edge_tester.core.record import RunRecord
from edge_tester.core.run.deployment import hello_of
from edge_tester.core.run.localagent import local_agent
from edge_tester.core.run.matrix import MatrixRun
from edge_tester.core.run.observer import Observer
from edge_tester.core.run.plan import Plan
from edge_tester.core.wire.client import Client

# Arrivals come at this part of the rate that one after another allows: busy, and no queue grows.
_LOAD = 0.5
_QUEUE_LIMIT_S = 60.0


class SeveralClients(msgspec.Struct, frozen=True, kw_only=True):
    """What a second client hears while the first one has the agent.

    Attributes
    ----------
    told : str
        The error of one that does not wait.
    queued : str
        What one is told that waits.
    served_after_s : float
        From the first one's end until the second one was served.
    """

    told: str
    queued: str
    served_after_s: float


class LocalProof(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen on this machine.

    Attributes
    ----------
    way : str
        Name of what was run.
    records : dict of str to str
        Files of the run records, by load pattern.
    failures : dict of str to str
        Why others have none.
    clients : SeveralClients
    """

    way: str
    records: dict[str, str]
    failures: dict[str, str]
    clients: SeveralClients


def prove(
    way: str, plan: Plan, requests: int, directory: Path, observer: Observer, command: list[str]
) -> LocalProof:
    """Run a plan under every load pattern on agents of this machine.

    Parameters
    ----------
    way : str
        What it is called.
    plan : Plan
        Without a link.
    requests : int
        Inferences under each pattern, at least.
    directory : Path
        For the records.
    observer : Observer
    command : list of str
        For the records.

    Raises
    ------
    EdgeTesterError
        Not even one request after another could be served.
    """
    measurement = dataclasses.replace(plan.measurement, min_count=requests)
    plan = dataclasses.replace(plan, measurement=measurement, protocol=None)
    alone, failures = _ran(plan, {"single_stream": {}}, directory, observer, command)
    if failures:
        raise EdgeTesterError(f"{way} could not be run: {failures['single_stream']}")
    (record,) = alone.values()
    inference_s = float(np.median(record.target_ns)) / 1e9
    # Of a thousandth, so that a run that goes on finds the patterns of the one before.
    rate_hz = float(f"{_LOAD / inference_s:.3g}")
    others, failures = _ran(
        plan,
        {
            "multi_stream": {},
            "offline": {},
            "server": {"target_rate_hz": rate_hz},
            "sensor_rate": {"period_ms": max(0.001, float(f"{1e3 / rate_hz:.3g}"))},
        },
        directory,
        observer,
        command,
    )
    return LocalProof(
        way=way,
        records={path.stem: path.name for path in (*alone, *others)},
        failures=failures,
        clients=several_clients(plan),
    )


def _ran(
    plan: Plan,
    patterns: dict[str, dict[str, Any]],
    directory: Path,
    observer: Observer,
    command: list[str],
) -> tuple[dict[Path, RunRecord], dict[str, str]]:
    plans = {
        name: dataclasses.replace(
            plan, pattern=cast(LoadPattern, registry.load("patterns", name).from_options(options))
        )
        for name, options in patterns.items()
    }
    run = MatrixRun(plans, directory, command)
    failures = run.run(observer)
    return run.records(), failures


def several_clients(plan: Plan) -> SeveralClients:
    """Let a second client come while the first one has the agent: told, or served afterwards.

    Raises
    ------
    EdgeTesterError
        Neither happened.
    """
    with local_agent([plan.runtime]) as link:
        first, second, third = (Client(_again(link)) for _ in range(3))
        first.connect(hello_of(plan, wait=False))
        try:
            try:
                second.connect(hello_of(plan, wait=False))
            except TargetError as error:
                told = str(error)
            else:
                second.disconnect()
                raise EdgeTesterError(
                    "Two clients were served at once, by an agent that serves one."
                )
            heard: list[str] = []
            failed: list[EdgeTesterError] = []
            waiting, served = threading.Event(), threading.Event()

            def wait_in_line() -> None:
                def queued(reason: str) -> None:
                    heard.append(reason)
                    waiting.set()

                try:
                    third.connect(hello_of(plan, wait=True), queued, _QUEUE_LIMIT_S)
                    served.set()
                except EdgeTesterError as error:
                    failed.append(error)
                    served.set()

            thread = threading.Thread(target=wait_in_line)
            thread.start()
            if not waiting.wait(_QUEUE_LIMIT_S) and not failed:
                raise EdgeTesterError("A client that waits in line was not told that it does.")
        finally:
            first.disconnect()
        since_s = time.monotonic()
        served.wait(_QUEUE_LIMIT_S)
        after_s = time.monotonic() - since_s
        thread.join()
        third.disconnect()
        if failed:
            raise failed[0]
    return SeveralClients(told=told, queued="; ".join(heard), served_after_s=round(after_s, 4))


def _again(link: Any) -> Any:
    """Return another link to the same agent."""
    return type(link).from_options(link.chosen_options())
