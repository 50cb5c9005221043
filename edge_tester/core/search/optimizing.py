"""Let Optuna choose configurations, in a database that several workers may share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from edge_tester.core.backends import backend
from edge_tester.core.errors import OptionError
from edge_tester.core.results.known import Known
from edge_tester.core.run.observer import Observer
from edge_tester.core.search.fronts import Fronts, Result, fronts_of, result_of
from edge_tester.core.search.leases import Lease
from edge_tester.core.search.limits import METRICS
from edge_tester.core.search.settings import FRONTS, SweepSettings
from edge_tester.core.search.space import Range
from edge_tester.core.search.sweep import Sweep
from edge_tester.core.search.trial import Trial

_OWNER = "edge-tester"
_TRIALS, _VIOLATIONS, _REASON, _DEVICE = "trials", "violations", "reason", "device"
# A worker that does not answer for longer is dead, and its trial is begun again by another.
_HEARTBEAT_S, _GRACE_S = 10, 30
_RETRIES = 3


class Optimizer:
    """Tries configurations until the study has as many as were asked for.

    Parameters
    ----------
    sweep : Sweep
        Bound to this worker's device.
    lease : Lease
        On that device.
    observer : Observer
    """

    def __init__(self, sweep: Sweep, lease: Lease, observer: Observer) -> None:
        self._optuna: Any = backend("optuna", _OWNER)
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)
        self._sweep = sweep
        self._settings = sweep.settings
        self._lease = lease
        self._observer = observer
        self._study = self._opened()

    def run(self) -> Fronts:
        """Go on with the study until it is complete; return what all workers have found.

        What one device measured alone is measured by turns in the end, as far as that decides
        something; what several devices measured is compared as it is.

        Raises
        ------
        EdgeTesterError
            The device is no longer this worker's.
        """
        ended = (self._optuna.trial.TrialState.COMPLETE, self._optuna.trial.TrialState.PRUNED)
        wanted = self._settings.search.trials
        if len(self._study.get_trials(states=ended)) < wanted:
            stop = self._optuna.study.MaxTrialsCallback(wanted, states=ended)
            self._study.optimize(self._tried, callbacks=[stop])
        trials = self.trials()
        if self._devices() <= {self._lease.device}:
            return self._sweep.decided(trials)
        return fronts_of(trials, self._settings)

    def _devices(self) -> set[str]:
        attributes = [one.user_attrs for one in self._study.get_trials()]
        return {one[_DEVICE] for one in attributes if _DEVICE in one}

    def trials(self) -> list[Trial]:
        """Return the trials that all workers have ended, each configuration once."""
        found: dict[str, Trial] = {}
        for one in self._study.get_trials():
            for content in one.user_attrs.get(_TRIALS, []):
                trial = msgspec.convert(content, Trial)
                found[trial.name] = trial
        return list(found.values())

    def _opened(self) -> Any:
        search, storages = self._settings.search, self._optuna.storages
        address = address_of(self._settings, self._sweep.directory)
        try:
            storage = storages.RDBStorage(
                address,
                heartbeat_interval=_HEARTBEAT_S,
                grace_period=_GRACE_S,
                failed_trial_callback=storages.RetryFailedTrialCallback(max_retry=_RETRIES),
            )
            return self._optuna.create_study(
                storage=storage,
                study_name=search.study,
                directions=["maximize", "minimize"],
                sampler=self._sampler(),
                load_if_exists=True,
            )
        except Exception as error:
            # SQLAlchemy and the database's own driver have errors of many kinds.
            reason = str(error).strip().splitlines()[0]
            raise OptionError(f"'storage' of 'search' cannot be used: {reason}") from error

    def _sampler(self) -> Any:
        search, samplers = self._settings.search, self._optuna.samplers
        seed = self._settings.seeds[0]
        if search.method == "random":
            return samplers.RandomSampler(seed=seed)
        kinds = {
            "tpe": samplers.TPESampler,
            "nsga2": samplers.NSGAIISampler,
            "nsga3": samplers.NSGAIIISampler,
        }
        return kinds[search.method](seed=seed, constraints_func=_violations_of)

    def _tried(self, trial: Any) -> tuple[float, float]:
        self._lease.require_held()
        chosen = {
            name: self._suggested(trial, name, values)
            for name, values in self._sweep.space.choices.items()
        }
        trial.set_user_attr(_DEVICE, self._lease.device)
        try:
            configuration = self._sweep.space.configuration(chosen)
        except OptionError as error:
            self._hopeless(trial, str(error))
        position = f"[{trial.number + 1}/{self._settings.search.trials}]"
        trials = []
        for seed in self._settings.seeds:
            trials.append(self._sweep.trial(configuration, seed, position))
            if trials[-1].stage != "measured":
                # What one seed cannot do is not shown by more of them.
                break
        # Another worker may have measured beside this one since the lease was lost.
        self._lease.require_held()
        trial.set_user_attr(_TRIALS, msgspec.to_builtins(trials))
        result = result_of(trials, self._settings)
        trial.set_user_attr(_VIOLATIONS, violations(result.figures, self._settings))
        if trials[-1].stage == "failed":
            self._hopeless(trial, trials[-1].reason)
        return self._values(trial, result)

    def _values(self, trial: Any, result: Result) -> tuple[float, float]:
        accuracy = result.figures.get("accuracy", Known()).number
        cost = result.figures.get(FRONTS[self._settings.search.objective], Known()).number
        if not result.measured:
            # It violates a limit that is known without measuring, which the sampler is told; what
            # it would be worth is of no account.
            return 0.0, math.inf
        if accuracy is None or cost is None:
            self._hopeless(trial, f"there is no {'accuracy' if accuracy is None else 'cost'}")
        return accuracy, cost

    def _hopeless(self, trial: Any, reason: str) -> NoReturn:
        trial.set_user_attr(_REASON, reason)
        raise self._optuna.TrialPruned(reason)

    def _suggested(self, trial: Any, name: str, values: list[Any] | Range) -> Any:
        if not isinstance(values, Range):
            return trial.suggest_categorical(name, values)
        whole = all(float(x).is_integer() for x in (values.low, values.high, values.step or 0.5))
        if whole:
            step = int(values.step or 1)
            low, high = int(values.low), int(values.high)
            return trial.suggest_int(name, low, high, step=step, log=values.log)
        return trial.suggest_float(name, values.low, values.high, step=values.step, log=values.log)


def lease_of(settings: SweepSettings, directory: Path, devices: Sequence[str]) -> Lease:
    """Return a lease on the first of these devices that no other worker has.

    Raises
    ------
    LeaseError
        Others have all of them.
    OptionError
        The database cannot be used.
    """
    return Lease(address_of(settings, directory), devices, settings.search.lease_s)


def address_of(settings: SweepSettings, directory: Path) -> str:
    """Return the address of the database where a search keeps its trials."""
    if settings.search.storage:
        return settings.search.storage
    directory.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{(directory / 'study.db').resolve()}"


def violations(figures: Mapping[str, Known], settings: SweepSettings) -> list[float]:
    """Return by how much each limit is violated, as a part of the limit; 0 or less if it is kept.

    A figure that is not known violates nothing.
    """
    limits = list(settings.limits.given().items())
    if settings.active_budget is not None:
        budget = settings.memory_budgets_mib[settings.active_budget]
        limits.append(("model_memory_mib", budget))
    found = []
    for metric, limit in limits:
        number = figures.get(metric, Known()).number
        if number is None:
            found.append(0.0)
            continue
        beyond = number - limit if METRICS[metric].most else limit - number
        found.append(beyond / abs(limit) if limit else beyond)
    return found


def _violations_of(trial: Any) -> list[float]:
    """Return what a sampler shall take into account of a trial."""
    found: list[float] = trial.user_attrs.get(_VIOLATIONS, [])
    return found
