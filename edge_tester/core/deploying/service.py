"""An agent that stays on another machine: a unit of its user's systemd."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from edge_tester.core.deploying.shell import Shell
from edge_tester.core.errors import UnreachableError

SOCKET = ".cache/edge_tester/agent"
UNIT = ".config/systemd/user/edge-tester.service"
# %h is the home folder: systemd.unit(5). Control groups are delegated so that the agent ends all
# that a model started (docs/security.rst).
_UNIT = """\
[Unit]
Description=edge_tester agent

[Service]
WorkingDirectory=%h/.cache/edge_tester/{key}
ExecStart=%h/.cache/edge_tester/{key}/bin/python -m edge_tester {words} --host %h/{socket}
Restart=on-failure
Delegate=yes

[Install]
WantedBy=default.target
"""
# $1 is the unit. Says in its last line what came of it. Without a session of systemd's for this
# user, as in containers, systemctl fails at once.
_LEAVE = """
umask 077
unit="$HOME/.config/systemd/user/edge-tester.service"
mkdir -p "$HOME/.config/systemd/user" && printf '%s' "$1" > "$unit" || exit
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/run/user/$(id -u)}"
command -v systemctl > /dev/null || { echo "result no-systemd"; exit 0; }
systemctl --user daemon-reload 2>&1 || { echo "result no-session"; exit 0; }
systemctl --user enable edge-tester 2>&1 && systemctl --user restart edge-tester 2>&1 ||
    { echo "result failed"; exit 0; }
if loginctl enable-linger 2> /dev/null; then echo "result lingers"; else echo "result runs"; fi
"""
_REMOVE = """
unit="$HOME/.config/systemd/user/edge-tester.service"
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/run/user/$(id -u)}"
found=
[ -e "$unit" ] || [ -d "$HOME/.cache/edge_tester" ] && found=yes
command -v systemctl > /dev/null && systemctl --user disable --now edge-tester > /dev/null 2>&1
# What is in it first: it may be a link to another disk.
rm -f "$unit" && rm -rf "$HOME/.cache/edge_tester"/* "$HOME/.cache/edge_tester" || exit
command -v systemctl > /dev/null && systemctl --user daemon-reload > /dev/null 2>&1
[ -n "$found" ] && echo removed
exit 0
"""


def leave(shell: Shell, key: str, runtimes: Sequence[str], tell: Callable[[str], None]) -> bool:
    """Leave an agent on another machine that starts with it.

    Parameters
    ----------
    shell : Shell
    key : str
        Of an environment that is installed there.
    runtimes : sequence of str
        What it serves.
    tell : callable
        Hears what was done, and what is left for somebody to do.

    Returns
    -------
    bool
        Whether it runs; otherwise the unit lies there, and was told how to start it.

    Raises
    ------
    UnreachableError
        The machine cannot be reached, or written to.
    """
    words = shlex.join(["server", "network", *runtimes])
    unit = _UNIT.format(key=key, words=words, socket=SOCKET)
    answer = shell.run(_LEAVE, ["leave", unit])
    if answer.status:
        raise UnreachableError(
            f"{shell.place}: ~/{UNIT} cannot be written: {answer.errors.strip()}"
        )
    *said, last = answer.output.strip().splitlines()
    result = last.removeprefix("result ")
    tell(f"Wrote ~/{UNIT} on {shell.place}")
    if result in ("lingers", "runs"):
        tell("The agent runs, and starts again with the machine")
        if result == "runs":
            user = shell.place.rpartition("@")[0] or "$USER"
            tell(f"but only while somebody is logged in: sudo loginctl enable-linger {user}")
        return True
    cause = {
        "no-systemd": "there is no systemd",
        "no-session": "its user has no session of systemd's: "
        + (said[-1] if said else "systemctl --user fails"),
    }.get(result, f"the unit failed: {said[-1] if said else 'systemctl gave no reason'}")
    tell(f"It cannot be started as a unit, since {cause}. By hand, there:")
    tell(f"  ~/.cache/edge_tester/{key}/bin/edge-tester {words} --host ~/{SOCKET}")
    return False


def forwarding(shell: Shell, port: int) -> str:
    """Return the words of ssh by which a port of this machine leads to the agent that stays.

    Raises
    ------
    UnreachableError
        The machine cannot be reached.
    """
    # The last line: what start files print comes before.
    home = shell.run('echo "$HOME"').output.splitlines()[-1]
    return f"-L {shlex.quote(f'{port}:{home}/{SOCKET}')}"


def remove(shell: Shell) -> bool:
    """Remove all that was installed on another machine; return whether there was something.

    Raises
    ------
    UnreachableError
        The machine cannot be reached, or something cannot be removed.
    """
    answer = shell.run(_REMOVE, ["remove"], limit_s=300.0)
    if answer.status:
        raise UnreachableError(f"{shell.place}: not all could be removed: {answer.errors.strip()}")
    return "removed" in answer.output.split()
