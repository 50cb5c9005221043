"""What the firmware of a Raspberry Pi says, as its documentation has it."""

import os

import pytest

from edge_tester.core.system.throttling import decoded, throttling


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("throttled=0x0\n", []),
        (
            "throttled=0x50005\n",
            [
                *("under-voltage now", "throttled now"),
                *("under-voltage since it was started", "throttled since it was started"),
            ],
        ),
        (
            "throttled=0xa000a",
            [
                *("frequency capped now", "soft temperature limit now"),
                "frequency capped since it was started",
                "soft temperature limit since it was started",
            ],
        ),
        ("error=1 error_msg=Command not registered", None),
        ("temp=0x50005", None),
        ("", None),
    ],
)
def test_flags_are_told_by_their_bits(text, flags):
    assert flags == decoded(text)


@pytest.mark.parametrize(("status", "flags"), [(0, ["throttled now"]), (255, None)])
def test_the_program_is_asked(tmp_path, monkeypatch, status, flags):
    """A program in its place: the firmware of a Raspberry Pi is nowhere else."""
    program = tmp_path / "vcgencmd"
    program.write_text(
        f'#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0x4\nexit {status}\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert flags == throttling()


def test_where_there_is_no_such_program_nothing_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert throttling() is None
