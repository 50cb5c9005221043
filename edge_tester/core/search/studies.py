"""The study of a search: a table of trials that workers on several hosts share."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from edge_tester.core.backends import backend
from edge_tester.core.errors import OptionError
from edge_tester.core.search.databases import engine_options
from edge_tester.core.search.trial import Trial

_OWNER = "edge-tester"
# What Optuna keeps for us: of a trial, and of the study.
_WORKER, _DEVICE, _BEGUN, _REASON = "worker", "device", "begun again", "reason"
_CANDIDATE, _TRIALS = "candidate", "trials"
_AGREED, _REPLACED = "agreed", "measured again: "
# A candidate that has ended its worker so often is not tried once more.
_MOST_BEGUN = 3
# Workers that begin in the same moment make the same tables; all but one of them fail at it.
_ATTEMPTS, _PAUSE_S = 5, 0.5


class Study:
    """Trials of all workers.

    Parameters
    ----------
    address : str
        Of the database, as SQLAlchemy has them.
    name : str
        Of the study.
    """

    def __init__(self, address: str, name: str) -> None:
        self._optuna: Any = backend("optuna", _OWNER)
        # It tells of each trial, and shows a traceback for each that was interrupted.
        self._optuna.logging.set_verbosity(self._optuna.logging.ERROR)
        self._name = name
        self._study = self._opened(address)
        states = self._optuna.trial.TrialState
        self._fail, self._running, self._pruned = states.FAIL, states.RUNNING, states.PRUNED
        self._ended = (states.COMPLETE, states.PRUNED)
        self._anonymous: dict[int, float] = {}

    def require_same(self, agreed: Mapping[str, Any]) -> None:
        """See that the study was begun with exactly this; the first worker says what that is.

        Raises
        ------
        OptionError
            It was begun with something else; the message names what differs, and what to do.
        """
        if _AGREED not in self._study.user_attrs:
            if self.count():
                raise OptionError(
                    f"The study {self._name!r} of this database was not made by a sweep: give "
                    "another name as 'study' of 'search'."
                )
            self._study.set_user_attr(_AGREED, dict(agreed))
        first: Mapping[str, Any] = self._study.user_attrs[_AGREED]
        keys = dict.fromkeys([*first, *agreed])
        different = [key for key in keys if first.get(key) != agreed.get(key)]
        made = [key for key in different if key.startswith(("baseline", "samples"))]
        if different == made and different:
            raise OptionError(
                f"The study {self._name!r} was begun with other files: {', '.join(made)} differ. "
                "Give all workers the same data, and the same 'model_path' or a copy of the "
                "folder 'baselines' of the first one."
            )
        if different:
            raise OptionError(
                f"The study {self._name!r} was begun with another {', '.join(different)}: give "
                "another name as 'study' of 'search', or the file as it was."
            )

    def count(self) -> int:
        """Return how many trials there are, whatever became of them."""
        return len(self._study.get_trials(deepcopy=False))

    def ended(self) -> int:
        """Return how many trials came to something."""
        return len(self._study.get_trials(deepcopy=False, states=self._ended))

    def running(self, workers: Callable[[], set[str]], lease_s: float) -> int:
        """Return how many trials others are at; what was abandoned is to be begun again.

        Parameters
        ----------
        workers : callable
            Returns those that are alive: who has a device.
        lease_s : float
            Time after which a trial of which nobody says whose it is was abandoned [s].
        """
        # In this order: whoever ends a trial properly is alive until then.
        running = self._study.get_trials(deepcopy=False, states=(self._running,))
        alive = workers()
        count = 0
        for one in running:
            worker, now_s = one.user_attrs.get(_WORKER), time.monotonic()
            since_s = self._anonymous.setdefault(one.number, now_s)
            if worker in alive or (worker is None and now_s - since_s < lease_s):
                count += 1
            else:
                self.begin_again(one.number)
        return count

    def ask(self, sampler: Any, worker: str, device: str) -> Any:
        """Return a new trial of Optuna, or one that is to be begun again."""
        self._study.sampler = sampler
        trial = self._study.ask()
        trial.set_user_attr(_WORKER, worker)
        trial.set_user_attr(_DEVICE, device)
        return trial

    def tell(
        self,
        trial: Any,
        found: Sequence[Trial],
        values: tuple[float, float] | None,
        constraints: Mapping[str, float],
        reason: str = "",
    ) -> bool:
        """Say what a trial came to; return whether it was still this worker's.

        Parameters
        ----------
        trial : optuna.Trial
        found : sequence of Trial
            One for each seed.
        values : tuple of float or None
            Accuracy and cost, None where it is hopeless.
        constraints : mapping of str to float
            By how much limits are violated: above 0 if they are.
        reason : str
            Why it is hopeless.
        """
        state = self._pruned if values is None else self._optuna.trial.TrialState.COMPLETE
        try:
            trial.set_user_attr(_TRIALS, msgspec.to_builtins(list(found)))
            if found:
                trial.set_user_attr(_CANDIDATE, found[0].configuration.name)
            if reason:
                trial.set_user_attr(_REASON, reason)
            for name, violation in constraints.items():
                trial.set_constraint(name, violation)
            told = self._study.tell(trial, values, state, skip_if_finished=True)
        except self._optuna.exceptions.UpdateFinishedTrialError:
            return False
        return bool(told.state == state)

    def begin_again(self, number: int, *, interrupted: bool = False) -> None:
        """Give a trial up and have its values tried again, unless somebody did that already."""
        try:
            self._study.tell(number, state=self._fail)
        except (ValueError, self._optuna.exceptions.UpdateFinishedTrialError):
            return
        failed = self._study.get_trials(deepcopy=False)[number]
        begun = failed.user_attrs.get(_BEGUN, 0) + (not interrupted)
        if begun <= _MOST_BEGUN:
            self._study.enqueue_trial(failed.params, {_BEGUN: begun})

    def trials(self) -> list[Trial]:
        """Return the trials that came to something, each candidate and seed once."""
        found: dict[str, Trial] = {}
        for one in self._study.get_trials(deepcopy=False, states=self._ended):
            for trial in self._converted(one.user_attrs.get(_TRIALS, [])):
                found[trial.name] = trial
        for key, content in self._study.user_attrs.items():
            if key.startswith(_REPLACED):
                (trial,) = self._converted([content])
                found[trial.name] = trial
        return list(found.values())

    def tried(self, candidate: str) -> list[Trial]:
        """Return the trials of a candidate, none if it was not tried or has failed."""
        for one in self._study.get_trials(deepcopy=False, states=self._ended):
            if one.user_attrs.get(_CANDIDATE) == candidate:
                trials = self._converted(one.user_attrs[_TRIALS])
                if all(trial.stage != "failed" for trial in trials):
                    return trials
        return []

    def replace(self, trial: Trial) -> None:
        """Keep what a candidate came to when it was measured again."""
        self._study.set_user_attr(_REPLACED + trial.name, msgspec.to_builtins(trial))

    def devices(self) -> set[str]:
        """Return the devices that something was measured on."""
        ended = self._study.get_trials(deepcopy=False, states=self._ended)
        return {one.user_attrs[_DEVICE] for one in ended}

    def _converted(self, content: Any) -> list[Trial]:
        try:
            return msgspec.convert(content, list[Trial])
        except msgspec.ValidationError as error:
            raise OptionError(
                f"The study {self._name!r} was made by another version: give another name as "
                "'study' of 'search'."
            ) from error

    def _opened(self, address: str) -> Any:
        sqlalchemy: Any = backend("sqlalchemy", _OWNER)
        failures = (sqlalchemy.exc.SQLAlchemyError, self._optuna.exceptions.StorageInternalError)
        for _ in range(_ATTEMPTS - 1):
            with contextlib.suppress(*failures):
                return self._created(address)
            time.sleep(_PAUSE_S)
        return self._created(address)

    def _created(self, address: str) -> Any:
        return self._optuna.create_study(
            storage=self._optuna.storages.RDBStorage(address, engine_options(address)),
            study_name=self._name,
            directions=["maximize", "minimize"],
            load_if_exists=True,
        )
