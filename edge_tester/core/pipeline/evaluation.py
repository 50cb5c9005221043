"""All phases of an edge evaluation, from what the machine has to what is to be deployed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from edge_tester.core.addresses import link_to
from edge_tester.core.backends import install_command, missing_packages
from edge_tester.core.checking.diagnosis import Asked, Diagnosis, diagnose
from edge_tester.core.checking.validating import (
    SOURCE,
    Validated,
    plans_of,
    validate,
    with_calibration,
)
from edge_tester.core.checking.validation import Validation
from edge_tester.core.checking.ways import Way, ways_of
from edge_tester.core.errors import BackendMissingError, EdgeTesterError
from edge_tester.core.options import options_of
from edge_tester.core.pipeline.candidates import (
    candidate_of,
    conversions_by_name,
    with_results_by_hand,
)
from edge_tester.core.pipeline.decision import Candidate, Decision, decide
from edge_tester.core.pipeline.devices import CONVERSIONS, RECORDS, Device, prepare_devices
from edge_tester.core.pipeline.handmade import read_by_hand
from edge_tester.core.pipeline.localproof import LocalProof, prove
from edge_tester.core.pipeline.phases import Impossible, Phases
from edge_tester.core.pipeline.runbook import read_device
from edge_tester.core.pipeline.settings import Settings
from edge_tester.core.record import RunRecord, read_record
from edge_tester.core.run.observer import Observer
from edge_tester.core.run.plan import Plan
from edge_tester.core.samples.choosing import write_samples
from edge_tester.core.samples.manifest import MANIFEST, Manifest
from edge_tester.core.system.doctor import examine, installed
from edge_tester.core.system.machine import describe_machine

SAMPLES, LOCAL = "samples", "local"
# Reasons that are said at most; the page has all.
_TOLD = 3
Found = TypeVar("Found")


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The decision, and what it was made from.

    Attributes
    ----------
    decision : Decision
    candidates : list of Candidate
    strange : list of str
        Results by hand that belong to no candidate.
    """

    decision: Decision
    candidates: list[Candidate]
    strange: list[str]


