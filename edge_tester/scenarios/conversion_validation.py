"""Say whether conversions of a model still are the model: ``edge-tester validate``."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from edge_tester.core.backends import backend
from edge_tester.core.checking.diagnosis import Asked, Diagnosis, diagnose
from edge_tester.core.checking.validating import Validated, plans_of, validate
from edge_tester.core.checking.validation import Conversion, Tolerances, rows_of
from edge_tester.core.checking.ways import ways_of
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import RecordError
from edge_tester.core.formats import FORMATS
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import Configurable, option
from edge_tester.core.results.tables import csv_of
from edge_tester.core.results.words import amount, moment
from edge_tester.core.run.hostruntime import HostRuntime
from edge_tester.core.run.plan import Measurement, Plan
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.system.files import write_atomically
from edge_tester.report import Page, render_html, render_page
from edge_tester.report.context import report_of
from edge_tester.report.diagnosis import diagnosis_sections
from edge_tester.report.diagnosis import findings_of as diagnosis_findings
from edge_tester.report.validation import WORDS, findings_of, validation_section
from edge_tester.scenarios._arguments import parted
from edge_tester.scenarios._choice import is_class
from edge_tester.scenarios._command import Command, Parsed
from edge_tester.scenarios._plans import with_random_inputs
from edge_tester.scenarios._program import Logging, guard
from edge_tester.scenarios._progress import TerminalProgress

# For each conversion, in all its replicates: what the latency beside the verdict rests on.
_DURATION_S = 1.0
_LEAST = Tolerances()


class Validating(Configurable):
    """What is compared, and what may differ."""

    conversions: tuple[Path, ...] = option(
        (),
        help="Files that were made of the model elsewhere, also as further words after the model",
    )
    ways: tuple[str, ...] = option(
        (),
        help="Conversions to make here: a compiler (tflite), with its variant (tflite-int8), with "
        "another runtime (onnx-openvino), or all; all if no files are named",
    )
    make_tools: bool = option(
        False, help="Let compilers make environments for tools that do not fit among others"
    )
    float32_tolerance: float = option(
        _LEAST.float32,
        minimum=0,
        help="Largest difference of float32, as part of the largest value of an output",
    )
    float16_tolerance: float = option(_LEAST.float16, minimum=0, help="The same of float16")
    least_agreement: float = option(
        100 * _LEAST.agreement,
        minimum=0,
        maximum=100,
        unit="%",
        help="Samples for which integers must answer with the same class",
    )
    most_loss: float = option(
        100 * _LEAST.loss,
        minimum=0,
        maximum=100,
        unit="points",
        help="Accuracy that integers may lose, in percentage points",
    )
    least_sqnr_db: float = option(
        _LEAST.signal_to_noise_db,
        unit="dB",
        help="Signal-to-noise ratio of integers where no classes are told apart",
    )
    layers: str = option(
        "differing",
        choices=("none", "differing", "all"),
        help="Conversions of which layers are compared with the source's; where one breaks, the "
        "smallest part that shows it is cut out",
    )
    selective: bool = option(
        False, help="Leave the layers in float that integers harm most, until the quality holds"
    )
    most_float_layers: float = option(
        25.0,
        minimum=0,
        maximum=100,
        unit="%",
        help="Layers with weights that may stay in float",
    )
    calibrations: bool = option(
        False, help="Try methods and numbers of samples of calibrating, side by side"
    )
    report_directory: Path = option(
        Path("build/validate"), help="Folder for models, outputs, records and reports"
    )

    def tolerances(self) -> Tolerances:
        """Return what may differ, in parts."""
        return Tolerances(
            float32=self.float32_tolerance,
            float16=self.float16_tolerance,
            agreement=self.least_agreement / 100,
            loss=self.most_loss / 100,
            signal_to_noise_db=self.least_sqnr_db,
        )

    def diagnosis(self) -> Asked:
        """Return what is looked into, in parts."""
        return Asked(self.layers, self.selective, self.most_float_layers / 100, self.calibrations)


COMMAND = Command(
    "validate",
    "Compare what was made of a model with the model itself: every output for every test sample, "
    "the answers by paired tests, size and latency. Conversions are files that are named after "
    "the model, or are made here (--ways); without either, all that this environment can make. "
    "What was run before is not run again. The status is 1 if a conversion differs or fails.",
    roles=("modelwrappers", "runtimeprotocols", "datasets"),
    required=("modelwrappers",),
    extras=(Validating, Measurement),
    complete=with_random_inputs,
)


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    own, files = _files_after_model(arguments)
    parsed = COMMAND.parse(own)
    asked = dataclasses.replace(parsed.extra(Validating))
    asked.conversions = (*files, *asked.conversions)
    command_line = ["edge-tester", COMMAND.name, *arguments]
    return _conducted(parsed, asked, command_line)


def conduct(parsed: Parsed) -> int:
    """Do what a scenario file says."""
    return _conducted(parsed, parsed.extra(Validating), parsed.command_line)


def _conducted(parsed: Parsed, asked: Validating, command_line: Sequence[str]) -> int:
    parsed.extra(Logging).start()
    measurement = parsed.extra(Measurement)
    if not {"min_duration_s", "min_count"} & set(measurement.chosen_options()):
        measurement = dataclasses.replace(measurement, min_duration_s=_DURATION_S)
    plan = source_plan(parsed, measurement)
    plan.dataset.prepare()
    wanted = [one for one in asked.ways if one != "all"]
    found: dict[str, Any] = {}
    lacking: dict[str, str] = {}
    if asked.ways or not asked.conversions:
        found, lacking = ways_of(
            plan.model, plan.dataset, wanted=wanted, local=plan.local, make_tools=asked.make_tools
        )
    plans = plans_of(plan, found, asked.conversions)
    with TerminalProgress() as progress:
        validated = validate(
            plan,
            plans,
            asked.report_directory,
            asked.tolerances(),
            lacking=lacking,
            observer=progress,
            command_line=command_line,
        )
        diagnosis = diagnose(
            plan, plans, validated, asked.report_directory, asked.diagnosis(), progress
        )
    _written(validated, diagnosis, asked.report_directory)
    _shown(validated, diagnosis, asked.report_directory)
    failed = validated.validation.failures or any(
        one.verdict == "differs" for one in validated.validation.conversions
    )
    return 1 if failed else 0


def source_plan(parsed: Parsed, measurement: Measurement) -> Plan:
    """Return a plan of the model in its own framework, to be replaced by each conversion's."""
    return Plan(
        parsed.needed(ModelWrapper),
        parsed.needed(Dataset),
        HostRuntime(),
        None,
        parsed.part(RuntimeProtocol),
        measurement,
    ).fresh()


