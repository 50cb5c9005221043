"""The filter of system calls, by its numbers and its instructions."""

import platform
import re
from pathlib import Path

import numpy as np
import pytest

from edge_tester.core.agent import isolation_calls
from edge_tester.core.agent.isolation_numbers import CONDITIONAL, REFUSED

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


@pytest.mark.parametrize("machine", HEADERS)
def test_numbers_are_those_of_the_kernel_s_headers(machine):
    if not HEADERS[machine].exists():
        pytest.skip("needs the kernel's headers")
    found = re.findall(r"#define (?:__NR_|__NR3264_)(\w+)\s+(\d+)", HEADERS[machine].read_text())
    numbers = {name: int(number) for name, number in found}
    place = isolation_calls.ARCHITECTURES[machine][0]
    ours = {name: pair[place] for name, pair in {**REFUSED, **CONDITIONAL}.items()}
    common = numbers.keys() & ours.keys()
    assert len(common) > 100
    assert {name: numbers[name] for name in common} == {name: ours[name] for name in common}


def answer_of(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """Run a filter as the kernel does; return the error that a call gets, 0 if it is allowed."""
    known = isolation_calls.ARCHITECTURES[machine][1]
    data = np.zeros(16, np.uint32)
    data[0], data[1] = number, known if architecture is None else architecture
    for place, argument in enumerate(arguments):
        data[4 + 2 * place], data[5 + 2 * place] = argument & 0xFFFFFFFF, argument >> 32
    program = isolation_calls.program_for(machine, 4711)
    instructions = list(isolation_calls._INSTRUCTION.iter_unpack(program))
    assert len(instructions) < 4096
    at = accumulator = 0
    while True:
        code, yes, no, value = instructions[at]
        at += 1
        if code == 0x20:
            accumulator = int(data[value // 4])
        elif code == 0x54:
            accumulator &= value
        elif code == 0x06:
            return value & 0xFFFF if value >> 16 == 5 else 0
        else:
            holds = {
                0x15: accumulator == value,
                0x35: accumulator >= value,
                0x45: bool(accumulator & value),
            }[code]
            at += yes if holds else no


@pytest.mark.parametrize("machine", HEADERS)
def test_the_filter_by_its_instructions(machine):
    """Also for the architecture that this machine is not."""
    place = isolation_calls.ARCHITECTURES[machine][0]

    def number(name: str) -> int:
        return {**REFUSED, **CONDITIONAL}[name][place]

    for name, numbers in REFUSED.items():
        if numbers[place] is not None:
            assert 1 == answer_of(machine, numbers[place]), name
    cases = {
        ("clone", 0x3D0F00): 0,
        ("clone", 0x1200011): 1,
        ("clone3",): 38,
        ("kill", 4711, 9): 0,
        ("kill", 0, 9): 1,
        ("kill", 0xFFFFFFFF, 9): 1,
        ("tgkill", 4711, 4712, 6): 0,
        ("tgkill", 4712, 4712, 6): 1,
        ("socketpair", 1, 1): 0,
        ("socketpair", 2, 1): 1,
        ("prctl", 15): 0,
        ("prctl", 1): 1,
        ("prlimit64", 0): 0,
        ("prlimit64", 1): 1,
        ("setpriority", 0, 0, 5): 0,
        ("setpriority", 2, 0, 5): 1,
        ("setpriority", 0, 1, 5): 1,
        ("fcntl", 3, 8, 1): 1,
        ("fcntl", 3, 6, 1): 0,
        ("ioctl", 3, 0x5401): 0,
        ("ioctl", 3, 0x5412): 1,
        ("ioctl", 3, 0x541B): 0,
        # To set flags of a file, and its project; whom a socket signals.
        ("ioctl", 3, 0x40086602): 1,
        ("ioctl", 3, 0x401C5820): 1,
        ("ioctl", 3, 0x8901): 1,
        # A driver's own: DRM_IOCTL_VERSION.
        ("ioctl", 3, 0xC0406400): 0,
        ("fcntl", 3, 1024, 0): 1,
        # With an address, of which the lower half may be zero.
        ("sendto", 3, 0, 1, 0, 0): 0,
        ("sendto", 3, 0, 1, 0, 0x7F0012345678): 1,
        ("sendto", 3, 0, 1, 0, 0x100000000): 1,
    }
    for (name, *arguments), expected in cases.items():
        assert expected == answer_of(machine, number(name), *arguments), (name, arguments)
    # read, of either; by the numbers of i386 or x32; and what is newer than the table.
    read = {"x86_64": 0, "aarch64": 63}[machine]
    assert 0 == answer_of(machine, read)
    assert 1 == answer_of(machine, read, architecture=0x40000003)
    assert 1 == answer_of(machine, read | 0x40000000)
    assert 38 == answer_of(machine, 500)


def test_the_table_is_for_this_machine():
    assert (platform.machine() in isolation_calls.ARCHITECTURES) == (
        not isolation_calls.why_unavailable()
    )
