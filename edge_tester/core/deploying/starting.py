"""Start what was installed on another machine, or learn that it was not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import edge_tester
from edge_tester.core.deploying.environment import Environment, beginning_of_keys
from edge_tester.core.deploying.installing import install
from edge_tester.core.deploying.shell import Answer, Shell
from edge_tester.core.errors import UnreachableError

HERE, MISSING = "edge_tester: here", "edge_tester: missing"
MISSING_STATUS = 87
# $0 is the key of the environment, the rest are words of the command. In one line, which login
# shells of all kinds hand on. The folder that one works in comes first where Python looks for
# modules: it is one that has none. When it was used is noted where that can be written.
START = (
    'cd "$HOME/.cache/edge_tester/$0" 2> /dev/null && [ -f whole ] && [ -x bin/python ] '
    f'|| {{ echo "{MISSING}"; exit {MISSING_STATUS}; }}; '
    f'unset PYTHONPATH PYTHONHOME; (: > whole) 2> /dev/null; echo "{HERE}"; '
    'exec bin/python -m edge_tester "$@"'
)
# The same for an agent that stays for several connections, on a socket in a folder of its own ($1),
# until standard input ends; whatever then runs of it ends too.
STAY = (
    'cd "$HOME/.cache/edge_tester/$0" 2> /dev/null && [ -f whole ] && [ -x bin/python ] '
    f'|| {{ echo "{MISSING}"; exit {MISSING_STATUS}; }}; '
    "unset PYTHONPATH PYTHONHOME; umask 077; (: > whole) 2> /dev/null; "
    f'folder=$1; shift; mkdir "$folder" || exit; echo "{HERE}"; exec 3<&0; '
    'bin/python -m edge_tester "$@" --host "$folder/agent" < /dev/null & agent=$!; '
    '(cat <&3; kill "$agent") > /dev/null 2>&1 & exec 3<&-; wait "$agent"; status=$?; '
    'rm -rf "$folder"; exit "$status"'
)
# Of the environments that have this very package, the one that was used last.
_NEWEST = (
    'cd "$HOME/.cache/edge_tester" 2> /dev/null && ls -td "$0"*/whole 2> /dev/null | head -n 1'
)


def newest(shell: Shell) -> str:
    """Return the key of the environment with this package that was used last; empty for none."""
    lines = shell.run(_NEWEST, [beginning_of_keys()]).output.split()
    return lines[-1].rpartition("/")[0] if lines else ""


def ensure(
    shell: Shell, environment: Environment, tell: Callable[[str], None], *, bring: bool = False
) -> None:
    """Install an environment on another machine, unless it is there.

    Raises
    ------
    UnreachableError
    """
    if _started(shell, environment.key, ["--version"], 60.0) is None:
        install(shell, environment, tell, bring=bring)


def run_installed(shell: Shell, key: str, words: Sequence[str], limit_s: float) -> Answer:
    """Run a command of edge_tester on another machine.

    Parameters
    ----------
    shell : Shell
    key : str
        Of an environment that was installed there.
    words : sequence of str
        Of the command.
    limit_s : float
        Time that it may take.

    Raises
    ------
    UnreachableError
        It is not installed there, or cannot be started.
    """
    answer = _started(shell, key, words, limit_s)
    if answer is None:
        raise UnreachableError(
            f"{shell.place} does not have edge_tester {edge_tester.__version__} in "
            f"~/.cache/edge_tester/{key}: see who removes folders there."
        )
    return answer


def _started(shell: Shell, key: str, words: Sequence[str], limit_s: float) -> Answer | None:
    """Run a command there; None if it is not installed."""
    answer = shell.run(START, [key, *words], limit_s=limit_s)
    # What start files print comes before.
    _, here, output = answer.output.partition(f"{HERE}\n")
    if here:
        return answer._replace(output=output)
    if answer.status == MISSING_STATUS and MISSING in answer.output:
        return None
    said = (answer.errors.strip().splitlines() or ["it gave no reason"])[-1]
    raise UnreachableError(f"{shell.place} ran no shell script (status {answer.status}): {said}")
