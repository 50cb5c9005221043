"""Let Optuna choose configurations, in a database that several workers may share."""

from __future__ import annotations

import math
import time
import warnings
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from edge_tester.core.backends import backend
from edge_tester.core.errors import LeaseError, OptionError
from edge_tester.core.results.known import Known
from edge_tester.core.run.observer import Observer
from edge_tester.core.search.databases import reason_of
from edge_tester.core.search.fronts import Fronts, fronts_of, result_of
from edge_tester.core.search.leases import Lease
from edge_tester.core.search.limits import METRICS
from edge_tester.core.search.settings import FRONTS, SweepSettings
from edge_tester.core.search.space import Range
from edge_tester.core.search.studies import Study
from edge_tester.core.search.sweep import Sweep
from edge_tester.core.search.trial import Trial

_OWNER = "edge-tester"
# Others' trials are looked at so often [s].
_POLL_S = 1.0
# Of a generation of an evolutionary search.
_LEAST_POPULATION, _POPULATION = 4, 50


class Outcome(NamedTuple):
    """What a trial came to, as the sampler is told.

    Attributes
    ----------
    trials : list of Trial
        One for each seed that was tried; none where there is no such configuration.
    values : tuple of float or None
        Accuracy and cost; None for what is hopeless.
    reason : str
        Why it is hopeless.
    """

    trials: list[Trial]
    values: tuple[float, float] | None
    reason: str = ""


class Optimizer:
    """Tries configurations until the study has as many as were asked for.

    Parameters
    ----------
    sweep : Sweep
        Bound to this worker's device.
    lease : Lease
        On that device.
    address : str
        Of the database where the trials are kept.
    observer : Observer

    Raises
    ------
    OptionError
        The database cannot be used.
    """

    def __init__(self, sweep: Sweep, lease: Lease, address: str, observer: Observer) -> None:
        self._optuna: Any = backend("optuna", _OWNER)
        self._sweep = sweep
        self._settings = sweep.settings
        self._lease = lease
        self._observer = observer
        self._study = _answered(lambda: Study(address, self._settings.search.study))

    def run(self) -> Fronts:
        """Go on with the study until it is complete; return what all workers have found.

        What one device measured alone is measured by turns in the end, as far as that decides
        something; what several devices measured is compared as it is.

        Raises
        ------
        EdgeTesterError
            The device is no longer this worker's, or does not answer, or the database does not.
        """
        found: Fronts = _answered(self._completed)
        return found

    def _completed(self) -> Fronts:
        settings = self._settings
        require_usable(self._optuna, self._sweep.space.choices)
        self._study.require_same(agreement(self._sweep))
        wanted, waiting = settings.search.trials, False
        while True:
            running = self._study.running(self._lease.workers, settings.search.lease_s)
            ended = self._study.ended()
            if ended + running < wanted:
                self._try_one(f"[{ended + running + 1}/{wanted}]")
                waiting = False
                continue
            if not running:
                return self._decided()
            if not waiting:
                self._observer.tell("Waiting for the trials of other workers")
                waiting = True
            self._lease.require_held()
            time.sleep(min(_POLL_S, settings.search.lease_s / 3))

    def _decided(self) -> Fronts:
        trials = {one.name: one for one in self._study.trials()}
        found = fronts_of(list(trials.values()), self._settings)
        if self._study.devices() <= {self._lease.device}:
            found = self._sweep.decided(list(trials.values()))
            self._lease.require_held()
        for one in found.results:
            for trial in one.trials:
                if trial != trials[trial.name]:
                    self._study.replace(trial)
                # Whoever reads this folder finds those of other workers too.
                self._sweep.keep(trial)
        return found

    def _try_one(self, position: str) -> None:
        drawn = _sampler(self._optuna, self._settings, self._lease.device, self._study.count())
        trial = self._study.ask(drawn, self._lease.worker, self._lease.device)
        try:
            done = self._tried(trial, position)
            # Another worker may have measured beside this one since the lease was lost.
            self._lease.require_held()
            figures = result_of(done.trials, self._settings).figures if done.trials else {}
            broken = violations(figures, self._settings)
            told = self._study.tell(trial, done.trials, done.values, broken, done.reason)
        except BaseException as error:
            # Nothing of it is a result; another worker, or the next run, begins it again.
            interrupted = isinstance(error, KeyboardInterrupt)
            self._study.begin_again(trial.number, interrupted=interrupted)
            raise
        if not told:
            raise LeaseError(
                f"Another worker has begun trial {trial.number} again, since this one did not "
                f"renew its lease of {self._settings.search.lease_s:g} s."
            )

    def _tried(self, trial: Any, position: str) -> Outcome:
        self._lease.require_held()
        chosen = {
            name: _suggested(trial, name, values)
            for name, values in self._sweep.space.choices.items()
        }
        try:
            configuration = self._sweep.space.configuration(chosen)
        except OptionError as error:
            return Outcome([], None, str(error))
        trials = self._study.tried(configuration.name)
        if trials:
            self._observer.tell(f"{position} {configuration.name}: tried before")
        else:
            for seed in self._settings.seeds:
                trials.append(self._sweep.trial(configuration, seed, position))
                if trials[-1].stage != "measured":
                    # What one seed cannot do is not shown by more of them.
                    break
        if trials[-1].stage == "failed":
            # A device that does not answer would make every candidate fail.
            self._sweep.require_target(trials[-1])
            return Outcome(trials, None, trials[-1].reason)
        return self._valued(trials)

    def _valued(self, trials: list[Trial]) -> Outcome:
        result = result_of(trials, self._settings)
        if not result.measured:
            # It violates a limit that is known without measuring, which the sampler is told; what
            # it would be worth is of no account.
            return Outcome(trials, (0.0, math.inf))
        names = ("accuracy", FRONTS[self._settings.search.objective])
        accuracy, cost = (result.figures.get(name, Known()) for name in names)
        if accuracy.number is None or cost.number is None:
            lacking = names[0] if accuracy.number is None else names[1]
            why = (accuracy if accuracy.number is None else cost).why
            return Outcome(trials, None, f"{lacking} is not known: {why}")
        return Outcome(trials, (accuracy.number, cost.number))


