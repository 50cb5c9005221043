"""The system calls that a model may make: a filter of the kernel's (seccomp), by numbers alone.

What a runtime needs (files, memory, threads, waiting, the connection that it has) is not
touched; what reaches another process, another machine or the kernel itself is refused with EPERM,
which libraries know to handle. The filter is inherited by all threads and can never be removed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterable

from edge_tester.core.agent.isolation_numbers import (
    ARCHITECTURES,
    CONDITIONAL,
    LAST_KNOWN,
    REFUSED,
    X32_BIT,
    Numbers,
)

# Source: prctl(2), linux/prctl.h.
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
_PR_GET_SECCOMP = 21
# Source: linux/seccomp.h.
_MODE_FILTER = 2
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
# Source: linux/seccomp.h, struct seccomp_data: number, architecture, address, six arguments of
# 64 bits, of which a load of 32 bits on a little-endian machine finds the lower half first.
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT, _ARGUMENT_BYTES = 0, 4, 16, 8
# Source: linux/bpf_common.h: load a word of the data; jump where equal, greater or equal, or where
# a bit is set; keep some bits of what was loaded; return.
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_BIT, _KEEP, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_INSTRUCTION = struct.Struct("=HBBI")
# Source: linux/sched.h, linux/socket.h, linux/fcntl.h, asm-generic/ioctls.h, linux/resource.h.
_CLONE_THREAD, _AF_UNIX, _PRIO_PROCESS = 0x10000, 1, 0
_F_SETOWN, _F_SETSIG, _F_SETOWN_EX, _F_SETLEASE, _F_NOTIFY = 8, 10, 15, 1024, 1026
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
# Source: asm-generic/ioctl.h: bits 8 to 15 say what a request is for.
# Documentation/userspace-api/ioctl/ioctl-number.rst: f, v and X are attributes of files, which a
# descriptor for reading is enough to change, 0x94 those of btrfs, and 0x89 is for sockets:
# interfaces, and whom to signal.
_REQUEST_KIND, _REQUESTS_REFUSED = 0xFF00, (0x6600, 0x7600, 0x5800, 0x9400, 0x8900)

Instruction = tuple[int, int, int, int]


class _Program(ctypes.Structure):
    """What the kernel is given: struct sock_fprog of linux/filter.h."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def why_unavailable() -> str:
    """Return why system calls cannot be filtered here, empty if they can."""
    if sys.platform != "linux":
        return "only Linux filters system calls"
    if platform.machine() not in ARCHITECTURES or sys.byteorder != "little":
        return f"the numbers of its system calls are not known for {platform.machine()}"
    if sys.maxsize < 1 << 32:
        return "a 32-bit Python makes other system calls"
    if ctypes.CDLL(None).prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) < 0:
        return "its kernel has no seccomp"
    return ""


def restrict() -> None:
    """Let this thread, and all that it starts, make none of those calls any more.

    Raises
    ------
    OSError
        The kernel refuses.
    """
    program = program_for(platform.machine(), os.getpid())
    content = ctypes.create_string_buffer(program, len(program))
    described = _Program(len(program) // _INSTRUCTION.size, ctypes.addressof(content))
    library = ctypes.CDLL(None, use_errno=True)
    # Without it only a privileged process may; it also keeps programs from gaining any right.
    for option, *arguments in (
        (PR_SET_NO_NEW_PRIVS, 1, 0),
        (PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(described)),
    ):
        if library.prctl(option, *arguments, 0, 0) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def program_for(machine: str, pid: int) -> bytes:
    """Return the filter.

    Parameters
    ----------
    machine : str
        As ``uname -m`` names it.
    pid : int
        The process that may still send signals to itself, and set its own limits.
    """
    place, architecture = ARCHITECTURES[machine]
    refuse = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    unknown = (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)
    program: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        # i386 on x86-64, ARM on AArch64: other numbers.
        (_IF_EQUAL, 1, 0, architecture),
        refuse,
        (_LOAD, 0, 0, _NUMBER_AT),
        (_IF_AT_LEAST, 0, 1, X32_BIT),
        refuse,
        # As an older kernel answers what it does not have.
        (_IF_AT_LEAST, 0, 1, LAST_KNOWN + 1),
        unknown,
    ]
    for numbers in REFUSED.values():
        if (number := numbers[place]) is not None:
            program += [(_IF_EQUAL, 0, 1, number), refuse]
    # The C library then takes clone, whose flags are in a register and not in memory.
    program += _on(CONDITIONAL["clone3"], place, [unknown])
    for name, body in _conditions(pid, refuse).items():
        program += _on(CONDITIONAL[name], place, body)
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(_INSTRUCTION.pack(*one) for one in program)


