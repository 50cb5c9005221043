"""What the firmware of a Raspberry Pi says of its power and its heat."""

from __future__ import annotations

import shutil
import subprocess

# Bit of the number -> what it says. Source: Raspberry Pi documentation, "Raspberry Pi OS",
# "vcgencmd", get_throttled.
_FLAGS = {
    0: "under-voltage now",
    1: "frequency capped now",
    2: "throttled now",
    3: "soft temperature limit now",
    16: "under-voltage since it was started",
    17: "frequency capped since it was started",
    18: "throttled since it was started",
    19: "soft temperature limit since it was started",
}
_LIMIT_S = 5.0


def throttling() -> list[str] | None:
    """Ask ``vcgencmd get_throttled``.

    Returns
    -------
    list of str or None
        What holds now, or has since the start; empty for nothing. None where there is no such
        program, or this user may not ask it.
    """
    program = shutil.which("vcgencmd")
    if program is None:
        return None
    try:
        run = subprocess.run(
            [program, "get_throttled"], capture_output=True, text=True, timeout=_LIMIT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return decoded(run.stdout) if run.returncode == 0 else None


def decoded(text: str) -> list[str] | None:
    """Return what ``throttled=0x50005`` means; None if it is something else."""
    name, _, value = text.strip().partition("=")
    try:
        number = int(value, 16)
    except ValueError:
        return None
    if name != "throttled":
        return None
    return [said for bit, said in _FLAGS.items() if number >> bit & 1]
