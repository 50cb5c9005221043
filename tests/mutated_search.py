"""Changes of the search by several workers, each of which must make its tests fail."""

from tests.mutated import Mutation

FOLDER = "edge_tester/core/search"
LEASES, STUDIES = ("tests/core/search/test_leases.py",), ("tests/core/search/test_studies.py",)
OPTIMIZING = ("tests/core/search/test_optimizing.py",)

SEARCH = (
    Mutation(
        f"{FOLDER}/leases.py",
        'f"WHERE device = :device AND expires_s < {self._now}",',
        'f"WHERE device = :device",',
        "a lease is taken that has not expired",
        LEASES,
    ),
    Mutation(
        f"{FOLDER}/leases.py",
        'f"WHERE token = :token AND expires_s >= {self._now}",',
        'f"WHERE token = :token",',
        "a lease that has expired is renewed",
        LEASES,
    ),
    Mutation(
        f"{FOLDER}/leases.py",
        "        if changed:\n            self._held_until_s",
        "        if changed or not self._lost:\n            self._held_until_s",
        "that a lease is lost is not noticed",
        LEASES,
    ),
    Mutation(
        f"{FOLDER}/studies.py",
        "            self._study.enqueue_trial(failed.params, {_BEGUN: begun})\n",
        "            pass\n",
        "what a dead worker was at is not begun again",
        STUDIES,
    ),
    Mutation(
        f"{FOLDER}/studies.py",
        "UpdateFinishedTrialError:\n            return False\n",
        "UpdateFinishedTrialError:\n            return True\n",
        "what is told too late counts",
        STUDIES,
    ),
    Mutation(
        f"{FOLDER}/studies.py",
        "if worker in alive or",
        "if worker not in alive or",
        "the trials of workers that are alive are given up",
        STUDIES,
    ),
    Mutation(
        f"{FOLDER}/optimizing.py",
        "number - limit if METRICS[metric].most else limit - number",
        "limit - number if METRICS[metric].most else number - limit",
        "what keeps a limit is told as what violates it",
        OPTIMIZING,
    ),
    Mutation(
        f"{FOLDER}/optimizing.py",
        'f"{settings.seeds[0]} {device} {trials}"',
        'f"{settings.seeds[0]} {trials}"',
        "workers draw the same",
        OPTIMIZING,
    ),
)
