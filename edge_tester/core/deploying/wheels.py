"""Wheels for another machine's processor and Python, fetched here for one without a network."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_tester.core.deploying.probing import Board
from edge_tester.core.errors import UnreachableError
from edge_tester.core.system.files import atomic_folder
from edge_tester.core.system.processes import ended_with_this

# What wheels for Linux may ask at least of the C library: manylinux2014 of PEP 599, musllinux_1_1.
_LEAST_GLIBC_MINOR, _LEAST_MUSL_MINOR, _MUSL_MINOR = 17, 1, 2
_OLD_TAGS = {"x86_64": ("manylinux2014", "manylinux2010", "manylinux1")}
_FETCH_LIMIT_S = 1800.0


def fetched(board: Board, requirements: Sequence[str], place: str) -> list[Path]:
    """Return wheels of what is required, with all that these require; kept in the user's cache.

    Parameters
    ----------
    board : Board
        That shall run them.
    requirements : sequence of str
    place : str
        Who and where, for messages.

    Raises
    ------
    UnreachableError
        There is no wheel for this machine, or nothing can be fetched here either.
    """
    return _kept(board, requirements, place, ())


def fetched_pip(board: Board, place: str) -> Path:
    """Return a wheel of pip, which every Python can run as it is."""
    return _kept(board, ["pip"], place, ("--no-deps",))[0]


def platforms(board: Board) -> list[str]:
    """Return the platforms whose wheels a machine can use, by their tags.

    Source: PEP 599, PEP 600 (manylinux) and PEP 656 (musllinux).

    Raises
    ------
    UnreachableError
        It is no Linux, or its C library is unknown.
    """
    python, architecture = board.python, board.architecture
    if board.system != "Linux" or not (python.musl or python.glibc):
        raise UnreachableError(
            f"Which wheels a machine with {board.system} {architecture} can use is not known: "
            "install edge_tester there by hand, and use --target with the agent's address."
        )
    if python.musl:
        minors = range(_MUSL_MINOR, _LEAST_MUSL_MINOR - 1, -1)
        return [f"musllinux_1_{minor}_{architecture}" for minor in minors]
    newest = int(python.glibc.split(".")[1])
    found = [
        f"manylinux_2_{minor}_{architecture}" for minor in range(newest, _LEAST_GLIBC_MINOR - 1, -1)
    ]
    older = _OLD_TAGS.get(architecture, ("manylinux2014",))
    return [*found, *(f"{tag}_{architecture}" for tag in older), f"linux_{architecture}"]


def _kept(
    board: Board, requirements: Sequence[str], place: str, flags: Sequence[str]
) -> list[Path]:
    """Return the wheels of a folder of the cache, which is whole or not there."""
    import hashlib

    tags, python = platforms(board), ".".join(map(str, board.python.version[:2]))
    content = "\n".join([python, *tags, *flags, *requirements])
    key = hashlib.sha256(content.encode()).hexdigest()[:12]
    folder = _cache() / f"cp{python.replace('.', '')}-{board.architecture}-{key}"
    if not folder.exists():
        with atomic_folder(folder) as temporary:
            _fetch(temporary, [*tags], python, [*flags, *requirements], place)
    return sorted(folder.glob("*.whl"))


def _fetch(
    folder: Path, tags: Sequence[str], python: str, words: Sequence[str], place: str
) -> None:
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-input", "--only-binary", ":all:", "--implementation", "cp"),
        *("--python-version", python),
        *(word for tag in tags for word in ("--platform", tag)),
        *("--dest", str(folder), *words),
    ]
    try:
        run = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_FETCH_LIMIT_S,
            preexec_fn=ended_with_this(),
        )
    except subprocess.TimeoutExpired as error:
        raise UnreachableError(
            f"Fetching wheels for {place} took more than {_FETCH_LIMIT_S:g} s."
        ) from error
    if run.returncode:
        raise UnreachableError(
            f"No wheels for {place} ({tags[0]}, Python {python}) could be fetched here: "
            f"{reason(run.stderr)}"
        )


def reason(errors: str) -> str:
    """Return the first line in which pip or uv says what is wrong, without its own prefix."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    told = [one for one in lines if one.lower().startswith(("error:", "× ", "x "))]
    return (told or lines[-1:] or ["no reason was given"])[0].removeprefix("ERROR: ")


def _cache() -> Path:
    """Return where wheels are kept, beside the environments of tools."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "edge_tester" / "wheels"
