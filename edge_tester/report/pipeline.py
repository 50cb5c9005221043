"""The page of an edge evaluation: the decision on top, then the candidates, then the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from edge_tester.core.checking.diagnosis import Diagnosis
from edge_tester.core.checking.validation import Validation
from edge_tester.core.errors import RecordError
from edge_tester.core.pipeline.decision import TITLES, Candidate
from edge_tester.core.pipeline.devices import Device
from edge_tester.core.pipeline.evaluation import Verdict
from edge_tester.core.pipeline.localproof import LocalProof
from edge_tester.core.pipeline.phases import Phase
from edge_tester.core.pipeline.settings import Settings
from edge_tester.core.record import RunRecord, read_record
from edge_tester.core.results.known import Known
from edge_tester.core.results.measures import measure_all
from edge_tester.core.results.values import Value, percentile_value
from edge_tester.core.results.words import NOT_AVAILABLE, Kind, amount, moment, plural
from edge_tester.core.run.plan import Plan
from edge_tester.core.samples.manifest import Manifest
from edge_tester.core.system.doctor import Environment
from edge_tester.report._candidate_plots import candidate_drawings
from edge_tester.report._comparison_plots import comparison_drawings
from edge_tester.report._details import Table
from edge_tester.report._theme import DARK, FONTS, LIGHT
from edge_tester.report.context import report_of
from edge_tester.report.diagnosis import diagnosis_sections
from edge_tester.report.diagnosis import findings_of as diagnosis_findings
from edge_tester.report.page import Page, Section
from edge_tester.report.render import template, write
from edge_tester.report.validation import validation_section

_FITS = {"met": "meets all", "exceeded": "out", "unknown": "not known"}
_SIGNS = {"met": "✓", "exceeded": "✗", "unknown": "?"}
_NONE = "-"


def pipeline_page(plan: Plan, settings: Settings, phases: Sequence[Phase], directory: Path) -> Page:
    """Return the page of a run.

    Parameters
    ----------
    plan : Plan
        Of the model.
    settings : Settings
    phases : sequence of Phase
        In their order.
    directory : Path
        Of the run, where records and runbooks are.
    """
    found = {phase.name: phase.content for phase in phases if phase.status == "done"}
    sections: list[Section] = []
    findings = ["No decision could be made: see the phases."]
    cautions: list[str] = []
    records = _records(found, directory)
    if "6-decision" in found:
        verdict = msgspec.convert(found["6-decision"], Verdict)
        findings = [verdict.decision.sentence, f"Confidence: {verdict.decision.confidence}."]
        cautions = [*verdict.decision.unknown, *verdict.strange]
        sections.append(_decision(verdict, settings))
        sections.append(_candidates(verdict.candidates, records))
    if "4-conversion" in found:
        validation = msgspec.convert(found["4-conversion"], Validation)
        report = report_of(list(records.values())) if records else None
        sections.append(validation_section(validation, report))
    if "4-diagnosis" in found:
        diagnosis = msgspec.convert(found["4-diagnosis"], Diagnosis)
        cautions.extend(diagnosis_findings(diagnosis))
        sections.extend(diagnosis_sections(diagnosis))
    if "3-local" in found:
        sections.append(_local(msgspec.convert(found["3-local"], LocalProof), directory))
    if "5-device" in found:
        sections.append(_device(msgspec.convert(found["5-device"], Device)))
    if "2-samples" in found:
        sections.append(_samples(msgspec.convert(found["2-samples"], Manifest)))
    if "1-environment" in found:
        sections.append(_environment(msgspec.convert(found["1-environment"], Environment)))
    sections.append(_phases(phases))
    about = [
        f"{moment(phases[0].began)}",
        f"{type(plan.model).__name__} with {type(plan.dataset).__name__}",
    ]
    title = f"What to deploy of {plan.model.model_path.name}"
    return Page("Edge evaluation", title, about, findings, cautions, sections)


def write_runbooks(phases: Sequence[Phase], directory: Path) -> None:
    """Write each runbook as Markdown and as HTML.

    Raises
    ------
    RecordError
        A file cannot be written.
    """
    for phase in phases:
        if phase.name != "5-device" or phase.status != "done":
            continue
        for runbook in msgspec.convert(phase.content, Device).runbooks:
            text = template("runbook.md.j2", autoescape=False).render(runbook=runbook)
            write(directory / "runbooks" / f"{runbook.name}.md", text.encode("utf-8", "replace"))
            page = template("runbook.html.j2", autoescape=True).render(
                runbook=runbook, light=LIGHT, dark=DARK, fonts=FONTS
            )
            write(directory / "runbooks" / f"{runbook.name}.html", page.encode("utf-8", "replace"))


def _records(found: dict[str, dict[str, object]], directory: Path) -> dict[Path, RunRecord]:
    """Return the records of the candidates: those of the device where there are any."""
    if "6-decision" not in found:
        return {}
    device = msgspec.convert(found["5-device"], Device) if "5-device" in found else None
    paths = []
    for one in msgspec.convert(found["6-decision"], Verdict).candidates:
        if device is not None and one.name in device.records:
            paths.append(directory / "device" / device.records[one.name])
        elif not one.simulated:
            paths.append(directory / "conversions" / f"{one.name}.json")
    records = {}
    for path in paths:
        try:
            records[path] = read_record(path)
        except RecordError:
            # Measured by hand alone.
            continue
    return records


def _decision(verdict: Verdict, settings: Settings) -> Section:
    decision = verdict.decision
    asked = {k: v for k, v in msgspec.structs.asdict(settings.thresholds).items() if v is not None}
    known = {
        name
        for one in verdict.candidates
        for name, figure in one.figures.items()
        if figure.number is not None
    }
    names = [*asked, *(name for name in TITLES if name not in asked and name in known)]
    scored = any(one.edge_score is not None for one in decision.judged)
    judged = {one.name: one for one in decision.judged}
    rows = []
    for one in verdict.candidates:
        mine = judged[one.name]
        cells = [_cell(one, name, mine.states.get(name)) for name in names]
        score = [_NONE if mine.edge_score is None else f"{mine.edge_score:.4g}"] * scored
        chosen = " (recommended)" if one.name == decision.recommended else ""
        rows.append([f"{one.name}{chosen}", _FITS[mine.fit], *cells, *score])
    head = ["Candidate", "Thresholds"]
    head += [
        f"{TITLES[name]}, at most {asked[name]:g}" if name in asked else TITLES[name]
        for name in names
    ]
    head += ["Edge score (1/J)"] * scored
    why = [[one.name, "; ".join(one.reasons)] for one in decision.judged if one.reasons]
    notes = [f"The rule that fired: {decision.rule}"]
    if scored:
        notes.append(
            "The edge score is accuracy / (latency x power), an informal figure: it weighs a point "
            "of accuracy as a percent of time or of power. It decides nothing here."
        )
    return Section(
        "decision",
        "Decision",
        [decision.sentence],
        [Table("", head, rows, texts=2)],
        [],
        [Table("Why candidates are out, or not known", ["Candidate", "Reasons"], why)]
        if why
        else [],
        notes,
    )


def _cell(one: Candidate, name: str, state: str | None) -> str:
    known = one.figures.get(name, Known())
    if known.number is None:
        return "not known" if state else _NONE
    text = f"{known.number:.4g}"
    if known.low is not None and known.high is not None and known.low != known.high:
        text += f" ({known.low:.4g}\N{EN DASH}{known.high:.4g})"
    return f"{text} {_SIGNS.get(state or '', '')}".strip()


def _candidates(candidates: Sequence[Candidate], records: dict[Path, RunRecord]) -> Section:
    drawings = candidate_drawings(candidates)
    tables = []
    sentences: Sequence[str] = []
    if len(records) > 1:
        report = report_of(list(records.values()), sources=list(records))
        drawings = [*comparison_drawings(report), *drawings]
        tables = [report.comparison_table]
        sentences = report.findings
    where = sorted({one.measured_on for one in candidates if one.measured_on})
    notes = [f"Measured on {', '.join(where)}."] if where else []
    return Section(
        "candidates", "Candidates beside each other", sentences, [], drawings, tables, notes
    )


def _local(proof: LocalProof, directory: Path) -> Section:
    rows, cold = [], []
    for pattern, file in proof.records.items():
        record = read_record(directory / "local" / file)
        values = measure_all(record)
        latencies = [np.array(one.target_ns) for one in record.replicates]
        rows.append(
            [
                pattern,
                f"{len(record.target_ns):,}",
                amount(float(np.mean(record.target_ns)), "time"),
                *(_value(values[key], "time") for key in ("p50",)),
                _value(percentile_value(latencies, 0.95), "time"),
                _value(values["p99"], "time"),
                amount(max(record.target_ns), "time"),
                _value(values.get("throughput", Value(None)), "rate"),
                _value(values["cpu"], "time"),
                _value(values["peak"], "bytes"),
            ]
        )
        cold.append([pattern, _value(values["load"], "time"), _value(values["first"], "time")])
    head = ["Load pattern", "Inferences", "Mean", "p50", "p95", "p99", "Largest", "Throughput"]
    head += ["CPU time", "Peak memory"]
    clients = [
        ["A second client that does not wait is told", proof.clients.told],
        ["One that waits is told", proof.clients.queued],
        ["It was served after the first one's end", f"{proof.clients.served_after_s:.3f} s"],
    ]
    tables = [
        Table("Steady state", head, rows, texts=1),
        Table("Cold start", ["Load pattern", "Load", "First inference"], cold, texts=1),
        Table("Several clients", [], clients),
    ]
    if proof.failures:
        tables.append(
            Table("Not run", ["Load pattern", "Reason"], [list(p) for p in proof.failures.items()])
        )
    return Section(
        "local",
        "Proof on this machine",
        [f"An agent of this machine ran {proof.way} under each load pattern."],
        tables,
    )


def _value(value: Value, kind: Kind) -> str:
    if value.number is None:
        return f"needs {value.missing:,} more" if value.missing else NOT_AVAILABLE
    text = amount(value.number, kind)
    if value.interval is None or value.interval[0] == value.interval[1]:
        return text
    return f"{text} ({amount(value.interval[0], kind)} to {amount(value.interval[1], kind)})"


def _device(device: Device) -> Section:
    links = [
        (f"{one.title}: {form}", f"runbooks/{one.name}.{suffix}")
        for one in device.runbooks
        for form, suffix in (("page", "html"), ("Markdown", "md"))
    ]
    tables = []
    if device.artifacts:
        rows = [[one.name, one.format, one.runtime, one.file] for one in device.artifacts]
        head = ["Candidate", "Format", "Runtime", "File"]
        tables.append(Table("What is to be taken to a device", head, rows))
    if device.failures:
        rows = [list(pair) for pair in device.failures.items()]
        tables.append(Table("Could not be measured there", ["Candidate", "Reason"], rows))
    sentences = []
    if device.records:
        sentences.append(f"{plural(len(device.records), 'candidate')} measured on the device.")
    if device.runbooks:
        sentences.append(f"{plural(len(device.runbooks), 'runbook')} written.")
    return Section("device", "Devices", sentences, tables, links=links)


def _samples(manifest: Manifest) -> Section:
    rows = []
    for one in manifest.inputs:
        ends = _NONE if one.minimum is None else f"{one.minimum:.4g} to {one.maximum:.4g}"
        rows.append([one.name, "×".join(map(str, one.shape)), one.dtype, ends])
    return Section(
        "samples",
        "Representative samples",
        [f"{plural(len(manifest.samples), 'sample')} that calibrate, and are not measured."],
        [Table("", ["Input", "Shape", "Type", "Range"], rows)],
        notes=manifest.remarks,
        links=[("manifest.json, with checksums", "samples/manifest.json")],
    )


def _environment(found: Environment) -> Section:
    machine = found.machine
    rows = [
        ["Machine", f"{machine.hostname}, {machine.system}, {machine.architecture}"],
        ["Processor", f"{machine.cpu_model or 'unknown'}, {machine.cpu_count} usable"],
        ["Memory", f"{amount(machine.memory_bytes, 'bytes')}"],
        ["Devices", "; ".join(found.devices) or "none found"],
        ["Delegates", "; ".join(found.delegates) or "none found"],
    ]
    packages = [[one.name, one.status, one.version or "", one.advice] for one in found.packages]
    counts = {
        status: sum(one.status == status for one in found.packages)
        for status in ("available", "missing", "broken")
    }
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    return Section(
        "environment",
        "This machine",
        [f"Packages: {told}."],
        [Table("", [], rows)],
        [],
        [Table("Packages", ["Package", "Status", "Version", "To do"], packages)],
        found.warnings,
    )


def _phases(phases: Sequence[Phase]) -> Section:
    rows = [
        [phase.title, phase.status, moment(phase.ended), phase.reason or _NONE] for phase in phases
    ]
    links = [(f"{phase.name}.json", f"{phase.name}.json") for phase in phases]
    head = ["Phase", "Status", "Ended", "Reason"]
    return Section("phases", "Phases", [], [Table("", head, rows)], links=links)