def address_of(settings: SweepSettings, directory: Path) -> str:
    """Return the address of the database where a search keeps its trials."""
    if settings.search.storage:
        return settings.search.storage
    directory.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{(directory / 'study.db').resolve()}"


def violations(figures: Mapping[str, Known], settings: SweepSettings) -> dict[str, float]:
    """Return by how much each limit is violated, as a part of the limit; 0 or less if it is kept.

    A figure that is not known violates nothing.
    """
    limits = [(metric, metric, limit) for metric, limit in settings.limits.given().items()]
    if settings.active_budget is not None:
        budget = settings.memory_budgets_mib[settings.active_budget]
        limits.append((f"budget {settings.active_budget}", "model_memory_mib", budget))
    found = {}
    for name, metric, limit in limits:
        number = figures.get(metric, Known()).number
        if number is None:
            found[name] = 0.0
            continue
        beyond = number - limit if METRICS[metric].most else limit - number
        found[name] = beyond / abs(limit) if limit else beyond
    return found


def agreement(sweep: Sweep) -> dict[str, Any]:
    """Return what all workers of a study must have alike, or their figures could not be compared.

    Raises
    ------
    EdgeTesterError
        A baseline can be neither loaded nor trained.
    """
    settings, workshop = sweep.settings, sweep.workshop
    keys = (
        *("training", "space", "compression", "precisions", "limits", "memory_budgets_mib"),
        *("active_budget", "calibration_count", "seeds"),
    )
    found: dict[str, Any] = {key: getattr(settings, key) for key in keys}
    found["objective"] = settings.search.objective
    found |= sweep.measuring()
    found["samples"] = workshop.data(workshop.dataset())["samples"]
    for seed in settings.seeds:
        found[f"baseline of seed {seed}"] = workshop.baseline(seed).artifact().sha256
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(found, enc_hook=str))
    return plain


def _sampler(optuna: Any, settings: SweepSettings, device: str, trials: int) -> Any:
    """Return a sampler that draws otherwise than those of other devices and of other trials."""
    mixed = zlib.crc32(f"{settings.seeds[0]} {device} {trials}".encode())
    method = settings.search.method
    if method == "random":
        return optuna.samplers.RandomSampler(seed=mixed)
    if method == "tpe":
        return optuna.samplers.TPESampler(seed=mixed)
    kinds = {"nsga2": optuna.samplers.NSGAIISampler, "nsga3": optuna.samplers.NSGAIIISampler}
    # The first generation is drawn blindly; Optuna's of 50 would be all there is of most searches.
    population = min(_POPULATION, max(_LEAST_POPULATION, settings.search.trials // 5))
    with warnings.catch_warnings():
        # That an interface may change is nothing for a user to know.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return kinds[method](seed=mixed, population_size=population)


def require_usable(optuna: Any, choices: Mapping[str, list[Any] | Range]) -> None:
    """See that Optuna can choose from all of this.

    Raises
    ------
    OptionError
        A range is none.
    """
    for name, values in choices.items():
        if not isinstance(values, Range):
            continue
        try:
            asked = optuna.trial.FixedTrial({name: values.low})
            _suggested(asked, name, values)
        except ValueError as error:
            raise OptionError(f"The range of {name!r} cannot be used: {error}") from error


def _suggested(trial: Any, name: str, values: list[Any] | Range) -> Any:
    if not isinstance(values, Range):
        return trial.suggest_categorical(name, values)
    whole = all(float(x).is_integer() for x in (values.low, values.high, values.step or 0.5))
    if whole:
        step = int(values.step or 1)
        low, high = int(values.low), int(values.high)
        return trial.suggest_int(name, low, high, step=step, log=values.log)
    return trial.suggest_float(name, values.low, values.high, step=values.step, log=values.log)


def _answered(ask: Callable[[], Any]) -> Any:
    """Return what is asked of a database, with its errors as ours."""
    sqlalchemy: Any = backend("sqlalchemy", _OWNER)
    optuna: Any = backend("optuna", _OWNER)
    try:
        return ask()
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise OptionError(
            f"the database of 'storage' cannot be used: {reason_of(error)}. When it can, the same "
            "command goes on."
        ) from error
