"""Say which of several models or records is faster: ``edge-tester compare``."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_tester.core import registry
from edge_tester.core.errors import EdgeTesterError, OptionError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import Configurable, option
from edge_tester.core.record import RunRecord
from edge_tester.core.run.plan import Measurement
from edge_tester.core.run.together import Job, run_together
from edge_tester.core.statistics.comparing import MARGIN
from edge_tester.report import render_html
from edge_tester.report.context import distinct
from edge_tester.scenarios._choice import Chosen
from edge_tester.scenarios._command import Command, Parsed
from edge_tester.scenarios._plans import plan_of
from edge_tester.scenarios._program import Logging, guard
from edge_tester.scenarios._progress import TerminalProgress
from edge_tester.scenarios._records import records_of
from edge_tester.scenarios._show import comparison, verdicts

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


def _complete(chosen: list[Chosen]) -> list[Chosen]:
    """Add random inputs where no data set is named."""
    named = {one.role for one in chosen}
    if "modelwrappers" in named and "datasets" not in named:
        data = Chosen("datasets", registry.load("datasets", "random_inputs"), {})
        return [*chosen, data]
    return chosen


COMMAND = Command(
    "compare",
    "Compare models, or run records. Two or more model files are run by turns on one target, in "
    "fresh processes and random order, so that what disturbs the machine disturbs all of them. "
    "Records (.json files, or a folder of them) that were measured apart are compared with the "
    "wider interval that this has. The verdict is faster, slower, equivalent (within --margin) "
    "or unknown, and then how much more it takes to know. Settings and targets are compared by "
    "edge-tester matrix.",
    roles=("modelwrappers", "compilers", "runtimeprotocols", "runtimes", "datasets"),
    by_flag=("patterns",),
    extras=(Comparing, Measurement),
    repeated="modelwrappers",
    complete=_complete,
)


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    recorded = [word for word in arguments if _is_recorded(word)]
    parsed = COMMAND.parse([word for word in arguments if word not in recorded])
    parsed.extra(Logging).start()
    asked = parsed.extra(Comparing)
    if recorded:
        if parsed.parts:
            raise OptionError(
                f"edge-tester compare takes models or records, got both: {recorded[0]} is a record."
            )
        found = [one for word in recorded for one in records_of(Path(word))]
    else:
        found = _measured(parsed, list(arguments))
    if len(found) < 2:
        raise OptionError(
            f"edge-tester compare needs two or more models or records, got {len(found)}."
        )
    sources, records = zip(*found, strict=True)
    comparison(records)
    verdicts(records, sources, baseline=asked.baseline, margin=asked.margin / 100)
    report = asked.report_directory / "report.html"
    render_html(
        records, report, sources=sources, baseline=asked.baseline, margin=asked.margin / 100
    )
    print(f"Report: {report}")


def _is_recorded(word: str) -> bool:
    path = Path(word)
    if path.is_dir():
        return not (path / "saved_model.pb").exists() and any(path.glob("*.json"))
    return path.suffix == ".json"


def _measured(parsed: Parsed, arguments: Sequence[str]) -> list[tuple[Path, RunRecord]]:
    """Run all models by turns; return the records of those that did not fail."""
    directory = parsed.extra(Comparing).report_directory
    models = [part for _, part in parsed.parts if isinstance(part, ModelWrapper)]
    if len(models) < 2:
        raise OptionError(
            f"edge-tester compare needs two or more models or records, got {len(models)}; usage: "
            f"{COMMAND.usage}"
        )
    jobs = [
        Job(plan_of(parsed, model, _measurement(parsed, name)), directory / f"{name}.json")
        for name, model in _named(models).items()
    ]
    with TerminalProgress() as progress:
        outcomes = run_together(
            jobs, observer=progress, command_line=["edge-tester", "compare", *arguments]
        )
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, EdgeTesterError):
                progress.tell(f"{job.plan.model.model_path} failed: {outcome}")
    pairs = zip(jobs, outcomes, strict=True)
    return [(job.path, one) for job, one in pairs if isinstance(one, RunRecord)]


def _measurement(parsed: Parsed, name: str) -> Measurement:
    measurement = parsed.extra(Measurement)
    if not {"min_duration_s", "min_count"} & set(measurement.chosen_options()):
        measurement = dataclasses.replace(measurement, min_duration_s=_DURATION_S)
    if measurement.outputs_directory is not None:
        own = measurement.outputs_directory / name
        measurement = dataclasses.replace(measurement, outputs_directory=own)
    return measurement


def _named(models: Sequence[ModelWrapper]) -> dict[str, ModelWrapper]:
    """Return models by names that no two of them have."""
    paths = [model.model_path for model in models]
    stems = [path.stem for path in paths]
    names = stems if len(set(stems)) == len(stems) else [path.name for path in paths]
    return dict(zip(distinct(names), models, strict=True))


if __name__ == "__main__":
    sys.exit(guard(main))
