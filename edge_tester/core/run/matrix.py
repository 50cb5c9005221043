"""Run many plans of one model, what was done before not again."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from edge_tester.core.artifact import Artifact
from edge_tester.core.errors import BackendMissingError, EdgeTesterError, OptionError, RecordError
from edge_tester.core.making.cache import CompileCache, ingredients_of
from edge_tester.core.making.chain import way_of
from edge_tester.core.record import RunRecord, read_record, require_writable
from edge_tester.core.run.dealing import at_once, dealt
from edge_tester.core.run.deployment import require_target
from edge_tester.core.run.observer import Observer
from edge_tester.core.run.plan import Plan
from edge_tester.core.run.requirements import require_packages
from edge_tester.core.run.targets import Targets, place_of
from edge_tester.core.run.together import Job, run_together
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.system.files import write_atomically

_STATE = "matrix.json"
# Each has a process on the target, and where no target is named an agent on this machine; whoever
# interrupts them has to run them again.
_TOGETHER = 4


class Outcome(msgspec.Struct, frozen=True):
    """What became of a plan.

    Attributes
    ----------
    key : str
        Hash of what it was made from.
    failure : str or None
        Why it failed, if it did.
    target : str or None
        The machine that ran it, and the versions there.
    """

    key: str
    failure: str | None = None
    target: str | None = None


class MatrixRun:
    """Goes through plans, each with a record of its own.

    Parameters
    ----------
    plans : mapping of str to Plan
        By the names of their records.
    directory : Path
        For records and compiled models.
    command_line : sequence of str
        For the records.
    together : int
        How many plans of one target run by turns, so that what disturbs it disturbs all of them.
    at_once : bool
        Whether several targets work at the same time; otherwise one after another.
    """

    def __init__(
        self,
        plans: Mapping[str, Plan],
        directory: Path,
        command_line: Sequence[str] = (),
        together: int = _TOGETHER,
        *,
        at_once: bool = False,
    ) -> None:
        self._together = together
        self._plans = plans
        self._at_once = at_once
        # Compiling, and what was done, are the same for all targets.
        self._lock = threading.Lock()
        self._directory = directory
        self._command_line = command_line
        self._cache = CompileCache(directory / "compiled")
        self._outcomes = _read_outcomes(directory / _STATE)
        self._targets = Targets()

    def explained(self) -> Iterator[tuple[str, str]]:
        """Yield the name of each plan and what would be done."""
        for name in self._plans:
            try:
                yield name, self._explanation(name)
            except EdgeTesterError as error:
                yield name, f"fails: {error}"

    def run(self, observer: Observer, *, again: bool = False) -> dict[str, str]:
        """Run what was not run yet; return the reasons of those that failed, by name.

        Plans of one target run together, so that they can be compared. Whatever ends it early:
        what was measured until then is kept, and the next run goes on from there.
        """
        failures = self._lacking(observer)
        waiting: dict[str | None, list[str]] = {}
        for name in self._plans:
            if name in failures:
                continue
            plan = self._plan(name)
            if not again and self._is_done(name):
                asked = self._targets.identity(plan) is not None
                unsure = "" if asked else "; its target did not answer whether it has changed"
                observer.tell(f"{name}: done before{unsure}")
                continue
            waiting.setdefault(place_of(plan), []).append(name)
        if not self._at_once:
            for names in waiting.values():
                failures |= self._run_target(names, observer)
            return failures

        def work(names: Sequence[str]) -> Callable[[Observer], None]:
            return lambda observer: failures.update(self._run_target(names, observer))

        if waiting:
            at_once({self._address(names[0]): work(names) for names in waiting.values()}, observer)
        return failures

    def records(self) -> dict[Path, RunRecord]:
        """Return the records of all plans that were measured completely, by file."""
        found = {}
        for name in self._plans:
            outcome = self._outcomes.get(name)
            if outcome is not None and outcome.failure is None:
                path = self._record_path(name)
                found[path] = read_record(path)
        return found

    def make(self, name: str, observer: Observer) -> Artifact:
        """Make what a plan deploys, unless it is kept, without running it.

        Raises
        ------
        EdgeTesterError
            It cannot be made.
        """
        plan = self._plan(name)
        return self._artifact(plan, observer) or plan.model.artifact()

    def artifact(self, name: str) -> Artifact | None:
        """Return what a plan deploys, None if it was not made."""
        plan = self._plan(name)
        if plan.compiler is None:
            return plan.model.artifact()
        return self._cache.find(ingredients_of(plan.compiler, plan.model, plan.dataset))

    def _plan(self, name: str) -> Plan:
        """Return a plan of instances that nothing was done with, its data set prepared."""
        plan = self._plans[name].fresh()
        plan.dataset.prepare()
        return plan

    def _lacking(self, observer: Observer) -> dict[str, str]:
        """Say what cannot be run here before the first run, not after an hour; return it."""
        failures = {}
        for name, plan in self._plans.items():
            runtime = plan.runtime if plan.local else None
            try:
                require_packages(plan.model, plan.dataset, plan.compiler, runtime)
                require_writable(self._record_path(name))
            except (BackendMissingError, RecordError) as error:
                failures[name] = str(error)
                observer.tell(f"{name} cannot be run: {error}")
                self._note(name, Outcome("", str(error)))
        return failures

    def _address(self, name: str) -> str:
        protocol = self._plans[name].protocol
        return protocol.address if protocol else "here"

    def _run_target(self, names: Sequence[str], observer: Observer) -> dict[str, str]:
        """Run what is to be run on one target; return the reasons of those that failed."""
        failures: dict[str, str] = {}
        for begin in range(0, len(names), self._together):
            failures |= self._run_some(names[begin : begin + self._together], observer)
        return failures

    def _run_some(self, names: Sequence[str], observer: Observer) -> dict[str, str]:
        """Compile and run some plans of one target; return the reasons of those that failed."""
        jobs: dict[str, Job] = {}
        failures: dict[str, str] = {}
        for name in names:
            if len(self._plans) > 1:
                observer.tell(f"[{self._position(name)}/{len(self._plans)}] {name}")
            try:
                with self._lock:
                    artifact = self._artifact(self._plan(name), observer)
                jobs[name] = Job(self._plans[name].fresh(), self._record_path(name), artifact)
            except EdgeTesterError as error:
                failures[name] = str(error)
        if jobs:
            together = f"Running {', '.join(jobs)}" + (" by turns" if len(jobs) > 1 else "")
            observer.tell(together)
            found = run_together(
                list(jobs.values()), observer=observer, command_line=self._command_line
            )
            for name, outcome in zip(jobs, found, strict=True):
                if isinstance(outcome, EdgeTesterError):
                    failures[name] = str(outcome)
                else:
                    plan = self._plan(name)
                    self._note(name, Outcome(plan.key(), None, self._targets.identity(plan)))
        for name, reason in failures.items():
            observer.tell(f"{name} failed: {reason}")
            self._note(name, Outcome("", reason))
        return failures

    def _position(self, name: str) -> int:
        return 1 + list(self._plans).index(name)

    def _artifact(self, plan: Plan, observer: Observer) -> Artifact | None:
        if plan.compiler is None:
            return None
        ingredients = ingredients_of(plan.compiler, plan.model, plan.dataset)
        found = self._cache.find(ingredients)
        if found is None:
            if not plan.local:
                # Said before compiling, not an hour later.
                require_target(plan)
            way = way_of(plan.compiler, plan.model)
            observer.tell(f"Compiling {plan.model.model_path}: {way}")
            found = self._cache.make(ingredients, plan.compiler, plan.model, plan.dataset)
        return found

    def _explanation(self, name: str) -> str:
        plan, compiled = self._plan(name), "nothing to compile"
        if plan.compiler is not None:
            ingredients = ingredients_of(plan.compiler, plan.model, plan.dataset)
            compiled = self._cache.explain(ingredients)
        return f"{compiled}; {'measured before' if self._is_done(name) else 'to be measured'}"

    def _is_done(self, name: str) -> bool:
        outcome, plan = self._outcomes.get(name), self._plan(name)
        if outcome is None or outcome.failure is not None or outcome.key != plan.key():
            return False
        if self._targets.identity(plan) not in (None, outcome.target):
            return False
        try:
            return read_record(self._record_path(name)).complete
        except RecordError:
            return False

    def _note(self, name: str, outcome: Outcome) -> None:
        with self._lock:
            self._outcomes[name] = outcome
            content = msgspec.json.format(msgspec.json.encode(self._outcomes), indent=1)
            write_atomically(self._directory / _STATE, content)

    def _record_path(self, name: str) -> Path:
        return self._directory / f"{name}.json"


def dealt_out(plans: Mapping[str, Plan], pool: Sequence[RuntimeProtocol | None]) -> dict[str, Plan]:
    """Return plans with links to a pool of targets, each with the same one in every call.

    Records say where they ran: only of targets that are alike do figures compare.
    """
    of_target = dealt(list(plans), range(len(pool)))
    links = {name: pool[number] for number, names in of_target.items() for name in names}
    return {name: dataclasses.replace(plan, protocol=links[name]) for name, plan in plans.items()}


def _read_outcomes(path: Path) -> dict[str, Outcome]:
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Outcome])
    except (OSError, msgspec.DecodeError) as error:
        raise OptionError(f"{path} cannot be read: {error}; remove it to begin anew.") from error
