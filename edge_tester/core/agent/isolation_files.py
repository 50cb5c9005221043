"""The files, ports and processes that a model may reach: the kernel's Landlock.

What no rule allows is refused to this thread and to all that it starts, whoever the user is. Rules
are for what lies beneath a folder, or for one file. What was opened before stays open.

Source of all numbers: linux/landlock.h (Linux 6.12), and for what each version of the interface
can: Documentation/userspace-api/landlock.rst, "Previous limitations".
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from edge_tester.core.agent.isolation_calls import PR_SET_NO_NEW_PRIVS

# Source: asm-generic/unistd.h; all architectures have the same.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE = 1 << 4, 1 << 5
_MAKE_DIR, _MAKE_REG, _MAKE_FIFO, _MAKE_SYM = 1 << 7, 1 << 8, 1 << 10, 1 << 12
_REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
# How many of these rights a version of the interface knows; later ones know all.
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_ALL_RIGHTS = 16
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV

READ = READ_FILE | READ_DIR | EXECUTE
# No program that it has written itself, no socket, no device.
OWN = (
    (READ_FILE | READ_DIR | WRITE_FILE | TRUNCATE | _REMOVE_DIR | _REMOVE_FILE | _REFER)
    | (_MAKE_DIR | _MAKE_REG | _MAKE_FIFO | _MAKE_SYM)
)  # fmt: skip
DEVICE = READ_FILE | READ_DIR | WRITE_FILE | IOCTL_DEV

# From these versions on; bits of linux/landlock.h: to bind and to connect TCP; abstract Unix
# sockets and signals.
_NETWORK_FROM, _NETWORK = 4, 1 << 0 | 1 << 1
_SCOPES_FROM, _SCOPES = 6, 1 << 0 | 1 << 1
# struct landlock_ruleset_attr, of which a kernel takes as much as it knows; and
# struct landlock_path_beneath_attr, which is packed.
_RULESET, _RULE = struct.Struct("=QQQ"), struct.Struct("=Qi")


class Rule(NamedTuple):
    """What may be done with a file, or with all beneath a folder."""

    path: Path
    rights: int


def version() -> int:
    """Return the version of the interface that the kernel has, 0 where there is none."""
    if sys.platform != "linux":
        return 0
    try:
        return _call(_CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        # ENOSYS or EOPNOTSUPP: not built in, or switched off when the machine was started.
        return 0


def unprotected() -> list[str]:
    """Return what models can still do because this kernel's Landlock is old or missing."""
    found = version()
    if not found:
        return ["read and write the files of the agent's user (Landlock: Linux 5.13, switched on)"]
    older = {
        3: "shorten files of the agent's user (Linux 6.2)",
        _NETWORK_FROM: "make TCP connections where system calls are not filtered (Linux 6.7)",
        5: "control devices that they have opened (Linux 6.10)",
        _SCOPES_FROM: "signal processes of the agent's user where system calls are not filtered "
        "(Linux 6.12)",
    }
    return [what for needed, what in older.items() if found < needed]


def restrict(rules: Iterable[Rule]) -> None:
    """Let this thread, and all that it starts, reach what the rules allow and nothing else.

    A path that is not there is left out; no TCP port is allowed, and no process outside.

    Raises
    ------
    OSError
        The kernel refuses.
    """
    found = version()
    handled = (1 << _RIGHTS.get(found, _ALL_RIGHTS)) - 1
    ruleset = _RULESET.pack(
        handled,
        _NETWORK if found >= _NETWORK_FROM else 0,
        _SCOPES if found >= _SCOPES_FROM else 0,
    )
    # Of older versions each has one field fewer.
    fields = 1 + (found >= _NETWORK_FROM) + (found >= _SCOPES_FROM)
    descriptor = _call(_CREATE_RULESET, ruleset, 8 * fields, 0)
    try:
        for rule in rules:
            _add(descriptor, rule, handled)
        library = ctypes.CDLL(None, use_errno=True)
        if library.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
        _call(_RESTRICT_SELF, descriptor, 0)
    finally:
        os.close(descriptor)


# The kernel knows the files of a rule by their inodes, and makes those of /proc anew when it had
# forgotten them. What is open is not forgotten.
_kept_open: list[int] = []


def _add(ruleset: int, rule: Rule, handled: int) -> None:
    with _opened(rule.path) as descriptor:
        if descriptor is None:
            return
        if rule.path.is_relative_to("/proc"):
            _kept_open.append(os.dup(descriptor))
        rights = rule.rights & handled
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _OF_FILES
        if rights:
            _call(_ADD_RULE, ruleset, _PATH_BENEATH, _RULE.pack(rights, descriptor), 0)


@contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    """Give a descriptor that names a path and opens nothing; None where it cannot be reached."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ENXIO, errno.ELOOP):
            raise
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: object) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    wide = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result: int = library.syscall(ctypes.c_long(number), *wide)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock, system call {number}: {os.strerror(code)}")
    return result
