"""What is done for devices: runbooks, and the measurement of what agrees at an address."""

from __future__ import annotations

import dataclasses
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from edge_tester.core import registry
from edge_tester.core.addresses import link_to
from edge_tester.core.options import Configurable, flags_of
from edge_tester.core.pipeline.phases import Impossible
from edge_tester.core.pipeline.runbook import Artifact, Runbook, read_device, runbook_of
from edge_tester.core.pipeline.settings import Settings
from edge_tester.core.registry import name_of
from edge_tester.core.run.matrix import MatrixRun
from edge_tester.core.run.observer import Observer
from edge_tester.core.run.plan import Plan

RECORDS, ARTIFACTS, CONVERSIONS = "device", "artifacts", "conversions"


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """What was done for devices.

    Attributes
    ----------
    runbooks : list of Runbook
    artifacts : list of Artifact
    records : dict of str to str
        Files of the records that were measured at the address, by candidate.
    failures : dict of str to str
        Why others could not be measured there.
    """

    runbooks: list[Runbook]
    artifacts: list[Artifact]
    records: dict[str, str]
    failures: dict[str, str]


def prepare_devices(
    plan: Plan,
    plans: Mapping[str, Plan],
    settings: Settings,
    directory: Path,
    observer: Observer,
    command_line: Sequence[str],
) -> Device:
    """Write what is to be taken to devices, say what to do there, and measure at the address.

    Parameters
    ----------
    plan : Plan
        Of the model.
    plans : mapping of str to Plan
        Of the candidates that answer as the model does.
    settings : Settings
    directory : Path
        Of the run.
    observer : Observer
    command_line : sequence of str
        For the records.

    Raises
    ------
    Impossible
        No device was named.
    """
    artifacts = _artifacts(plans, directory)
    facts = _facts(plan, directory)
    runbooks = [
        runbook_of(Path(name).stem, read_device(name), artifacts, facts)
        for name in settings.devices
    ]
    link = link_to(settings.address) if settings.address else None
    if link is None and not runbooks:
        raise Impossible(
            "No device was named: 'devices' takes profiles for runbooks, 'address' one to measure "
            "on."
        )
    records: dict[str, str] = {}
    failures: dict[str, str] = {}
    if link is not None:
        # What is its owner's to set was set for this machine.
        there = {
            name: dataclasses.replace(one, protocol=link, runtime=one.runtime.as_client())
            for name, one in plans.items()
        }
        run = MatrixRun(there, directory / RECORDS, command_line)
        failures = run.run(observer)
        records = {path.stem: path.name for path in run.records()}
    return Device(runbooks=runbooks, artifacts=artifacts, records=records, failures=failures)


def _artifacts(plans: Mapping[str, Plan], directory: Path) -> list[Artifact]:
    """Copy what was made to where runbooks find it."""
    folder = directory / ARTIFACTS
    folder.mkdir(parents=True, exist_ok=True)
    run = MatrixRun(plans, directory / CONVERSIONS)
    found = []
    for name, plan in plans.items():
        made = run.artifact(name)
        if made is None:
            continue
        target = folder / f"{name}{made.path.suffix}"
        if made.path.is_dir():
            shutil.copytree(made.path, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(made.path, target)
        runtime = name_of(type(plan.runtime))
        found.append(Artifact(name=name, file=str(target), format=made.format, runtime=runtime))
    return found


def _facts(plan: Plan, directory: Path) -> dict[str, str]:
    """Return what runbooks may name."""
    # How the wrappers for any file are told to scale as the model's own does.
    generic = registry.load("modelwrappers", "onnx_file")
    named = {"model_path": "x.onnx"}
    flags = flags_of(generic.from_options({**named, **(plan.model.scaling() or {})}))
    feeding = [word for word in flags if word not in ("--model-path", "x.onnx")]
    return {
        "model_words": _words(plan.model),
        "dataset": _words(plan.dataset),
        "feeding": shlex.join(feeding),
        "directory": str(directory),
    }


def _words(part: Configurable) -> str:
    return shlex.join([name_of(type(part)), *flags_of(part)])
