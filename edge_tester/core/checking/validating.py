"""Run a model and its conversions on the same samples, and say whether they still agree."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from edge_tester.core.artifact import Artifact, Weights
from edge_tester.core.checking.outputs import Answered
from edge_tester.core.checking.validation import (
    Conversion,
    Tolerances,
    Validation,
    conversion_of,
)
from edge_tester.core.checking.ways import Way
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import (
    BackendMissingError,
    DatasetError,
    EdgeTesterError,
    OptionError,
    RecordError,
)
from edge_tester.core.formats import format_of
from edge_tester.core.making.chain import wrapper_of
from edge_tester.core.making.runtimes import runtime_for
from edge_tester.core.making.trial import run_source
from edge_tester.core.model import ModelWrapper
from edge_tester.core.record import RunRecord, read_record
from edge_tester.core.registry import loadable, names
from edge_tester.core.run.benchmark import measure_host
from edge_tester.core.run.matrix import MatrixRun
from edge_tester.core.run.observer import Observer
from edge_tester.core.run.plan import Plan
from edge_tester.core.samples.checks import ENOUGH_SAMPLES

SOURCE = "source"


class Validated(NamedTuple):
    """What a validation found, and the runs that it rests on.

    Attributes
    ----------
    validation : Validation
    records : dict of Path to RunRecord
        That of the source first.
    files : dict of str to Artifact
        What ran, by the names of the conversions.
    """

    validation: Validation
    records: dict[Path, RunRecord]
    files: dict[str, Artifact]


def plans_of(plan: Plan, ways: Mapping[str, Way], files: Sequence[Path] = ()) -> dict[str, Plan]:
    """Return a plan for each way to deploy a model, and for files that were made of it elsewhere.

    Parameters
    ----------
    plan : Plan
        Of the model itself: all but compiler and runtime is taken from it.
    ways : mapping of str to Way
    files : sequence of Path
        They are fed as the model is.

    Raises
    ------
    OptionError
        Two have the same name, or a file cannot be fed as the model is.
    """
    plans = {
        name: dataclasses.replace(plan, compiler=way.compiler, runtime=way.runtime)
        for name, way in ways.items()
    }
    for path in files:
        if path.stem in (*plans, SOURCE):
            raise OptionError(f"Two conversions are named {path.stem!r}: rename {path}.")
        model = _fed_alike(path, plan.model)
        runtime = runtime_for(model.artifact().format)()
        plans[path.stem] = dataclasses.replace(plan, model=model, compiler=None, runtime=runtime)
    return plans


def validate(
    plan: Plan,
    plans: Mapping[str, Plan],
    directory: Path,
    tolerances: Tolerances,
    *,
    lacking: Mapping[str, str] | None = None,
    observer: Observer | None = None,
    command_line: Sequence[str] = (),
) -> Validated:
    """Run the source on this machine and all conversions where the plan says, and compare.

    What was run before, with the same files and options, is not run again.

    Parameters
    ----------
    plan : Plan
        Of the source.
    plans : mapping of str to Plan
        Of the conversions, by name; see :func:`plans_of`.
    directory : Path
        For records, compiled models and outputs.
    tolerances : Tolerances
    lacking : mapping of str to str
        Why other conversions are not among them.
    observer : Observer, optional
    command_line : sequence of str
        For the records.

    Raises
    ------
    EdgeTesterError
        The source cannot be run, or gives different answers for the same input.
    """
    observer = observer or Observer()
    plan, plans = _of_the_same_samples(plan, plans)
    own = {name: _keeping(one, directory, name) for name, one in plans.items()}
    source = _source(_keeping(plan, directory, SOURCE), directory, observer, command_line)
    plan.model.load()
    precision = plan.model.precision()
    run = MatrixRun(own, directory, command_line)
    failures = run.run(observer)
    records = run.records()
    conversions: list[Conversion] = []
    for path, record in records.items():
        name = path.stem
        answered = Answered(record, directory / "outputs" / name, _weights(own[name], record))
        try:
            conversions.append(
                conversion_of(name, answered, source, tolerances, source_precision=precision)
            )
        except RecordError as error:
            failures[name] = str(error)
    validation = Validation(
        source=plan.model.model_path.name,
        samples=len(source.record.predictions.index),
        random=plan.dataset.random,
        tolerances=tolerances,
        conversions=conversions,
        failures=failures,
        lacking=dict(lacking or {}),
    )
    made = {one.name: run.artifact(one.name) for one in conversions}
    return Validated(
        validation,
        {directory / f"{SOURCE}.json": source.record, **records},
        {name: artifact for name, artifact in made.items() if artifact is not None},
    )


def with_calibration(dataset: Dataset, count: int) -> Dataset:
    """Return a data set that sets samples apart for calibration, whatever it is used for.

    So all that are measured with it are measured with the same samples. It is the data set as it
    was if it has too few, or makes random ones.

    Parameters
    ----------
    dataset : Dataset
    count : int
    """
    fresh = type(dataset).from_options({**dataset.chosen_options(), "min_calibration": count})
    if dataset.random or dataset.min_calibration >= count:
        return dataset
    fresh.prepare()
    try:
        fresh.split()
    except DatasetError:
        # What calibrates says it itself; the others go on.
        return dataset
    return type(dataset).from_options(fresh.chosen_options())


def _of_the_same_samples(plan: Plan, plans: Mapping[str, Plan]) -> tuple[Plan, dict[str, Plan]]:
    """Let all set the same samples apart for calibration, where some do."""
    if not any(one.compiler is not None and one.compiler.calibrates for one in plans.values()):
        return plan, dict(plans)
    dataset = with_calibration(plan.dataset, ENOUGH_SAMPLES)
    together = {name: dataclasses.replace(one, dataset=dataset) for name, one in plans.items()}
    return dataclasses.replace(plan, dataset=dataset), together


def _keeping(plan: Plan, directory: Path, name: str) -> Plan:
    """Return a plan that keeps its outputs in a folder of their own."""
    folder = directory / "outputs" / name
    measurement = dataclasses.replace(plan.measurement, outputs_directory=folder)
    return dataclasses.replace(plan, measurement=measurement)


def _source(
    plan: Plan, directory: Path, observer: Observer, command_line: Sequence[str]
) -> Answered:
    """Return the source's outputs; those of an earlier run if they are of the same."""
    path = directory / f"{SOURCE}.json"
    folder = cast(Path, plan.measurement.outputs_directory)
    # A data set is bound to one model: the plan's own stays as it was.
    model, dataset = plan.fresh().model, plan.fresh().dataset
    dataset.prepare()
    found, why = run_source(model, dataset)
    if found is None:
        raise RecordError(f"Nothing can be compared with {model.model_path}: {why}.")
    if not found.repeats:
        raise RecordError(
            f"{model.model_path} gives different answers for the same input, because it draws "
            "random numbers or keeps a state: no conversion can be compared with it."
        )
    earlier = _earlier(path, plan, folder)
    if earlier is not None:
        observer.tell(f"{SOURCE}: done before")
        return Answered(earlier, folder)
    observer.tell(f"Running {model.model_path} in its framework, on this machine")
    # One process has one framework: what several would say differs is not asked of the source.
    measurement = dataclasses.replace(plan.measurement, replicates=None, precision=None)
    record = measure_host(
        plan.fresh().model,
        plan.fresh().dataset,
        measurement=measurement,
        report_directory=directory,
        report_name=SOURCE,
        observer=observer,
        command_line=command_line,
    )
    return Answered(record, folder)