class Evaluation:
    """One run of all phases in a directory; what was done there before is not done again.

    Parameters
    ----------
    plan : Plan
        Of the model in its own framework, as :func:`edge_tester.core.checking.validating.plans_of`
        takes it.
    settings : Settings
    directory : Path
    observer : Observer
    command_line : sequence of str
        For the records.
    """

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        directory: Path,
        observer: Observer,
        command_line: Sequence[str],
    ) -> None:
        self._plan = dataclasses.replace(
            plan, dataset=with_calibration(plan.dataset, settings.samples)
        ).fresh()
        self._settings = settings
        self._directory = directory
        self._observer = observer
        self._command_line = list(command_line)
        self._plans: dict[str, Plan] = {}
        self._lacking: dict[str, str] = {}
        self._validated: Validated | None = None
        self.phases = Phases(directory, observer)

    def run(self) -> Phases:
        """Go through all phases.

        Raises
        ------
        EdgeTesterError
            The settings name something that does not exist.
        KeyboardInterrupt
            What was done until then is kept.
        """
        plan, settings = self._plan, self._settings
        for name in settings.devices:
            # What is wrong with a setting is said at once, not after an hour.
            read_device(name)
        if settings.address:
            link_to(settings.address)
        plan.dataset.prepare()
        ways = self._ways()
        self.phases.run(
            "1-environment", "Examining this machine", examine, [installed(), _machine()]
        )
        self.phases.run(
            "2-samples",
            "Choosing representative samples",
            self._samples,
            [plan.key(), settings.samples],
            lambda content: [self._directory / SAMPLES / MANIFEST],
        )
        self._plans = plans_of(
            plan, {name: self._calibrated(way) for name, way in ways.items()}, settings.conversions
        )
        model = {"plan": plan.key(), "ways": sorted(self._plans), "lacking": self._lacking}
        self.phases.run(
            "3-local",
            "Proving it on this machine",
            self._local,
            [model, settings.requests],
            lambda content: [self._directory / LOCAL / one for one in content["records"].values()],
        )
        # What a conversion rests on is known to the matrix, plan by plan.
        self.phases.run("4-conversion", "Converting and checking", self._conversion)
        self.phases.run("4-diagnosis", "Looking into what differs", self._diagnosis)
        self.phases.run("5-device", "Preparing devices", self._devices)
        self.phases.run("6-decision", "Deciding", self._decision)
        return self.phases

    def _ways(self) -> dict[str, Way]:
        """Find what can be made and run here."""
        settings, plan = self._settings, self._plan
        found, self._lacking = ways_of(
            plan.model, plan.dataset, wanted=settings.ways, make_tools=settings.make_tools
        )
        modules = settings.import_modules
        return {name: _importing(way, modules) for name, way in found.items()} if modules else found

    def _samples(self) -> Manifest:
        """Write representative samples; each that is written is not measured."""
        # A data set is bound to one model: the plan's own stay as they are.
        own = self._plan.fresh()
        own.dataset.prepare()
        folder = self._directory / SAMPLES
        return write_samples(own.dataset, own.model, self._settings.samples, 0, folder)

    def _calibrated(self, way: Way) -> Way:
        """Return a way that calibrates with the samples that were written, if it calibrates."""
        if way.compiler is None or not way.compiler.calibrates:
            return way
        if self._found("2-samples", Manifest) is None:
            return way
        folder = {"calibration_samples": self._directory / SAMPLES}
        compiler = type(way.compiler).from_options({**way.compiler.chosen_options(), **folder})
        return way._replace(compiler=compiler)

    def _local(self) -> LocalProof:
        if missing := missing_packages(self._plan.model.packages):
            # Every way has the same reason.
            model = type(self._plan.model)
            raise BackendMissingError(
                f"{model.__name__} needs {', '.join(missing)}: {install_command(missing, model)}"
            )
        names = self._frameworks() or [
            name for name, one in self._plans.items() if not one.runtime.simulates
        ]
        if not names:
            raise Impossible(f"Nothing can run the model here. {_told(self._lacking)}")
        name = names[0]
        return prove(
            name,
            self._plans[name],
            self._settings.requests,
            self._directory / LOCAL,
            self._observer,
            self._command_line,
        )

    def _conversion(self) -> Validation:
        self._validated = validate(
            self._plan,
            self._plans,
            self._directory / CONVERSIONS,
            self._settings.tolerances,
            lacking=self._lacking,
            observer=self._observer,
            command_line=self._command_line,
        )
        return self._validated.validation

    def _diagnosis(self) -> Diagnosis:
        if self._validated is None:
            raise Impossible("Nothing was converted.")
        folder = self._directory / CONVERSIONS
        return diagnose(self._plan, self._plans, self._validated, folder, Asked(), self._observer)

    def _devices(self) -> Device:
        agree = {
            name
            for name, one in conversions_by_name(self._validation()).items()
            if one.verdict != "differs"
        }
        return prepare_devices(
            self._plan,
            {name: one for name, one in self._plans.items() if name in agree},
            self._settings,
            self._directory,
            self._observer,
            self._command_line,
        )

    def _decision(self) -> Verdict:
        results = [one for asked in self._settings.results for one in read_by_hand(asked)]
        candidates, strange = with_results_by_hand(self._candidates(), results)
        return Verdict(
            decision=decide(candidates, self._settings.thresholds),
            candidates=candidates,
            strange=strange,
        )

    def _candidates(self) -> list[Candidate]:
        conversions = conversions_by_name(self._validation())
        costs = self._settings.costs
        frameworks = self._frameworks()
        device = self._found("5-device", Device)
        measured_there = device.records if device else {}
        found = []
        if not frameworks:
            record = _record(self._directory / CONVERSIONS / f"{SOURCE}.json")
            cost = costs.get(SOURCE)
            found.append(
                candidate_of(SOURCE, record, None, framework=True, on_device=False, cost=cost)
            )
        for name in self._plans:
            if name not in conversions:
                continue
            there = None
            if name in measured_there:
                there = _record(self._directory / RECORDS / measured_there[name])
            here = _record(self._directory / CONVERSIONS / f"{name}.json")
            found.append(
                candidate_of(
                    name,
                    there or here,
                    conversions[name],
                    framework=name in frameworks,
                    on_device=there is not None,
                    cost=costs.get(name),
                )
            )
        return found

    def _frameworks(self) -> list[str]:
        """Return the ways in which the model's own framework runs it on a device.

        That is the file as it is, or, where no runtime takes that, what the runtime of the same
        framework runs, unquantized.
        """
        packages = set(self._plan.model.packages)
        own = {n: one for n, one in self._plans.items() if one.model is self._plan.model}
        as_it_is = [name for name, one in own.items() if one.compiler is None]
        return as_it_is or [
            name
            for name, one in own.items()
            if one.compiler
            and not one.compiler.quantizes
            and packages >= set(one.runtime.packages) > set()
        ]

    def _validation(self) -> Validation | None:
        return self._found("4-conversion", Validation)

    def _found(self, name: str, kind: type[Found]) -> Found | None:
        """Return what a phase of this run found, None if it did not."""
        for phase in self.phases.done:
            if phase.name == name and phase.status == "done":
                return msgspec.convert(phase.content, kind)
        return None


def _importing(way: Way, modules: Sequence[str]) -> Way:
    """Return a way whose runtime imports modules first, if it can."""
    if all(declared.name != "import_modules" for declared in options_of(type(way.runtime))):
        return way
    options = {**way.runtime.chosen_options(), "import_modules": tuple(modules)}
    return way._replace(runtime=type(way.runtime).from_options(options))


def _machine() -> list[str]:
    """Return what tells this machine from others, and from itself before an update."""
    machine = describe_machine()
    return [machine.hostname, machine.system, machine.architecture, str(machine.cpu_model)]


def _record(path: Path) -> RunRecord | None:
    """Return a complete record, None where there is none."""
    if not path.exists():
        return None
    try:
        record = read_record(path)
    except EdgeTesterError:
        return None
    return record if record.complete and record.target_ns else None


def _told(lacking: dict[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in list(lacking.items())[:_TOLD])
