"""Where conversions break, what to do about it, and why one is slow: the parts put together."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from edge_tester.core.artifact import Artifact
from edge_tester.core.checking.calibrating import CalibrationReport, calibration_report
from edge_tester.core.checking.cutting import CutDown, cut_down
from edge_tester.core.checking.findings import Layers
from edge_tester.core.checking.inputs import explained_by_inputs
from edge_tester.core.checking.layers import compare_layers
from edge_tester.core.checking.operators import Operators, compare_operators
from edge_tester.core.checking.scoring import unmeasured
from edge_tester.core.checking.selective import Selection, select
from edge_tester.core.checking.sides import side_of, side_of_file
from edge_tester.core.checking.validating import Validated
from edge_tester.core.errors import DatasetError, EdgeTesterError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.record import RunRecord
from edge_tester.core.results.measures import measure_all
from edge_tester.core.run.benchmark import run_plan
from edge_tester.core.run.feed import Feed
from edge_tester.core.run.observer import Observer
from edge_tester.core.run.plan import Plan
from edge_tester.core.selectivecompiler import SelectiveCompiler
from edge_tester.core.tensors import Array

# Layers are compared on so many samples: their errors hardly differ from one to the next.
_LAYER_SAMPLES = 8


class Asked(NamedTuple):
    """What a diagnosis looks for.

    Attributes
    ----------
    layers : str
        Of which conversions layers are compared: ``none``, ``differing`` or ``all``.
    selective : bool
        Whether layers are left in float where integers lose too much.
    most_layers : float
        Part of the layers with weights that may stay in float, 0 to 1.
    calibrations : bool
        Whether methods and numbers of samples are tried.
    """

    layers: str = "differing"
    selective: bool = False
    most_layers: float = 0.25
    calibrations: bool = False


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, by the names of the conversions.

    Attributes
    ----------
    feeding : dict of str to str
        How one that differs would have to be fed to agree, in words.
    layers : dict of str to Layers
    cuts : dict of str to CutDown
    selections : dict of str to Selection
    calibrations : dict of str to CalibrationReport
    operators : dict of str to Operators
        Against the profile of ``profiled``.
    profiled : str
        Name of the run that profiles are compared with; empty without profiles.
    reasons : list of str
        What could not be found out, and why.
    """

    feeding: dict[str, str] = {}
    layers: dict[str, Layers] = {}
    cuts: dict[str, CutDown] = {}
    selections: dict[str, Selection] = {}
    calibrations: dict[str, CalibrationReport] = {}
    operators: dict[str, Operators] = {}
    profiled: str = ""
    reasons: list[str] = []


def diagnose(
    plan: Plan,
    plans: Mapping[str, Plan],
    validated: Validated,
    directory: Path,
    asked: Asked,
    observer: Observer,
) -> Diagnosis:
    """Look into conversions that were validated.

    Parameters
    ----------
    plan : Plan
        Of the source.
    plans : mapping of str to Plan
        Of the conversions.
    validated : Validated
        What was found of them.
    directory : Path
        Parts that show an error go to ``broken``, mixed quantizations to ``selective``.
    asked : Asked
    observer : Observer
    """
    reasons: list[str] = []
    verdicts = {one.name: one.verdict for one in validated.validation.conversions}
    looked_into = {
        name
        for name, verdict in verdicts.items()
        if asked.layers == "all" or (asked.layers == "differing" and verdict == "differs")
    }
    differing = {name for name, verdict in verdicts.items() if verdict == "differs"}
    feeding = _feeding(plan, validated.files, differing if asked.layers != "none" else (), reasons)
    layers, cuts = _layers(plan, validated.files, looked_into, directory, observer, reasons)
    selections: dict[str, Selection] = {}
    calibrations: dict[str, CalibrationReport] = {}
    for name, one in plans.items():
        compiler = one.compiler
        if not isinstance(compiler, SelectiveCompiler) or not compiler.quantizes:
            continue
        fresh = plan.fresh()
        fresh.dataset.prepare()
        if asked.selective:
            with _reasoned(f"{name}: layers cannot be left in float", reasons):
                folder = directory / "selective" / name
                selections[name] = select(
                    compiler,
                    fresh.model,
                    fresh.dataset,
                    folder,
                    most_layers=asked.most_layers,
                    latency=_latency(one, folder),
                    tell=observer.tell,
                )
        if asked.calibrations and compiler.calibrates:
            with _reasoned(f"{name}: calibrations cannot be compared", reasons):
                calibrations[name] = calibration_report(
                    compiler, fresh.model, fresh.dataset, tell=observer.tell
                )
    profiled, operators = _operators(validated.records, reasons)
    return Diagnosis(
        feeding=feeding,
        layers=layers,
        cuts=cuts,
        selections=selections,
        calibrations=calibrations,
        operators=operators,
        profiled=profiled,
        reasons=reasons,
    )


