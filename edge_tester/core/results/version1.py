"""Run records of schema version 1, which had one series of inferences and no blocks."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from edge_tester.core.results.parts import Block, ColdStart, Memory, Replicate

_ROLES = {"modelcompiler": "compiler"}


class _Latency(msgspec.Struct, frozen=True):
    target_ns: list[int]
    host_ns: list[int]
    host_interval: Literal["flight", "between_oks"] = "flight"
    warmed: bool = False


class _Cpu(msgspec.Struct, frozen=True):
    time_ns: int | None = None


class _Measured(msgspec.Struct, frozen=True):
    """What is said otherwise since version 2."""

    created: str
    complete: bool
    components: list[dict[str, Any]]
    latency: _Latency
    cold_start: ColdStart
    memory: Memory
    cpu: _Cpu


def upgraded(content: dict[str, Any]) -> dict[str, Any]:
    """Return a record of version 1 as one of version 2: one replicate with one block.

    Raises
    ------
    msgspec.ValidationError
        It is none of version 1.
    """
    old = msgspec.convert(content, _Measured)
    latency = old.latency
    block = Block(
        # Nobody kept when it began.
        start_ns=0,
        target_ns=latency.target_ns,
        host_ns=latency.host_ns,
        # One before each timed inference.
        untimed=len(latency.target_ns) if latency.warmed else 0,
        cpu_time_ns=old.cpu.time_ns,
    )
    replicate = Replicate(
        started=old.created,
        cold_start=old.cold_start,
        memory=old.memory,
        blocks=[block],
        complete=old.complete,
    )
    gone = {"latency", "cold_start", "memory", "cpu"}
    return {
        **{name: value for name, value in content.items() if name not in gone},
        "schema_version": 2,
        "components": [
            {**one, "role": _ROLES.get(one.get("role", ""), one.get("role"))}
            for one in old.components
        ],
        "host_interval": latency.host_interval,
        "pace": "loop" if latency.warmed else "isolated",
        "replicates": [msgspec.to_builtins(replicate)],
    }
