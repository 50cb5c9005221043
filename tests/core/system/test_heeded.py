"""An interrupt that Python has let pass still ends the program."""

import subprocess
import sys

import pytest

from edge_tester.core.system import interrupts

# What a callback of a weak reference raises is ignored.
PROGRAM = """
import os, signal, sys, time, weakref
from edge_tester.core.system.interrupts import heed
from edge_tester.scenarios._program import guard

class Thing:
    pass

def interrupted(reference):
    os.kill(os.getpid(), signal.{name})
    time.sleep(0.1)

def command(arguments):
    thing = Thing()
    reference = weakref.ref(thing, interrupted)
    del thing
    print("goes on", flush=True)
    heed()
    return 0

sys.exit(guard(command))
"""


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_what_was_let_pass_is_heeded(name, status):
    command = [sys.executable, "-c", PROGRAM.format(name=name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "goes on\n" == done.stdout
    assert status == done.returncode
    assert done.stderr.endswith("interrupted\n")


def test_without_one_nothing_is_heeded():
    interrupts.heed()
    interrupts.note(15)
    with pytest.raises(KeyboardInterrupt):
        interrupts.heed()
    interrupts.forget()
    interrupts.heed()