def _feeding(
    plan: Plan, files: Mapping[str, Artifact], names: Collection[str], reasons: list[str]
) -> dict[str, str]:
    """Say of those that differ if they would agree, were they fed otherwise."""
    found: dict[str, str] = {}
    if not names:
        return found
    model, samples = _samples(plan)
    wanted = [model.run(values)[0] for values in samples]
    for name in sorted(names):
        with _reasoned(f"{name} cannot be fed otherwise", reasons):
            words = explained_by_inputs(files[name].path, files[name].format, samples, wanted)
            if words:
                found[name] = words
    return found


def _samples(plan: Plan) -> tuple[ModelWrapper, list[list[Array]]]:
    """Return the loaded source, and a few samples as it takes them."""
    fresh = plan.fresh()
    fresh.dataset.prepare()
    fresh.model.load()
    feed = Feed(fresh.model, fresh.dataset, fresh.model.specs()[0], indices=_some(fresh))
    return fresh.model, [feed.values(one) for one in feed.loaded()]


def _layers(
    plan: Plan,
    files: Mapping[str, Artifact],
    names: Collection[str],
    directory: Path,
    observer: Observer,
    reasons: list[str],
) -> tuple[dict[str, Layers], dict[str, CutDown]]:
    """Compare layers, and cut out the part that shows the error where one stands out."""
    layers: dict[str, Layers] = {}
    cuts: dict[str, CutDown] = {}
    if not names:
        return layers, cuts
    model, samples = _samples(plan)
    with _reasoned(f"{model.model_path.name} cannot be looked into", reasons):
        source = side_of(model)
        for name in sorted(names):
            with _reasoned(f"The layers of {name} cannot be compared", reasons):
                observer.tell(f"Comparing the layers of {name}")
                conversion = side_of_file(files[name].path, files[name].format)
                found = layers[name] = compare_layers(source, conversion, samples)
                if found.first is not None and conversion.cuts is not None:
                    folder = directory / "broken" / name
                    cuts[name] = cut_down(found, source, conversion, samples, folder)
    return layers, cuts


def _some(plan: Plan) -> Array:
    """Return a few samples; nothing is chosen by them, so those to be measured do as well."""
    try:
        return unmeasured(plan.dataset, _LAYER_SAMPLES)
    except DatasetError:
        return plan.dataset.test_indices()[:_LAYER_SAMPLES]


def _latency(plan: Plan, folder: Path) -> Callable[[Artifact], float | None]:
    """Return what measures an artifact as a plan says [ns]."""
    measurement = dataclasses.replace(plan.measurement, outputs_directory=None)
    one = dataclasses.replace(plan, measurement=measurement)

    def measured(artifact: Artifact) -> float | None:
        record = run_plan(one.fresh(), folder / "latency.json", artifact=artifact)
        return measure_all(record)["p50"].number

    return measured


def _operators(
    records: Mapping[Path, RunRecord], reasons: list[str]
) -> tuple[str, dict[str, Operators]]:
    """Compare all profiles with that of the first run that has one."""
    profiles = {
        path.stem: record.profile
        for path, record in records.items()
        if record.profile is not None and record.profile.operators
    }
    if len(profiles) < 2:
        return "", {}
    (first, profile), *others = profiles.items()
    found: dict[str, Operators] = {}
    for name, other in others:
        with _reasoned(f"The profile of {name} cannot be compared with that of {first}", reasons):
            found[name] = compare_operators(profile, other)
    return first, found


@contextlib.contextmanager
def _reasoned(what: str, reasons: list[str]) -> Iterator[None]:
    """Note why something cannot be found out, and go on."""
    try:
        yield
    except EdgeTesterError as error:
        reasons.append(f"{what}: {error}")
