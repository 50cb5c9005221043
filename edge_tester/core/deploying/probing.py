"""What another machine has that an environment can be made with."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from edge_tester.core.deploying.shell import Shell
from edge_tester.core.errors import UnreachableError

LEAST_PYTHON = (3, 10)
# What helps where a home folder is no place for environments.
ELSEWHERE = (
    "Make a folder on another disk there, and let it stand in: ln -s FOLDER ~/.cache/edge_tester"
)
# Far more than the one that is tried takes.
_A_SCRIPT_BYTES = 1 << 16
# Read by Pythons that are too old as well: which one is there is to be told.
_FACTS = """
import json, os, sys, sysconfig
facts = {"path": os.path.realpath(sys.executable), "version": list(sys.version_info[:3])}
facts["bits"] = 64 if sys.maxsize > 2 ** 32 else 32
facts["musl"] = "musl" in str(sysconfig.get_config_var("SOABI"))
try:
    facts["glibc"] = os.confstr("CS_GNU_LIBC_VERSION").split()[1]
except Exception:
    facts["glibc"] = ""
try:
    import venv
    facts["venv"] = True
except ImportError:
    facts["venv"] = False
wheels = []
folder = sysconfig.get_config_var("WHEEL_PKG_DIR")
try:
    import ensurepip
    folders = [folder, os.path.join(os.path.dirname(ensurepip.__file__), "_bundled")]
except ImportError:
    folders = [folder]
for one in folders:
    if one and os.path.isdir(one):
        wheels += [os.path.join(one, n) for n in sorted(os.listdir(one)) if n.startswith("pip-")]
facts["pip"] = wheels[-1] if wheels else ""
print("python " + json.dumps(facts))
"""
_SCRIPT = """
echo "system $(uname -s)"
echo "machine $(uname -m)"
mkdir -p "$HOME/.cache/edge_tester" && cd "$HOME/.cache/edge_tester" || exit
printf '#!/bin/sh\\nexit 0\\n' > ".runs-$$" && chmod 700 ".runs-$$" && "./.runs-$$" 2> /dev/null &&
    echo "runs yes"
rm -f ".runs-$$"
echo "free_kib $(df -Pk . | awk 'NR == 2 {print $4}')"
for one in "$(command -v uv)" "$HOME/.local/bin/uv" "$HOME/.cargo/bin/uv"; do
    if [ -x "$one" ]; then echo "uv $one"; break; fi
done
for one in python3 python3.13 python3.12 python3.11 python3.10 python3.14; do
    command -v "$one" > /dev/null || continue
    "$one" -c "$1" 2> /dev/null || echo "broken $one"
done
exit 0
"""


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """A Python of another machine.

    Attributes
    ----------
    path : str
        Of the program itself, which another version does not take the place of.
    version : list of int
    bits : int
        Of a pointer: a 64-bit kernel may have programs of 32 bits.
    musl : bool
    glibc : str
        Version of the GNU C library; empty where there is another one.
    venv : bool
        Whether it can make environments.
    pip : str
        Path of a wheel of pip that came with it; empty for none.
    """

    path: str
    version: list[int]
    bits: int
    musl: bool
    glibc: str
    venv: bool
    pip: str


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """What was found.

    Attributes
    ----------
    system, machine : str
        As ``uname`` says.
    free_bytes : int
        Of the disk where environments lie.
    uv : str
        Path of uv; empty for none.
    python : Interpreter
    """

    system: str
    machine: str
    free_bytes: int
    uv: str
    python: Interpreter

    @property
    def architecture(self) -> str:
        """Processor that wheels are for, by their names for it."""
        if self.python.bits == 64:
            return self.machine
        return {"aarch64": "armv7l", "x86_64": "i686"}.get(self.machine, self.machine)


def probe(shell: Shell) -> Board:
    """Look at another machine.

    Raises
    ------
    UnreachableError
        It cannot be reached, or has no Python that is new enough.
    """
    answer = shell.run(_SCRIPT, ["probe", _FACTS])
    facts: dict[str, str] = {}
    pythons: list[dict[str, Any]] = []
    for line in answer.output.splitlines():
        name, _, value = line.partition(" ")
        if name == "python":
            pythons.append(json.loads(value))
        else:
            facts[name] = value
    if answer.status or "machine" not in facts:
        said = (answer.errors.strip().splitlines() or ["it gave no reason"])[-1]
        raise UnreachableError(
            f"{shell.place} cannot make the folder ~/.cache/edge_tester, or is no system with a "
            f"POSIX shell: {said}"
        )
    free_bytes = 1024 * int(facts.get("free_kib") or 0)
    # On a full disk nothing was written that could be run, which is said with numbers later.
    if "runs" not in facts and free_bytes > _A_SCRIPT_BYTES:
        raise UnreachableError(
            f"{shell.place} runs no program that lies in ~/.cache/edge_tester, most likely since "
            f"that disk is mounted noexec. {ELSEWHERE}"
        )
    return Board(
        system=facts["system"],
        machine=facts["machine"],
        free_bytes=free_bytes,
        uv=facts.get("uv", ""),
        python=_chosen(
            shell, [msgspec.convert(one, Interpreter) for one in pythons], facts.get("broken", "")
        ),
    )


def _chosen(shell: Shell, pythons: list[Interpreter], broken: str) -> Interpreter:
    """Return the first that is new enough and makes environments: what people mean by python3."""
    least = ".".join(map(str, LEAST_PYTHON))
    new = [one for one in pythons if tuple(one.version) >= LEAST_PYTHON]
    if not pythons and broken:
        raise UnreachableError(
            f"{shell.place} has {broken}, which cannot be used; why, this says there: "
            f"{broken} -c 'import json, sysconfig'. Python {least} or later is needed, such as by: "
            "sudo apt install --reinstall python3"
        )
    if not pythons:
        raise UnreachableError(
            f"{shell.place} has no python3: install Python {least} or later there, such as by: "
            "sudo apt install python3"
        )
    if not new:
        found = ", ".join(sorted({".".join(map(str, one.version)) for one in pythons}))
        raise UnreachableError(
            f"{shell.place} has Python {found}, which is too old: {least} or later is needed there."
        )
    able = [one for one in new if one.venv]
    if not able:
        raise UnreachableError(
            f"The Python of {shell.place} ({new[0].path}) has no module venv: "
            "sudo apt install python3-venv"
        )
    return able[0]
