"""What a sweep rests on and what it made, with checksums; and whether it comes out again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

import edge_tester
from edge_tester.core.backends import version
from edge_tester.core.errors import EdgeTesterError, OptionError
from edge_tester.core.options import hint
from edge_tester.core.run.observer import Observer
from edge_tester.core.run.plan import Plan
from edge_tester.core.search.fronts import Result
from edge_tester.core.search.settings import SweepSettings
from edge_tester.core.search.sweep import TRIALS, Sweep, read_trial
from edge_tester.core.search.trial import Trial
from edge_tester.core.system.files import sha256_of, write_atomically
from edge_tester.core.system.machine import describe_machine
from edge_tester.core.system.temporary import TemporaryFolder

_MANIFEST = "manifest.json"
_PACKAGES = (
    *("numpy", "torch", "torch-pruning", "torchao", "executorch", "onnx", "onnxruntime"),
    *("onnxscript", "optuna", "scikit-learn"),
)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate with one seed.

    Attributes
    ----------
    trial : str
    files : dict of str to str
        SHA-256, hexadecimal: ``baseline``, ``compressed``, ``weights``, ``artifact``.
    artifact : str
        The deployed file, relative to the run.
    record : str
        The run record, relative to the run; empty where nothing was measured.
    record_sha256 : str
    """

    trial: str
    files: dict[str, str]
    artifact: str
    record: str = ""
    record_sha256: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep rests on, and what it made.

    Attributes
    ----------
    edge_tester : str
    plan : dict
        Model, data set and measurement, as in the sweep's file.
    settings : dict
    data : dict of str to str
        What tells the data set and its split from others.
    versions : dict of str to str
        Of the packages that decide what comes out.
    machine : dict
        That made it.
    entries : list of Entry
    """

    edge_tester: str
    plan: dict[str, Any]
    settings: dict[str, Any]
    data: dict[str, str]
    versions: dict[str, str]
    machine: dict[str, Any]
    entries: list[Entry]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate that was made again.

    Attributes
    ----------
    trial : str
    equal : list of str
        What came out the same, bit for bit.
    different : list of str
        What did not, in words.
    causes : list of str
        What is another now than it was then: packages, processor, data.
    """

    trial: str
    equal: list[str]
    different: list[str]
    causes: list[str] = []


def write_manifest(sweep: Sweep, plan: Plan, results: Sequence[Result], measured: str) -> None:
    """Write ``manifest.json`` of a sweep.

    Parameters
    ----------
    sweep : Sweep
    plan : Plan
        As in the sweep's file.
    results : sequence of Result
    measured : str
        Folder of the records, relative to the run.
    """
    entries = [_entry(trial, sweep.directory, measured) for one in results for trial in one.trials]
    found = Manifest(
        edge_tester=edge_tester.__version__,
        plan=_plain(plan.to_mapping()),
        settings=_plain(sweep.settings),
        data=sweep.workshop.data(plan.dataset),
        versions=_versions(),
        machine=_machine(),
        entries=entries,
    )
    content = msgspec.json.format(msgspec.json.encode(found), indent=1)
    write_atomically(sweep.directory / _MANIFEST, content)


def read_manifest(directory: Path) -> Manifest:
    """Return the manifest of a run.

    Raises
    ------
    OptionError
        There is none, or it cannot be read.
    """
    path = directory / _MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise OptionError(
            f"{directory} holds no finished sweep: {path.name} cannot be read: {error.strerror}."
        ) from error
    except msgspec.DecodeError as error:
        raise OptionError(f"{path} is no manifest of a sweep: {error}.") from error


def verify(directory: Path, names: Sequence[str], observer: Observer) -> list[Comparison]:
    """Make candidates again from the manifest, and compare what comes out.

    Parameters
    ----------
    directory : Path
        Of the run.
    names : sequence of str
        Of configurations or of trials; all by default.
    observer : Observer

    Raises
    ------
    OptionError
        There is no such sweep or candidate.
    """
    found = read_manifest(directory)
    plan = Plan.from_mapping(found.plan)
    settings = msgspec.convert(found.settings, SweepSettings)
    trials = {}
    for entry in found.entries:
        trial = read_trial(directory / TRIALS / f"{entry.trial}.json")
        if trial is not None:
            trials[entry.trial] = (entry, trial)
    known = [*trials, *dict.fromkeys(trial.configuration.name for _, trial in trials.values())]
    for name in names:
        if name not in known:
            raise OptionError(f"{directory} has no candidate {name!r}{hint(name, known)}")
    chosen = [
        pair
        for name, pair in trials.items()
        if not names or name in names or pair[1].configuration.name in names
    ]
    return [_compared(found, plan, settings, entry, trial, observer) for entry, trial in chosen]


def _compared(
    found: Manifest,
    plan: Plan,
    settings: SweepSettings,
    entry: Entry,
    trial: Trial,
    observer: Observer,
) -> Comparison:
    """Make one candidate anew in a folder of its own."""
    with TemporaryFolder() as folder:
        sweep = Sweep(plan.fresh(), settings, Path(folder), observer)
        try:
            made = sweep.made(trial)
        except EdgeTesterError as error:
            return Comparison(
                trial=entry.trial, equal=[], different=[f"it cannot be made: {error}"]
            )
        causes = _causes(found, sweep.workshop.data(plan.dataset))
    equal = [name for name, digest in entry.files.items() if made.get(name) == digest]
    different = [
        f"{name} was {digest[:12]}, is {made.get(name, 'absent')[:12]}"
        for name, digest in entry.files.items()
        if name not in equal
    ]
    return Comparison(
        trial=entry.trial, equal=equal, different=different, causes=causes if different else []
    )


def _causes(found: Manifest, data: Mapping[str, str]) -> list[str]:
    pairs = [
        *((f"version of {k}", found.versions.get(k), v) for k, v in _versions().items()),
        *((f"machine: {k}", found.machine.get(k), v) for k, v in _machine().items()),
        *((f"data: {k}", found.data.get(k), v) for k, v in data.items()),
        ("edge_tester", found.edge_tester, edge_tester.__version__),
    ]
    return [f"{name} was {then}, is {now}" for name, then, now in pairs if then != now]


def _entry(trial: Trial, directory: Path, measured: str) -> Entry:
    record = directory / measured / f"{trial.name}.json"
    there = trial.stage == "measured" and record.exists()
    return Entry(
        trial=trial.name,
        files=trial.files,
        artifact=trial.artifact,
        record=str(record.relative_to(directory)) if there else "",
        record_sha256=sha256_of(record) if there else "",
    )


def _versions() -> dict[str, str]:
    return {name: found for name in _PACKAGES if (found := version(name))}


def _machine() -> dict[str, Any]:
    machine = describe_machine()
    return {
        "architecture": machine.architecture,
        "cpu_model": machine.cpu_model,
        "cpu_count": machine.cpu_count,
    }


def _plain(value: object) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value, enc_hook=str))
    return plain
