"""Processes that end with the one that has started them, also where that is killed."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
from collections.abc import Callable

logger = logging.getLogger(__name__)

# Source: prctl(2), linux/prctl.h.
_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int | None = None) -> None:
    """Let the kernel kill this process when its parent ends (Linux).

    Parameters
    ----------
    parent : int, optional
        Who has started it: where that has ended before the kernel was asked, it ends at once.
    """
    set_process_option(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def ended_with_this(number: int = signal.SIGKILL) -> Callable[[], None] | None:
    """Return what a child calls before it becomes its program, to get a signal with our end.

    Returns
    -------
    callable or None
        For ``preexec_fn``; None where the system cannot (other than Linux).
    """
    if sys.platform != "linux":
        return None
    # Before the fork: a child of a process with threads must not import.
    set_option, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask() -> None:
        set_option(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            # It was killed a moment before, and nobody would end this one.
            os._exit(1)

    return ask


def set_process_option(option: int, value: int) -> bool:
    """Set an option of this process by prctl(2); tell whether the system took it."""
    if sys.platform != "linux":
        return False
    if ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0:
        return True
    logger.debug("prctl(%d) was refused", option)
    return False
