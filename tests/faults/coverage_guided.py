"""Fuzz the agent's own code, guided by what of it runs; by hand, with the package atheris.

Run: ``python -m tests.faults.coverage_guided FOLDER [-max_total_time=600]``, where FOLDER takes
what is found; the corpus of this folder is the beginning. Put inputs that found a defect, once
it is mended, into ``corpus``, where a test plays them again. The words are those of libFuzzer.
"""

import sys

import atheris

with atheris.instrument_imports(include=["edge_tester.core"]):
    from tests.faults.fuzzing import CORPUS, require_defined


def main() -> None:
    """Fuzz until the time is over or something is found."""
    atheris.Setup([*sys.argv, str(CORPUS), "-max_len=8192", "-timeout=20"], require_defined)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
