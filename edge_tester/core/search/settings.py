"""What a sweep is asked, besides model, data set and how to measure."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from edge_tester.core.errors import OptionError
from edge_tester.core.model import TrainingPlan
from edge_tester.core.options import hint
from edge_tester.core.search.limits import Limits
from edge_tester.core.search.space import PRECISION, Precision, Range, Space

FRONTS = {
    "latency": "latency_p50_ms",
    "energy": "energy_mj",
    "memory": "model_memory_mib",
}
"""Fronts of accuracy against a cost, by name."""


class Search(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How configurations are chosen.

    Attributes
    ----------
    method : str
        ``grid`` goes through all; ``random``, ``tpe``, ``nsga2`` and ``nsga3`` are samplers of
        Optuna.
    trials : int
        Configurations to try, of all workers together; a grid tries all.
    objective : str
        Cost beside the accuracy: ``latency``, ``energy`` or ``memory``.
    storage : str
        Address of the database where trials are kept, such as
        ``postgresql+psycopg://user@host/name``; a file of SQLite in the run's folder by default.
        It holds no password (``docs/search-workers.rst``).
    study : str
        Name of the study in that database.
    lease_s : float
        Time after which a worker that no longer answers is given up: its device is free again, and
        its trial is begun again by another.
    """

    method: Literal["grid", "random", "tpe", "nsga2", "nsga3"] = "grid"
    trials: int = 20
    objective: Literal["latency", "energy", "memory"] = "latency"
    storage: str = ""
    study: str = "sweep"
    lease_s: float = 60.0


class SweepSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a sweep is asked, besides model, data set and how to measure.

    Attributes
    ----------
    seeds : list of int
        Of training; each makes a baseline, and candidates, of its own.
    training : dict
        How the baseline is trained: ``num_epochs``, ``batch_size``, ``learning_rate``. Without a
        file of its model, or with several seeds, it is trained; otherwise it is loaded.
    space : dict
        Values by option: of the compression, and of ``precision``. A list, or for a search a
        mapping with ``low``, ``high``, and perhaps ``step`` or ``log``.
    compression : dict
        Options of the compression that all candidates have.
    precisions : dict
        Further precisions by name: ``compiler`` and ``quantizer`` with their options, ``runtime``.
    limits : Limits
    memory_budgets_mib : dict of str to float
        Budgets by name that the model memory, weights and activations, is compared with.
    active_budget : str or None
        The one that excludes what is above it.
    calibration_count : int
        Samples that quantizations calibrate with.
    cpu_frequency_scale : float
        Clock of the product over that of the target; latencies divided by it are in the tables as
        an estimate, and the roof of ``hardware_summary.csv`` is multiplied by it.
    memory_bandwidth_gb_s : float or None
        Of the product, for that roof; otherwise that of this machine, which is measured.
    most_replicates : int
        To which the measurement of an undecided candidate is extended.
    targets : dict
        Links by name, as in a matrix; null is an agent that is started on this machine.
    search : Search
    """

    seeds: list[int] = msgspec.field(default_factory=lambda: [0])
    training: dict[str, Any] = {}
    space: dict[str, list[Any] | Range] = {}
    compression: dict[str, Any] = {}
    precisions: dict[str, Precision] = {}
    limits: Limits = Limits()
    memory_budgets_mib: dict[str, float] = {}
    active_budget: str | None = None
    calibration_count: int = 200
    cpu_frequency_scale: float = 1.0
    memory_bandwidth_gb_s: float | None = None
    most_replicates: int = 10
    targets: dict[str, Any] = {}
    search: Search = Search()

    def checked(self) -> Space:
        """Return the space that is asked for, if all of this can be.

        Raises
        ------
        OptionError
            It cannot; the message names the key.
        """
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise OptionError(f"'seeds' must be different numbers, at least one, got {self.seeds}.")
        if self.active_budget is not None and self.active_budget not in self.memory_budgets_mib:
            known = list(self.memory_budgets_mib)
            raise OptionError(
                f"'active_budget' must be a name of memory_budgets_mib, got "
                f"{self.active_budget!r}{hint(self.active_budget, known)}"
            )
        for key in ("cpu_frequency_scale", "memory_bandwidth_gb_s"):
            value = getattr(self, key)
            if value is not None and value <= 0:
                raise OptionError(f"{key!r} must be above 0, got {value}.")
        if self.search.trials < 1 or self.search.lease_s < 1:
            raise OptionError("'trials' and 'lease_s' of 'search' must be at least 1.")
        if "seed" in self.training:
            raise OptionError("'seed' of training is given by 'seeds'.")
        TrainingPlan.from_options(self.training)
        space = Space(self.space, self.compression, self.precisions)
        if self.search.method == "grid":
            space.grid()
        for name in space.choices[PRECISION]:  # type: ignore[union-attr]
            space.precision(name)
        return space