def _earlier(path: Path, plan: Plan, folder: Path) -> RunRecord | None:
    """Return a complete record of the same source, if there is one and its outputs are there."""
    try:
        record = read_record(path)
    except RecordError:
        return None
    options = [one.options for one in record.components if one.role in ("modelwrapper", "dataset")]
    wanted = [plan.model.to_options(), plan.dataset.to_options()]
    same = record.model.sha256 == plan.model.artifact().sha256 and all(
        one in options for one in wanted
    )
    return record if same and record.complete and any(folder.glob("*.npy")) else None


def _fed_alike(path: Path, model: ModelWrapper) -> ModelWrapper:
    """Return a file as a model that takes samples as another one does."""
    scaling = model.scaling()
    if scaling is None:
        raise OptionError(
            f"{path} cannot be fed as {type(model).__name__} is, whose preprocessing is its own "
            "code: let its compiler make the conversion, by --ways."
        )
    return wrapper_of(path, format_of(path), scaling)


def _weights(plan: Plan, record: RunRecord) -> Weights | None:
    """Return what the weights of the file that ran are made of, None if that cannot be read."""
    model = record.model
    if model.weight_elements:
        return Weights(model.weight_elements, model.quantized_weight_share or 0.0)
    for name in names("compilers"):
        compiler = loadable("compilers", name)
        if compiler is None or getattr(compiler, "output_format", "") != model.format:
            continue
        try:
            return cast(ModelCompiler, compiler()).read_weights(plan.model.model_path)
        except (BackendMissingError, EdgeTesterError):
            continue
    return None