def _conditions(pid: int, refuse: Instruction) -> dict[str, list[Instruction]]:
    """Return what comes after the number of a call was found, by its name."""
    allow = (_RETURN, 0, 0, _ALLOW)

    def only(argument: int, allowed: Iterable[int]) -> list[Instruction]:
        tests = [one for value in allowed for one in ((_IF_EQUAL, 0, 1, value), allow)]
        return [_load(argument), *tests, refuse]

    def none_of(argument: int, refused: Iterable[int]) -> list[Instruction]:
        tests = [one for value in refused for one in ((_IF_EQUAL, 0, 1, value), refuse)]
        return [_load(argument), *tests, allow]

    own, own_or_zero = only(0, [pid]), only(0, [0, pid])
    return {
        "clone": [_load(0), (_IF_BIT, 0, 1, _CLONE_THREAD), allow, refuse],
        "kill": own,
        "tgkill": own,
        "rt_sigqueueinfo": own,
        "rt_tgsigqueueinfo": own,
        # Two ends in one process reach nobody, as long as a message has no address of its own.
        "socketpair": only(0, [_AF_UNIX]),
        "sendto": [_load(4), (_IF_EQUAL, 1, 0, 0), refuse, _load_upper(4), (_IF_EQUAL, 0, 1, 0)]
        + [allow, refuse],
        # It ends with the agent, whatever it wants.
        "prctl": none_of(0, [PR_SET_PDEATHSIG]),
        # The limits, priority and scheduling of the agent are its own.
        "prlimit64": own_or_zero,
        "sched_setscheduler": own_or_zero,
        "sched_setparam": own_or_zero,
        "sched_setattr": own_or_zero,
        "move_pages": own_or_zero,
        "setpriority": [
            _load(0),
            (_IF_EQUAL, 1, 0, _PRIO_PROCESS),
            refuse,
            *only(1, [0, pid]),
        ],
        # Whose owner is another process sends signals to that one; a lease holds up who writes.
        "fcntl": none_of(1, [_F_SETOWN, _F_SETSIG, _F_SETOWN_EX, _F_SETLEASE, _F_NOTIFY]),
        "ioctl": [
            *none_of(1, [_TIOCSTI, _TIOCLINUX])[:-1],
            (_KEEP, 0, 0, _REQUEST_KIND),
            *none_of(1, _REQUESTS_REFUSED)[1:],
        ],
    }


def _on(numbers: Numbers, place: int, body: list[Instruction]) -> list[Instruction]:
    """Return what runs a body, which ends by itself, for one call."""
    number = numbers[place]
    return [] if number is None else [(_IF_EQUAL, 0, len(body), number), *body]


def _load(argument: int) -> Instruction:
    # What the kernel reads of most is the lower half: int, pid_t, unsigned int, clone's flags.
    return (_LOAD, 0, 0, _ARGUMENTS_AT + argument * _ARGUMENT_BYTES)


def _load_upper(argument: int) -> Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS_AT + argument * _ARGUMENT_BYTES + _ARGUMENT_BYTES // 2)
