"""Facts and counters of this machine and process."""

import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
if len(sys.argv) == 1:
    large = bytearray(300_000_000)
    os.execv(sys.executable, [sys.executable, __file__, "again"])
from edge_tester.core.system.machine import peak_memory_bytes, reset_peak_memory
print(peak_memory_bytes())
reset_peak_memory()
large = bytearray(100_000_000)
print(peak_memory_bytes())
del large
reset_peak_memory()
print(peak_memory_bytes())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counted since exec by Linux alone")
def test_the_peak_is_of_this_program_since_the_last_reset(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    finished = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, check=True
    )
    begin, large, end = map(int, finished.stdout.split())
    assert begin < 100_000_000
    assert 100_000_000 < large < 200_000_000
    assert end < 100_000_000
