"""Say which of several models or records is faster: ``edge-tester compare``."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_tester.core.errors import EdgeTesterError, OptionError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import Configurable, option
from edge_tester.core.record import RunRecord
from edge_tester.core.run.plan import Measurement, Plan
from edge_tester.core.run.together import Job, run_together
from edge_tester.core.statistics.comparing import MARGIN
from edge_tester.report import render_html
from edge_tester.report.context import distinct
from edge_tester.scenarios import inference_client
from edge_tester.scenarios._command import Command, Parsed
from edge_tester.scenarios._plans import plan_of, with_random_inputs
from edge_tester.scenarios._program import Logging, guard
from edge_tester.scenarios._progress import TerminalProgress
from edge_tester.scenarios._records import records_of
from edge_tester.scenarios._show import comparison, verdicts
from edge_tester.scenarios._yaml import blaming, read_mapping

# For each model: long enough for several blocks in each replicate, which take turns.
_DURATION_S = 5.0


class Comparing(Configurable):
    """What a comparison asks."""

    margin: float = option(
        100 * MARGIN,
        minimum=0,
        maximum=100,
        unit="%",
        help="Difference of the latency that does not matter",
    )
    baseline: str | None = option(
        None, help="Name of the model or record with which all others are compared; the first"
    )
    report_directory: Path = option(
        Path("build/compare"), help="Folder for the records and the report"
    )


COMMAND = Command(
    "compare",
    "Compare models, settings, targets, or run records. Two or more model files, or two or more "
    "scenario files of edge-tester client (.yml), which may differ in anything, are run by turns, "
    "in fresh processes and random order, so that what disturbs the machine disturbs all of them. "
    "Records (.json files, or a folder of them) that were measured apart are compared with the "
    "wider interval that this has. The verdict is faster, slower, equivalent (within --margin) "
    "or unknown, and then how much more it takes to know.",
    roles=("modelwrappers", "compilers", "runtimeprotocols", "runtimes", "datasets"),
    by_flag=("patterns",),
    extras=(Comparing, Measurement),
    repeated=("modelwrappers",),
    complete=with_random_inputs,
)


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    places = _places(arguments)
    recorded = [arguments[place] for place in places if _is_recorded(arguments[place])]
    described = [
        arguments[place] for place in places if Path(arguments[place]).suffix in (".yml", ".yaml")
    ]
    own = {place for place in places if arguments[place] in [*recorded, *described]}
    parsed = COMMAND.parse([word for place, word in enumerate(arguments) if place not in own])
    parsed.extra(Logging).start()
    kinds = {"a record": recorded, "a scenario file": described, "a model": parsed.parts}
    several = [kind for kind, given in kinds.items() if given]
    if len(several) > 1:
        raise OptionError(
            "edge-tester compare takes models, scenario files or records, got "
            f"{' and '.join(several)}."
        )
    if recorded:
        _compared(parsed, [one for word in recorded for one in records_of(Path(word))])
        return
    jobs = _jobs_described(parsed, [Path(word) for word in described])
    _conducted(parsed, jobs or _jobs_of_models(parsed), ["edge-tester", "compare", *arguments])


def conduct(parsed: Parsed) -> None:
    """Do what a scenario file says."""
    parsed.extra(Logging).start()
    _conducted(parsed, _jobs_of_models(parsed), parsed.command_line)


def _compared(parsed: Parsed, found: Sequence[tuple[Path, RunRecord]]) -> None:
    """Print and write what a comparison comes to."""
    asked = parsed.extra(Comparing)
    _require_several(len(found))
    sources, records = zip(*found, strict=True)
    comparison(records)
    verdicts(records, sources, baseline=asked.baseline, margin=asked.margin / 100)
    report = asked.report_directory / "report.html"
    render_html(
        records, report, sources=sources, baseline=asked.baseline, margin=asked.margin / 100
    )
    print(f"Report: {report}")


def _require_several(count: int) -> None:
    if count < 2:
        raise OptionError(
            f"edge-tester compare needs two or more models, scenario files or records, got {count}."
        )


def _places(arguments: Sequence[str]) -> list[int]:
    """Return where words stand that are no flags and no values of one."""
    switches = {
        flag
        for cls in (Comparing, Measurement, Logging)
        for action in cls.form_argparse()[0]._actions
        if action.nargs == 0
        for flag in action.option_strings
    }
    takes = [one.startswith("-") and "=" not in one and one not in switches for one in arguments]
    return [
        place
        for place, word in enumerate(arguments)
        if not word.startswith("-") and not (place and takes[place - 1])
    ]


def _is_recorded(word: str) -> bool:
    path = Path(word)
    if path.is_dir():
        return not (path / "saved_model.pb").exists() and any(path.glob("*.json"))
    return path.suffix == ".json"


def _jobs_of_models(parsed: Parsed) -> list[Job]:
    """Return what to run of models that differ in nothing else."""
    models = [part for _, part in parsed.parts if isinstance(part, ModelWrapper)]
    names = _names([model.model_path for model in models])
    measurement = parsed.extra(Measurement)
    plans = [plan_of(parsed, model, measurement) for model in models]
    return _jobs(parsed, dict(zip(names, plans, strict=True)))


def _jobs_described(parsed: Parsed, paths: Sequence[Path]) -> list[Job]:
    """Return what to run of scenario files; how to measure is as the flags say, for all alike."""
    wanted = parsed.extra(Measurement).chosen_options()
    plans = []
    for path in paths:
        content = read_mapping(path)
        with blaming(path):
            name = content.pop("scenario", None)
            if name != inference_client.COMMAND.name:
                raise OptionError(f"{path} must have the scenario 'client', got {name!r}.")
            one = inference_client.COMMAND.read(content, str(path))
            measurement = dataclasses.replace(one.extra(Measurement), **wanted)
            plan = plan_of(one, one.needed(ModelWrapper), measurement)
            plans.append(dataclasses.replace(plan, protocol=inference_client.link_of(one)))
    return _jobs(parsed, dict(zip(_names(paths), plans, strict=True)))


def _jobs(parsed: Parsed, plans: dict[str, Plan]) -> list[Job]:
    directory = parsed.extra(Comparing).report_directory
    return [
        Job(dataclasses.replace(plan, measurement=_own(plan.measurement, name)), path)
        for name, plan in plans.items()
        for path in [directory / f"{name}.json"]
    ]


def _conducted(parsed: Parsed, jobs: Sequence[Job], command_line: Sequence[str]) -> None:
    """Run all by turns; compare those that did not fail."""
    _require_several(len(jobs))
    with TerminalProgress() as progress:
        outcomes = run_together(jobs, observer=progress, command_line=command_line)
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, EdgeTesterError):
                progress.tell(f"{job.path.stem} failed: {outcome}")
    pairs = zip(jobs, outcomes, strict=True)
    _compared(parsed, [(job.path, one) for job, one in pairs if isinstance(one, RunRecord)])


def _own(measurement: Measurement, name: str) -> Measurement:
    """Return how to measure one of several."""
    if not {"min_duration_s", "min_count"} & set(measurement.chosen_options()):
        measurement = dataclasses.replace(measurement, min_duration_s=_DURATION_S)
    if measurement.outputs_directory is not None:
        own = measurement.outputs_directory / name
        measurement = dataclasses.replace(measurement, outputs_directory=own)
    return measurement


def _names(paths: Sequence[Path]) -> list[str]:
    """Return names of files that no two of them have."""
    stems = [path.stem for path in paths]
    return distinct(stems if len(set(stems)) == len(stems) else [path.name for path in paths])


if __name__ == "__main__":
    sys.exit(guard(main))
