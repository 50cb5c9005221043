"""What a model may do on the target: as little as the system lets us leave it.

The session process gives up its rights itself, before any other thread exists and before a runtime
is imported, and can never have them again:

* ``full``: files by Landlock, system calls by seccomp, no privileges, limits;
* ``files``: the same but for system calls: a runtime may start programs;
* ``none``: limits alone.

``docs/security.rst`` says what that keeps a model from, and what it does not.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import resource
import struct
import sys
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import msgspec

from edge_tester.core.agent import isolation_calls, isolation_files, isolation_places
from edge_tester.core.errors import OptionError, RuntimeStateError
from edge_tester.core.system.processes import end_with_parent

logger = logging.getLogger(__name__)

LEVELS = ("full", "files", "none")
# Enough for any runtime; what a system has in all is hundreds of thousands.
_DESCRIPTORS = 4096
# Less than any core has. Where cores go to a program (core_pattern), the kernel looks whether it
# is just this. Source: fs/coredump.c.
_CORE_BYTES = 1
# Source: linux/capability.h: version 3; CAP_DAC_READ_SEARCH: root may import what only a user
# of this machine can read. Landlock decides what that may be.
_CAPABILITIES, _READ_SEARCH = 0x20080522, 1 << 2
_PR_SET_DUMPABLE = 4


class User(NamedTuple):
    """Another user of this machine.

    Attributes
    ----------
    name : str
    uid, gid : int
    groups : list of int
    """

    name: str
    uid: int
    gid: int
    groups: list[int]


class Isolation(msgspec.Struct, frozen=True, kw_only=True):
    """How far sessions are kept apart from the rest of the machine.

    Attributes
    ----------
    level : str
        One of :data:`LEVELS`.
    named : list of str
        Files and devices that the target's owner named.
    modules : list of str
        Dotted names of modules that the owner named.
    user : User, optional
        Who runs the sessions; the agent's user by default.
    memory_limit_bytes : int, optional
    scratch_limit_bytes : int, optional
        Of the folder of a session, and of any file in it.
    """

    level: str = "none"
    named: list[str] = []
    modules: list[str] = []
    user: User | None = None
    memory_limit_bytes: int | None = None
    scratch_limit_bytes: int | None = None


def unprotected(level: str) -> list[str]:
    """Return what a model can do on this system in spite of a level, in words."""
    if level == "none":
        return ["do whatever the agent's user may"]
    found = isolation_files.unprotected()
    if level == "files":
        # Landlock sees neither TCP Fast Open nor Multipath TCP.
        return [*found, "start programs, make connections, and lock and mark files that it reads"]
    if reason := isolation_calls.why_unavailable():
        found.append(f"make any system call, such as for processes and connections ({reason})")
    return found


def user_named(name: str) -> User:
    """Return another user, whom this process may become.

    Raises
    ------
    OptionError
        There is none of this name, or only root may become another user.
    """
    import pwd

    if os.geteuid() != 0:
        raise OptionError(
            f"--run-as {name}: only root may become another user, and this agent runs as user "
            f"{os.geteuid()}. Start it as {name}."
        )
    try:
        found = pwd.getpwnam(name)
    except KeyError as error:
        raise OptionError(f"--run-as: this machine has no user {name!r}.") from error
    if found.pw_uid == 0:
        raise OptionError(f"--run-as {name}: this user is root; name one with fewer rights.")
    return User(name, found.pw_uid, found.pw_gid, os.getgrouplist(name, found.pw_gid))


def isolate(isolation: Isolation, own: Path, models: Path) -> None:
    """Give up what a model does not need.

    Parameters
    ----------
    isolation : Isolation
    own : Path
        Folder to which the session may write.
    models : Path
        Folder from which it reads its model.

    Raises
    ------
    RuntimeStateError
        The system refuses what it seemed to have, or there are other threads, which would keep
        their rights.
    """
    try:
        _limit(isolation)
        if isolation.user is not None:
            _become(isolation.user)
        if isolation.level == "none":
            return
        _require_alone()
        _drop_privileges()
        if isolation_files.version():
            places = isolation_places.rules(own, models, isolation.named, isolation.modules)
            isolation_files.restrict(places)
        if isolation.level == "full" and not isolation_calls.why_unavailable():
            isolation_calls.restrict()
    except OSError as error:
        raise RuntimeStateError(
            f"Sessions cannot be isolated here: {error}. --isolation none does without: models "
            "then have all rights of the agent's user."
        ) from error


def limit_files(isolation: Isolation) -> None:
    """Bound every file that this process writes from now on, once the model is on the disk."""
    if isolation.scratch_limit_bytes is not None:
        _lower(resource.RLIMIT_FSIZE, isolation.scratch_limit_bytes)


def _limit(isolation: Isolation) -> None:
    _lower(resource.RLIMIT_CORE, _CORE_BYTES)
    _lower(resource.RLIMIT_NOFILE, _DESCRIPTORS)
    if isolation.memory_limit_bytes is not None and hasattr(resource, "RLIMIT_DATA"):
        # What is written to and nobody else's. The size of the address space would be wrong:
        # runtimes map far more than they use.
        _lower(resource.RLIMIT_DATA, isolation.memory_limit_bytes)


def _lower(what: int, most: int) -> None:
    soft, hard = (
        most if one == resource.RLIM_INFINITY else min(one, most)
        for one in resource.getrlimit(what)
    )
    resource.setrlimit(what, (soft, hard))


def _become(user: User) -> None:
    os.setgroups(user.groups)
    os.setgid(user.gid)
    os.setuid(user.uid)
    if sys.platform == "linux":
        # Both are lost with the user: to end with the agent, and to see one's own memory.
        end_with_parent()
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    for place in isolation_places.needed():
        if not os.access(place, os.R_OK | os.X_OK):
            raise RuntimeStateError(
                f"--run-as {user.name}: this user cannot read {place}, which sessions need. "
                "Install edge_tester where everybody can read it, such as in /opt."
            )


def _require_alone() -> None:
    with contextlib.suppress(FileNotFoundError):
        threads = os.listdir("/proc/self/task")
        if len(threads) > 1:
            raise RuntimeStateError(
                f"The session process has {len(threads)} threads before it is isolated, and would "
                "isolate one of them: import what starts threads later, or say --isolation none."
            )


def _drop_privileges() -> None:
    """Let root be an ordinary user whose files are root's."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return
    header = struct.pack("=Ii", _CAPABILITIES, 0)
    # Effective, permitted and inheritable: bits 0 to 31, then 32 to 63.
    data = struct.pack("=6I", _READ_SEARCH, _READ_SEARCH, 0, 0, 0, 0)
    library = ctypes.CDLL(None, use_errno=True)
    if library.capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def named_by(options: Collection[object]) -> tuple[list[str], list[str]]:
    """Return which of the owner's values name files that exist, and which could be modules."""
    words = [str(one) for value in options for one in _each(value)]
    existing = [os.path.abspath(word) for word in words if word and os.path.exists(word)]
    modules = [word for word in words if all(part.isidentifier() for part in word.split("."))]
    return existing, modules


def _each(value: object) -> Collection[object]:
    return value if isinstance(value, tuple | list) else () if value is None else (value,)
