"""Go through the candidates of a sweep; what was done before is not done again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from edge_tester.core.analysis import Analysis, analyze
from edge_tester.core.analysis.roofline import Machine
from edge_tester.core.artifact import Artifact
from edge_tester.core.compresses import Compressed
from edge_tester.core.errors import CompilationError, EdgeTesterError, ProtocolError
from edge_tester.core.graphs import Graphs
from edge_tester.core.making.chain import wrapper_of
from edge_tester.core.model import ModelWrapper
from edge_tester.core.record import RunRecord
from edge_tester.core.results.known import Known
from edge_tester.core.run.deployment import require_target
from edge_tester.core.run.matrix import MatrixRun
from edge_tester.core.run.observer import Observer
from edge_tester.core.run.plan import Plan
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.search.fronts import DECIDED, Fronts, fronts_of
from edge_tester.core.search.limits import METRICS, Judgement, judged
from edge_tester.core.search.making import Workshop
from edge_tester.core.search.settings import SweepSettings
from edge_tester.core.search.space import Configuration, Space
from edge_tester.core.search.trial import (
    Trial,
    answers_of,
    measured_figures,
    static_figures,
)
from edge_tester.core.system.files import write_atomically

MEASURED, TRIALS = "measured", "trials"
_REPLICATES = 5


class Sweep:
    """Makes, measures and judges candidates.

    Parameters
    ----------
    plan : Plan
        The model in its own framework, with data set and measurement.
    settings : SweepSettings
    directory : Path
        Of the run.
    observer : Observer
    command_line : sequence of str
        For the records.
    protocols : sequence of RuntimeProtocol or None
        Link to the target; an agent is started on this machine without one.
    """

    def __init__(
        self,
        plan: Plan,
        settings: SweepSettings,
        directory: Path,
        observer: Observer,
        command_line: Sequence[str] = (),
        protocols: Sequence[RuntimeProtocol | None] = (None,),
    ) -> None:
        self.settings = settings
        self.space: Space = settings.checked()
        self.workshop = Workshop(plan, settings, self.space, directory, observer)
        self.directory = directory
        self._plan = plan
        self._observer = observer
        self._command_line = command_line
        self._protocols = protocols
        self._numbers: dict[str, int] = {}

    def run(self) -> Fronts:
        """Go through the grid, then measure longer what is not decided.

        Whatever ends it early: the next run goes on with the candidate that was in progress.
        """
        configurations = self.space.grid()
        # Each has the same target in every call.
        self._numbers = {one.name: number for number, one in enumerate(configurations)}
        trials = [
            self.trial(one, seed, f"[{number + 1}/{len(configurations)}]")
            for number, one in enumerate(configurations)
            for seed in self.settings.seeds
        ]
        return self.decided(trials)

    def decided(self, trials: Sequence[Trial]) -> Fronts:
        """Return the fronts, after measuring by turns, and longer, what that would decide.

        What was measured in other minutes differs by what else the machine did.
        """
        found = fronts_of(trials, self.settings)
        while wanted := self._extensible(found):
            self._observer.tell(f"Measuring by turns, since undecided: {', '.join(wanted)}")
            chosen = [one for one in trials if one.configuration.name in wanted]
            again = self._by_turns(chosen)
            trials = [again.get(one.name, one) for one in trials]
            found = fronts_of(trials, self.settings)
        return found

    def _by_turns(self, trials: Sequence[Trial]) -> dict[str, Trial]:
        """Measure trials once more, all together; return them by name."""
        before = {one.together for one in trials}
        # Those that ran by turns already need more, not the same again.
        factor = 2 if len(before) == 1 and None not in before else 1
        counts = {one.name: factor * (one.replicates or _REPLICATES) for one in trials}
        plans = {
            one.name: self.workshop.plan(
                one.configuration, one.seed, self._link(one.configuration), counts[one.name]
            )
            for one in trials
        }
        run = MatrixRun(
            plans,
            self.directory / MEASURED,
            self._command_line,
            together=len(plans),
            at_once=len(self._protocols) > 1,
        )
        failures = run.run(self._observer, again=True)
        records = {path.stem: record for path, record in run.records().items()}
        found = {}
        for one in trials:
            if one.name in failures:
                done = msgspec.structs.replace(one, stage="failed", reason=failures[one.name])
            else:
                done = self._with_record(one, records[one.name], counts[one.name])
            found[one.name] = self._written(done)
        return found

    def trial(
        self,
        configuration: Configuration,
        seed: int,
        position: str = "",
        replicates: int | None = None,
    ) -> Trial:
        """Make, judge and, if nothing excludes it, measure a candidate.

        Parameters
        ----------
        configuration : Configuration
        seed : int
        position : str
            In the sweep, for whoever watches.
        replicates : int, optional
            As many as it was measured with last, or those of the measurement, if not given.

        Returns
        -------
        Trial
            Also where it failed; its file lies in the run's directory.
        """
        name = f"{configuration.name}_seed-{seed}"
        path = self.directory / TRIALS / f"{name}.json"
        if replicates is None and (earlier := read_trial(path)) is not None:
            replicates = earlier.replicates
        self._observer.tell(f"{position} {name}".strip())
        try:
            done = self._tried(name, configuration, seed, replicates)
        except EdgeTesterError as error:
            done = Trial(
                name=name,
                configuration=configuration,
                seed=seed,
                stage="failed",
                reason=str(error),
                judgement=Judgement(feasibility="undecided"),
            )
        return self._written(done)

    def _written(self, trial: Trial) -> Trial:
        if trial.stage != "measured":
            self._observer.tell(f"{trial.name} {trial.stage}: {trial.reason}")
        path = self.directory / TRIALS / f"{trial.name}.json"
        write_atomically(path, msgspec.json.format(msgspec.json.encode(trial), indent=1))
        return trial

    def keep(self, trial: Trial) -> None:
        """Leave the file of a trial in the run's directory, whoever has tried it."""
        if read_trial(self.directory / TRIALS / f"{trial.name}.json") != trial:
            self._written(trial)

    def measuring(self) -> dict[str, Any]:
        """Return how candidates are measured: what must be alike where they are compared."""
        asked = self._plan.to_mapping()
        return {key: asked[key] for key in ("measurement", "pattern") if key in asked}

    def require_target(self, trial: Trial) -> None:
        """See that the target on which a trial has failed still answers.

        Raises
        ------
        ProtocolError
            It does not: whatever is tried on it will fail.
        """
        link = self._link(trial.configuration)
        if link is None:
            return
        try:
            plan = self.workshop.plan(trial.configuration, trial.seed, link, None)
            require_target(plan)
        except ProtocolError:
            raise
        except EdgeTesterError:
            # That candidate is at fault.
            return

    def made(self, trial: Trial) -> dict[str, str]:
        """Make a candidate as a trial says; return the SHA-256 of what it is made of.

        Raises
        ------
        EdgeTesterError
            It cannot be made.
        """
        plan = self.workshop.plan(trial.configuration, trial.seed, None, None)
        run = MatrixRun({trial.name: plan}, self.directory / MEASURED)
        return self._files(trial.configuration, trial.seed, run.make(trial.name, self._observer))

    def _link(self, configuration: Configuration) -> RuntimeProtocol | None:
        """Return the link to the target of a configuration, dealt out of all."""
        number = self._numbers.get(configuration.name, 0)
        return self._protocols[number % len(self._protocols)]

    def _tried(
        self, name: str, configuration: Configuration, seed: int, replicates: int | None
    ) -> Trial:
        plan = self.workshop.plan(configuration, seed, self._link(configuration), replicates)
        run = MatrixRun({name: plan}, self.directory / MEASURED, self._command_line, together=1)
        artifact = run.make(name, self._observer)
        made = self.workshop.compressed(configuration, seed)
        figures = static_figures(
            artifact.size_bytes,
            analysis_of(artifact.path, artifact.format),
            _analysis(self._network(made, seed)),
            made,
        )
        judgement = self._judged(figures, static=True)
        excluded = judgement.feasibility == "infeasible"
        inside = artifact.path.is_relative_to(self.directory)
        trial = Trial(
            name=name,
            configuration=configuration,
            seed=seed,
            stage="rejected" if excluded else "measured",
            reason="; ".join(judgement.violated) if excluded else "",
            figures=figures,
            judgement=judgement,
            files=self._files(configuration, seed, artifact),
            artifact=str(artifact.path.relative_to(self.directory) if inside else artifact.path),
            format=artifact.format,
            remarks=(*artifact.remarks, *(made.remarks if made else ())),
        )
        if excluded:
            return trial
        failures = run.run(self._observer)
        if failures:
            return msgspec.structs.replace(trial, stage="failed", reason=failures[name])
        return self._with_record(trial, next(iter(run.records().values())), replicates)

    def _network(self, made: Compressed | None, seed: int) -> ModelWrapper:
        if made is None:
            return self.workshop.baseline(seed)
        return wrapper_of(made.path, made.format, made.wrapper)

    def _files(self, configuration: Configuration, seed: int, artifact: Artifact) -> dict[str, str]:
        made = self.workshop.compressed(configuration, seed)
        files = {"baseline": self.workshop.baseline(seed).artifact().sha256}
        if made is not None:
            files |= {"weights": made.weights_sha256, "compressed": made.sha256}
        return {**files, "artifact": artifact.sha256}

    def _with_record(self, trial: Trial, record: RunRecord, replicates: int | None) -> Trial:
        figures = {**trial.figures, **measured_figures(record)}
        samples, correct = answers_of(record)
        return msgspec.structs.replace(
            trial,
            figures=figures,
            judgement=self._judged(figures),
            replicates=replicates,
            samples=samples,
            correct=correct,
            together=record.together,
            target=record.target.hostname,
            remarks=tuple(dict.fromkeys([*trial.remarks, *record.remarks])),
        )

    def _judged(self, figures: dict[str, Known], *, static: bool = False) -> Judgement:
        settings = self.settings
        limits = {
            name: limit
            for name, limit in settings.limits.given().items()
            if METRICS[name].static or not static
        }
        return judged(figures, limits, settings.memory_budgets_mib, settings.active_budget)

    def _extensible(self, found: Fronts) -> list[str]:
        """Return what to measure again: all that may be on a front, if that may decide anything."""
        chosen = [
            one
            for one in found.results
            if one.name in found.more or any(chance >= DECIDED[0] for chance in one.fronts.values())
        ]
        replicates = [t.replicates or _REPLICATES for one in chosen for t in one.trials]
        apart = len({t.together or t.name for one in chosen for t in one.trials}) > 1
        enough = not apart and 2 * max(replicates, default=0) > self.settings.most_replicates
        return [] if not found.more or enough else [one.name for one in chosen]


def read_trial(path: Path) -> Trial | None:
    """Return a trial from its file, None where there is none or it is of another version."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Trial)
    except (OSError, msgspec.DecodeError):
        return None


def analysis_of(path: Path, format: str, machine: Machine | None = None) -> Analysis | None:
    """Return what the layers of a deployed file cost, None where its format tells no graph.

    Parameters
    ----------
    path : Path
    format : str
    machine : Machine, optional
        For estimates of time.
    """
    try:
        return _analysis(wrapper_of(path, format), machine)
    except CompilationError:
        return None


def _analysis(model: ModelWrapper, machine: Machine | None = None) -> Analysis | None:
    """Return what the layers of a file cost for one sample, None where no graph is told."""
    if not isinstance(model, Graphs):
        return None
    found: Any = model.graph(1)
    return analyze(found, machine=machine)
