"""Make an environment on another machine, beside what its owner has there."""

from __future__ import annotations

import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import edge_tester
from edge_tester.core.deploying.environment import FOLDER, Environment, name_in
from edge_tester.core.deploying.probing import ELSEWHERE, Board, probe
from edge_tester.core.deploying.shell import Answer, Shell
from edge_tester.core.deploying.wheel import write_wheel
from edge_tester.core.deploying.wheels import fetched, fetched_pip, reason
from edge_tester.core.errors import UnreachableError
from edge_tester.core.system.temporary import TemporaryFolder

Tell = Callable[[str], None]

_INSTALL_LIMIT_S = 3600.0
_LEAST_FREE_BYTES = 300 << 20
# Wheels are compressed; modules are compiled beside them.
_UNPACKED = 5
# $0 is the key, $1 the size of what comes in, $2 the Python, $3 uv or empty, $4 a wheel of pip
# where there is no uv, $5 the flags of either, $6 what is to be importable.
# What is made lies beside its place until it is whole, in a folder that has the number of this
# process: who finds it later sees whether somebody still works there. If the other side goes, so
# does everything here. Environments that nothing has started for a month, such as those of earlier
# versions, are removed, but for that of an agent that stays.
_SCRIPT = """
umask 077
mkdir -p "$HOME/.cache/edge_tester" && cd "$HOME/.cache/edge_tester" || exit
for old in *.part.*; do
    [ -d "$old" ] && { kill -0 "${old##*.}" 2> /dev/null || rm -rf "$old"; }
done
part="$PWD/$0.part.$$"
trap 'cd /; rm -rf "$part"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$part/wheels" "$part/temporary" || exit
exec 3<&0
head -c "$1" <&3 | tar -xf - -C "$part/wheels" || exit
(cat <&3; kill -TERM 0) > /dev/null 2>&1 &
watcher=$!
exec 3<&- < /dev/null
key=$0 python=$2 uv=$3 pip=$4 flags=$5 modules=$6
shift 6
unset PYTHONPATH PYTHONHOME
# What a pip has left that was killed goes with the rest, and /tmp may be small.
export TMPDIR="$part/temporary"
environment="$part/environment"
cd "$part/wheels" || exit
if [ -n "$uv" ]; then
    "$uv" venv --quiet --python "$python" "$environment" || exit
    "$uv" pip install --quiet --python "$environment/bin/python" $flags "$@" || exit
else
    "$python" -m venv --without-pip "$environment" || exit
    "$environment/bin/python" "$pip/pip" install --quiet --disable-pip-version-check \\
        --no-input $flags "$@" || exit
fi
cd "$environment" || exit
for one in $modules; do
    bin/python -c "import $one" || exit
done
# Where it is made is not where it stays, which scripts of pip do not follow.
printf '#!/bin/sh\\nexec "$(dirname "$0")/python" -m edge_tester "$@"\\n' > bin/edge-tester
chmod 700 bin/edge-tester
: > whole
cd "$part/.." || exit
if ! { [ -f "$key/whole" ] && [ -x "$key/bin/python" ]; }; then
    rm -rf "$key" && mv "$environment" "$key" || exit
fi
for old in *-*-*; do
    [ "$old" = "$key" ] || [ -z "$(find "$old" -maxdepth 1 -name whole -mtime +30)" ] ||
        grep -qsF "$old/" "$HOME/.config/systemd/user/edge-tester.service" || rm -rf "$old"
done
kill "$watcher" 2> /dev/null
exit 0
"""


