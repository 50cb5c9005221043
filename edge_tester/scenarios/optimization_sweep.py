"""Search deployment candidates under hard limits: ``edge-tester sweep``."""

from __future__ import annotations

import argparse
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from edge_tester.core.addresses import is_address
from edge_tester.core.analysis.roofline import Machine, measured_machines
from edge_tester.core.backends import backend
from edge_tester.core.compresses import Compression
from edge_tester.core.errors import OptionError
from edge_tester.core.model import TrainingPlan
from edge_tester.core.options import Configurable, json_schema, option
from edge_tester.core.results.known import Known
from edge_tester.core.results.words import plural
from edge_tester.core.run.plan import Plan
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.search.fronts import Fronts, by_constraints
from edge_tester.core.search.leases import Lease
from edge_tester.core.search.manifest import verify, write_manifest
from edge_tester.core.search.optimizing import Optimizer, address_of
from edge_tester.core.search.settings import SweepSettings
from edge_tester.core.search.sweep import MEASURED, Sweep, analysis_of
from edge_tester.core.search.tables import write_tables
from edge_tester.report import render_page
from edge_tester.report.sweep import sweep_page
from edge_tester.scenarios._command import Command, chosen_from, role_schema
from edge_tester.scenarios._program import Logging, guard
from edge_tester.scenarios._progress import TerminalProgress
from edge_tester.scenarios._settings_file import settings_schema, understood
from edge_tester.scenarios._yaml import blaming, read_mapping

FOLDER = "build/sweep"
# Another machine's agent of its own is another device.
_HERE = f"this machine ({socket.gethostname()})"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHOWN = ("accuracy", "latency_p50_ms", "model_memory_mib")
# So that the rest of the table has room in 80 columns.
_WIDEST_NAME = 30
_FITS = {"feasible": "yes", "infeasible": "no", "undecided": "?"}


class Conduct(Configurable):
    """How a sweep is gone through."""

    target: str = option(
        "",
        help="Name of one of the file's targets, or an address such as ssh://pi@raspberrypi; the "
        "file's first target by default",
    )


COMMAND = Command(
    "sweep",
    "Search for candidates that fit: prune, quantize, train with quantization, measure each on the "
    "target, reject what violates a limit before anything is ranked, and say which are on the "
    "fronts of accuracy against latency, energy and memory, and how sure that is. An interrupted "
    "sweep goes on with the candidate that was in progress. The status is 1 if a candidate failed. "
    "'edge-tester sweep verify DIRECTORY' makes candidates again and compares them.",
    extras=(Conduct,),
    trailing=("sweep_file",),
)


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    if arguments and arguments[0] == "verify":
        return _verify(arguments[1:])
    parsed = COMMAND.parse(arguments)
    parsed.extra(Logging).start()
    path = Path(parsed.trailing["sweep_file"])
    content = read_mapping(path)
    with blaming(path):
        asked = understood(content, path, SweepSettings, FOLDER)
        asked.settings.checked()
        targets = _targets(asked.settings.targets, parsed.extra(Conduct).target, path)
    with TerminalProgress() as progress:
        if asked.settings.search.method == "grid":
            protocol = next(iter(targets.values()))
            sweep = Sweep(*asked, progress, parsed.command_line, [protocol])
            found = sweep.run()
        else:
            address = address_of(asked.settings, asked.folder)
            lease_s = asked.settings.search.lease_s
            with Lease(address, list(targets), lease_s, progress.tell) as lease:
                progress.tell(f"Device: {lease.device}")
                protocol = targets[lease.device]
                # Workers on one machine share no files, or they would write the same ones.
                folder = asked.folder / lease.device if asked.settings.targets else asked.folder
                asked = asked._replace(folder=folder)
                sweep = Sweep(*asked, progress, parsed.command_line, [protocol])
                found = Optimizer(sweep, lease, address, progress).run()
    _write(sweep, asked.plan, found)
    _show(found, asked.folder)
    return 1 if any(t.stage == "failed" for one in found.results for t in one.trials) else 0


def _verify(arguments: Sequence[str]) -> int:
    """Make candidates again; the status is 1 if one comes out otherwise."""
    parser = argparse.ArgumentParser(
        prog="edge-tester sweep verify",
        description="Make candidates of a sweep again from its manifest, and say whether they come "
        "out the same, bit for bit, or what differs. The status is 1 if one differs.",
        allow_abbrev=False,
    )
    parser.add_argument("directory", type=Path, help="folder of the sweep")
    parser.add_argument("names", nargs="*", help="names of candidates; all by default")
    chosen = parser.parse_args(arguments)
    with TerminalProgress() as progress:
        compared = verify(chosen.directory, chosen.names, progress)
    for one in compared:
        if not one.different:
            print(f"{one.trial}: the same ({', '.join(one.equal)})")
            continue
        print(f"{one.trial}: differs")
        for what in (*one.different, *(f"perhaps since {cause}" for cause in one.causes)):
            print(f"  {what}")
    return 1 if any(one.different for one in compared) else 0


