"""Changes that make a figure wrong: each must make the tests fail.

Run: ``python tests/mutations.py [NUMBER ...]``, or ``make mutations``. Every change is made in a
copy of the project, never here. It takes a quarter of an hour, so it is no part of ``make test``.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Run as a script, the folder of the tests is not the project's.
sys.path.insert(0, str(ROOT))

from tests import mutated, mutated_analysis  # noqa: E402
from tests.mutated import Mutation  # noqa: E402
from tests.mutated_compression import COMPRESSION  # noqa: E402
from tests.mutated_gate import GATES  # noqa: E402
from tests.mutated_isolation import ISOLATED  # noqa: E402
from tests.mutated_kills import KILLED  # noqa: E402
from tests.mutated_links import LINKS  # noqa: E402
from tests.mutated_search import SEARCH  # noqa: E402
from tests.mutated_serial import SERIAL  # noqa: E402
from tests.mutated_sweep import SWEEP  # noqa: E402

MUTATIONS = (
    *(*mutated.MUTATIONS, *mutated_analysis.MUTATIONS),
    *(*COMPRESSION, *SWEEP, *SEARCH, *GATES, *LINKS, *ISOLATED, *SERIAL, *KILLED),
)

TESTS = (
    "tests/core/statistics/test_agreement.py",
    "tests/core/checking/test_validation.py",
    "tests/core/pipeline",
    "tests/core/analysis/test_liveness.py",
    "tests/core/analysis/test_analysis.py",
    "tests/core/analysis/test_fitting.py",
    "tests/core/analysis/test_macs.py",
    "tests/core/agent/test_figures.py",
    "tests/core/run",
    "tests/core/wire",
    "tests/core/results",
    "tests/patterns",
    "tests/core/test_record.py",
    "tests/core/system/test_machine.py",
    "tests/testing/test_agent_suite.py",
)


def survives(mutation: Mutation, folder: Path) -> bool:
    """Tell whether the tests pass all the same."""
    path = folder / mutation.path
    original = path.read_text()
    if original.count(mutation.old) != 1:
        raise SystemExit(
            f"{mutation.path} has {mutation.old!r} {original.count(mutation.old)} times."
        )
    path.write_text(original.replace(mutation.old, mutation.new))
    try:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        command += mutation.tests or TESTS
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
        return run.returncode == 0
    finally:
        path.write_text(original)


def main() -> int:
    """Try all, or those that are named by number; the status is 1 if one survives."""
    chosen = [int(word) for word in sys.argv[1:]] or list(range(len(MUTATIONS)))
    left = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "project"
        kept = shutil.ignore_patterns(".git", ".venv*", "build", "__pycache__", ".*_cache")
        shutil.copytree(ROOT, folder, ignore=kept)
        for number in chosen:
            mutation = MUTATIONS[number]
            alive = survives(mutation, folder)
            print(f"{number:3} {'SURVIVES' if alive else 'fails'}: {mutation.what}", flush=True)
            left += [number] if alive else []
    print(f"{len(chosen) - len(left)} of {len(chosen)} make the tests fail.")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