def install(shell: Shell, environment: Environment, tell: Tell, *, bring: bool = False) -> None:
    """Make an environment on another machine.

    Packages come from its own index; where that gives none, or on demand, wheels are fetched
    here and brought. Nothing of the system there is touched (PEP 668).

    Parameters
    ----------
    shell : Shell
    environment : Environment
    tell : callable
        Hears each step.
    bring : bool
        Bring the wheels, and ask no index there.

    Raises
    ------
    UnreachableError
        It cannot be made, and why: no Python, no space, no wheels for this machine, a lost link.
    """
    begin_s = time.monotonic()
    board = probe(shell)
    _require_space(shell, board, _LEAST_FREE_BYTES)
    python = ".".join(map(str, board.python.version))
    named = ", ".join(name_in(one) for one in environment.requirements)
    tell(
        f"Installing edge_tester {edge_tester.__version__} in ~/{FOLDER}/{environment.key} on "
        f"{shell.place}, once: {board.architecture}, Python {python}, with {named}"
    )
    failed = None
    if not bring:
        failed = _made(shell, board, environment, [])
        if failed is not None and _is_full(failed):
            raise _full(shell, board)
    if bring or failed is not None:
        if failed is not None:
            tell(f"Its own package index gives none of them ({reason(failed.errors)})")
        tell("Fetching wheels for it here, into the cache")
        wheels = fetched(board, environment.requirements, shell.place)
        size_bytes = sum(path.stat().st_size for path in wheels)
        _require_space(shell, board, _UNPACKED * size_bytes)
        tell(f"Bringing {len(wheels)} wheels, {size_bytes >> 20} MiB")
        failed = _made(shell, board, environment, wheels)
    if failed is not None:
        if _is_full(failed):
            raise _full(shell, board)
        raise UnreachableError(
            f"edge_tester cannot be installed on {shell.place} ({board.architecture}, Python "
            f"{python}): {reason(failed.errors)}"
        )
    tell(f"Installed in {time.monotonic() - begin_s:.1f} s")


def _made(
    shell: Shell, board: Board, environment: Environment, wheels: Sequence[Path]
) -> Answer | None:
    """Make the environment there; return what went wrong, None if nothing did."""
    with TemporaryFolder() as folder:
        own = write_wheel(Path(folder))
        brought, pip = [own, *wheels], ""
        if not board.uv:
            pip = board.python.pip
            if not pip:
                brought.append(_own_pip() or fetched_pip(board, shell.place))
                pip = f"./{brought[-1].name}"
        flags = "--only-binary :all:" + (" --no-index --find-links ." if wheels else "")
        if not board.uv and not wheels:
            # Where there is no network, five tries for each package take minutes.
            flags += " --retries 1"
        with tempfile.TemporaryFile() as content:
            size_bytes = _pack(brought, content)
            answer = shell.run(
                _SCRIPT,
                [
                    *(environment.key, str(size_bytes), board.python.path, board.uv, pip),
                    *(flags, " ".join(environment.modules)),
                    *(f"./{own.name}", *environment.requirements),
                ],
                content,
                _INSTALL_LIMIT_S,
            )
    return answer if answer.status else None


def _pack(paths: Sequence[Path], file: BinaryIO) -> int:
    """Put files into an archive; return its size [bytes]."""
    with tarfile.open(fileobj=file, mode="w") as archive:
        for path in paths:
            archive.add(path, path.name)
    size_bytes = file.tell()
    file.seek(0)
    return size_bytes


def _own_pip() -> Path | None:
    """Return the wheel of pip that came with this Python, if it did."""
    import importlib.util
    import sysconfig

    found = importlib.util.find_spec("ensurepip")
    folders = [Path(found.origin).parent / "_bundled"] if found and found.origin else []
    if system := sysconfig.get_config_var("WHEEL_PKG_DIR"):
        folders.append(Path(system))
    wheels = [path for folder in folders for path in sorted(folder.glob("pip-*.whl"))]
    return wheels[-1] if wheels else None


def _require_space(shell: Shell, board: Board, needed_bytes: int) -> None:
    if board.free_bytes < needed_bytes:
        raise UnreachableError(
            f"{shell.place} has too little space for an environment in ~/{FOLDER}: "
            f"{board.free_bytes >> 20} MiB are free, about {needed_bytes >> 20} MiB are needed. "
            f"{ELSEWHERE}"
        )


def _is_full(answer: Answer) -> bool:
    # Source: strerror of ENOSPC and EDQUOT.
    return "No space left on device" in answer.errors or "Disk quota exceeded" in answer.errors


def _full(shell: Shell, board: Board) -> UnreachableError:
    return UnreachableError(
        f"{shell.place} ran out of space for an environment in ~/{FOLDER}; "
        f"{board.free_bytes >> 20} MiB were free before."
    )