def _write(sweep: Sweep, plan: Plan, found: Fronts) -> None:
    """Leave tables, manifest and page."""
    directory, analyses = sweep.directory, {}
    machine, elsewhere = _machine(sweep.settings), 0
    for one in found.results:
        first = one.trials[0]
        if first.artifact and not (directory / first.artifact).exists():
            elsewhere += 1
        elif first.artifact:
            analysis = analysis_of(directory / first.artifact, first.format, machine)
            if analysis is not None:
                analyses[one.name] = analysis
    write_manifest(sweep, plan, found.results, MEASURED)
    write_tables(found, sweep.settings, analyses, directory)
    targets = dict.fromkeys(t.target for one in found.results for t in one.trials if t.target)
    about = [
        f"{type(plan.model).__name__}, {type(plan.dataset).__name__}",
        f"measured on {', '.join(targets)}" if targets else "nothing was measured",
    ]
    if elsewhere:
        others = f"{plural(elsewhere, 'candidate')} made by other workers"
        about.append(f"the layers of {others} are told in the reports of these")
    page = sweep_page(found, sweep.settings, analyses, about, directory)
    render_page(page, directory / "report.html")


def _machine(settings: SweepSettings) -> Machine:
    """Return the roof of this machine, with the bandwidth and the clock of the product if given."""
    found = measured_machines()[0]
    bandwidth = settings.memory_bandwidth_gb_s
    return msgspec.structs.replace(
        found,
        peak_flops_per_s=found.peak_flops_per_s * settings.cpu_frequency_scale,
        bandwidth_bytes_per_s=found.bandwidth_bytes_per_s if bandwidth is None else bandwidth * 1e9,
    )


def sweep_schema() -> dict[str, Any]:
    """Return the JSON Schema of sweep files."""
    schema = settings_schema("sweep", SweepSettings, FOLDER)
    schema["properties"]["training"] = json_schema(TrainingPlan)
    schema["properties"]["compression"] = json_schema(Compression)
    links = {"anyOf": [{"type": "null"}, role_schema("runtimeprotocols")]}
    schema["properties"]["targets"] = {"type": "object", "additionalProperties": links}
    return schema


def _targets(targets: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    """Return links by the names of targets: of the one that is named, or of all."""
    if name and name not in targets and is_address(name):
        return {_file_name(name): _link(name, path)}
    if name and name not in targets:
        raise OptionError(f"{path} has no target {name!r}; it has {', '.join(targets) or 'none'}.")
    for one in targets:
        if not _NAME.fullmatch(one):
            raise OptionError(
                f"{path}: the name of a target is that of a folder too: it must begin with a "
                f"letter or digit and have only these and . _ -, got {one!r}."
            )
    chosen = {name: targets[name]} if name else targets or {_HERE: None}
    return {one: _link(link, path) for one, link in chosen.items()}


def _file_name(address: str) -> str:
    """Return an address as the name of a folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", address).lstrip("._-")


def _link(link: Any, path: Path) -> RuntimeProtocol | None:
    if link is None:
        return None
    chosen = chosen_from(link, "runtimeprotocols", f"{path}: targets")
    return cast(RuntimeProtocol, chosen.cls.from_options(chosen.preset))


def _show(found: Fronts, directory: Path) -> None:
    """Print the candidates and what they come to."""
    rich_table = backend("rich.table", "edge-tester")
    console = backend("rich.console", "edge-tester").Console()
    text = backend("rich.text", "edge-tester").Text
    table = rich_table.Table(box=backend("rich.box", "edge-tester").SIMPLE_HEAD)
    longest = max((len(one.name) for one in found.results), default=0)
    table.add_column("Candidate", overflow="fold", min_width=min(longest, _WIDEST_NAME))
    for title in ("Accuracy", "p50 (ms)", "KiB", "Fits"):
        table.add_column(title, justify="right")
    table.add_column("On fronts", overflow="fold")
    for one in found.results:
        figures = [one.figures.get(name, Known()).number for name in _SHOWN]
        accuracy, latency, memory = figures
        table.add_row(
            text(one.name),
            "-" if accuracy is None else f"{100 * accuracy:.1f} %",
            "-" if latency is None else f"{latency:.4g}",
            "-" if memory is None else f"{1024 * memory:.1f}",
            _FITS[one.judgement.feasibility],
            ", ".join(one.best) or "-",
        )
    console.print(table)
    for one in found.results:
        for trial in one.trials:
            if trial.stage != "measured":
                console.print(text(f"{trial.name} {trial.stage}: {trial.reason}"))
    for front, best in by_constraints(found.results).items():
        said = "no candidate is shown to fit" if best is None else best.name
        console.print(text(f"For {front}: {said}"))
    if found.more or found.samples:
        console.print(text(f"Not decided: {', '.join([*found.more, *found.samples])}"))
    console.print(f"Report: {directory / 'report.html'}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(guard(main))
