"""Say what this machine has for running models: ``edge-tester doctor``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edge_tester.core.deploying.environment import environment_for
from edge_tester.core.deploying.starting import ensure, newest, run_installed
from edge_tester.core.errors import RecordError, UnreachableError
from edge_tester.core.results.words import amount
from edge_tester.core.system.doctor import Environment, examine
from edge_tester.core.system.files import write_atomically
from edge_tester.scenarios._boards import shell_at, tell
from edge_tester.scenarios._program import guard

_MARKS = {"available": "+", "missing": "-", "broken": "!"}
_MOST_FEATURES = 12
_EXAMINING_LIMIT_S = 600.0
# Of instruction sets, those that inference uses.
_FEATURES = (
    *("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"),
    *("neon", "asimd", "asimddp", "i8mm", "bf16", "sve", "sve2", "fphp", "asimdhp", "vfpv4"),
)


def main(arguments: Sequence[str]) -> int:
    """Run the command; the status is 1 if an installed package cannot be imported."""
    parser = argparse.ArgumentParser(
        prog="edge-tester doctor",
        description="Say what this machine has for running models: packages (each is imported), "
        "processor, memory, disk, clock, heat, accelerators, and what would spoil measurements. "
        "Looks at a board too: edge-tester doctor ssh://pi@raspberrypi.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "address", nargs="?", help="board to look at instead, such as ssh://pi@raspberrypi"
    )
    parser.add_argument("--target", metavar="ADDRESS", help="the same as a flag")
    parser.add_argument("--json", action="store_true", help="print JSON, for other programs")
    parser.add_argument(
        "--output", type=Path, metavar="PATH", help="file to write the JSON to as well"
    )
    chosen = parser.parse_args(arguments)
    address = chosen.target or chosen.address
    found = examine(tell=_progress) if address is None else _examined(address)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    content = msgspec.json.format(msgspec.json.encode(found), indent=1)
    if chosen.output is not None:
        try:
            write_atomically(chosen.output, content)
        except OSError as error:
            raise RecordError(f"{chosen.output} cannot be written: {error.strerror}.") from error
    print(content.decode()) if chosen.json else _show(found)
    return 1 if any(one.status == "broken" for one in found.packages) else 0


def _examined(address: str) -> Environment:
    """Run this command on a board, in the environment that was used last there."""
    shell = shell_at(address)
    key = newest(shell)
    if not key:
        environment = environment_for([])
        ensure(shell, environment, tell)
        key = environment.key
    answer = run_installed(shell, key, ["doctor", "--json"], _EXAMINING_LIMIT_S)
    try:
        return msgspec.json.decode(answer.output, type=Environment)
    except msgspec.MsgspecError as error:
        said = (answer.errors.strip().splitlines() or [str(error)])[-1]
        raise UnreachableError(f"{address}: edge-tester doctor failed there: {said}") from error


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", flush=True, file=sys.stderr)


def _show(found: Environment) -> None:
    machine = found.machine
    told = [one for one in _FEATURES if one in found.cpu_features][:_MOST_FEATURES]
    rows = {
        "Machine": f"{machine.hostname}, {machine.system}, {machine.architecture}",
        "Processor": f"{machine.cpu_model or 'unknown'}, {machine.cpu_count} usable",
        "Instructions": " ".join(told) or "unknown",
        "Clock": _clock(found),
        "Memory": f"{_size(machine.memory_bytes)}, {_size(found.memory_available_bytes)} free",
        "Disk": f"{_size(found.disk_free_bytes)} free",
        "Temperature": ", ".join(f"{zone} {c:.0f} °C" for zone, c in found.temperatures_c.items())
        or "not told",
        **({} if found.throttling is None else {"Throttling": _throttling(found)}),
        "Devices": "; ".join(found.devices) or "none found",
        "Delegates": "; ".join(found.delegates) or "none found",
    }
    for title, text in rows.items():
        print(f"{title:<13} {text}")
    print("Packages")
    width = max(len(one.name) for one in found.packages)
    for one in found.packages:
        about = " ".join(part for part in (one.version, one.advice) if part)
        print(f"  {_MARKS[one.status]} {one.name:<{width}}  {about}".rstrip())
    print("+ ready; - missing; ! installed, and cannot be imported")
    for text in found.warnings:
        print(f"note: {text}")


def _clock(found: Environment) -> str:
    clocks = found.clocks_mhz
    parts = [f"{clocks['now']:.0f} MHz"] if "now" in clocks else []
    if {"least", "most"} <= clocks.keys():
        parts.append(f"{clocks['least']:.0f} to {clocks['most']:.0f} MHz")
    governor = found.machine.governor
    return ", ".join([*parts, *([f"governor {governor}"] if governor else [])]) or "not told"


def _throttling(found: Environment) -> str:
    return "; ".join(found.throttling or ()) or "none since it was started"


def _size(size_bytes: int | None) -> str:
    return amount(size_bytes, "bytes")


if __name__ == "__main__":
    sys.exit(guard(main))