def _files_after_model(arguments: Sequence[str]) -> tuple[list[str], list[Path]]:
    """Part model files that follow the model from all else."""
    roles = ("modelwrappers", "runtimeprotocols", "datasets")
    words = parted(arguments, roles, (Validating, Measurement, Logging)).words
    models = [word for word in words if is_class(word, ["modelwrappers"])]
    files = [word for word in models[1:] if Path(word).suffix.lower() in FORMATS]
    return [word for word in arguments if word not in files], [Path(word) for word in files]


def _written(found: Validated, diagnosis: Diagnosis, directory: Path) -> None:
    """Write JSON, CSV and pages."""
    validation, records = found.validation, found.records
    report = report_of(list(records.values()), sources=list(records))
    failures = list(validation.failures.items())
    render_html(list(records.values()), directory / "report.html", failures, sources=list(records))
    page = Page(
        "Validation",
        f"Conversions of {validation.source}",
        [moment(next(iter(records.values())).created)],
        [*findings_of(validation), *diagnosis_findings(diagnosis)],
        [],
        [validation_section(validation, report), *diagnosis_sections(diagnosis)],
    )
    render_page(page, directory / "validation.html")
    content = msgspec.json.format(msgspec.json.encode(validation), indent=1)
    for name, text in (
        ("validation.json", content),
        ("diagnosis.json", msgspec.json.format(msgspec.json.encode(diagnosis), indent=1)),
        ("validation.csv", csv_of(rows_of(validation)).encode("utf-8", "replace")),
    ):
        try:
            write_atomically(directory / name, text)
        except OSError as error:
            raise RecordError(f"{directory / name} cannot be written: {error.strerror}.") from error


def _shown(found: Validated, diagnosis: Diagnosis, directory: Path) -> None:
    """Print a line for each conversion, and its reasons."""
    validation = found.validation
    console = backend("rich.console", "edge-tester").Console()
    table = backend("rich.table", "edge-tester").Table(
        box=backend("rich.box", "edge-tester").SIMPLE_HEAD, pad_edge=False
    )
    table.add_column("Conversion", overflow="fold")
    table.add_column("")
    for title in ("Largest\ndifference", "SQNR\ndB", "Same class\n%", "Size"):
        table.add_column(title, justify="right")
    text = backend("rich.text", "edge-tester").Text
    for one in validation.conversions:
        table.add_row(text(one.name), WORDS[one.verdict], *_numbers(one))
    if validation.conversions:
        console.print(table)
    for one in validation.conversions:
        if one.verdict != "alike":
            console.print(text(f"* {one.name} {WORDS[one.verdict]}: {' '.join(one.reasons)}"))
    for name, reason in validation.failures.items():
        console.print(text(f"* {name} could not be made or run: {reason}"))
    for sentence in [*diagnosis_findings(diagnosis), *diagnosis.reasons]:
        console.print(text(f"* {sentence}"))
    if validation.lacking:
        console.print(text(f"Not tried: {', '.join(validation.lacking)}; validation.html has why."))
    if validation.random:
        console.print("note: the samples are random numbers, which tell less than real ones.")
    console.print(f"Validation: {directory / 'validation.html'}", highlight=False, soft_wrap=True)
    console.print(f"Runs: {directory / 'report.html'}", highlight=False, soft_wrap=True)


def _numbers(one: Conversion) -> list[str]:
    found = [output.agreement for output in one.outputs]
    ratios = [each.signal_to_noise_db for each in found if each.signal_to_noise_db is not None]
    shares = [each.top1 for each in found if each.top1 is not None]
    return [
        f"{max(each.max_relative for each in found):.2g}" if found else "-",
        f"{min(ratios):.1f}" if ratios else "-",
        f"{100 * min(shares):.4g}" if shares else "-",
        amount(one.size_bytes, "bytes"),
    ]


if __name__ == "__main__":
    sys.exit(guard(main))
