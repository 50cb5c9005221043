"""What to do on a device, step by step, for this model and these artifacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from edge_tester.core.backends import backend
from edge_tester.core.errors import OptionError
from edge_tester.core.system.profilefiles import read_profile

FOLDER = "devices"

# Set in commands by the user, since nobody else knows it.
DEVICE = "DEVICE"


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step.

    Attributes
    ----------
    title : str
    text : str
        What is to be known; may be empty.
    commands : list of str
        To be typed, in their order. ``{{ ... }}`` is filled in.
    each : bool
        Whether the commands are repeated for each artifact.
    """

    title: str
    text: str = ""
    commands: list[str] = []
    each: bool = False


class DeviceProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind of device.

    Attributes
    ----------
    title : str
    about : str
        What it is, and what must be known of it.
    formats : list of str
        Model formats that it runs.
    steps : list of Step
    target : str
        What TVM compiles for; empty where it is not used.
    """

    title: str
    about: str
    formats: list[str]
    steps: list[Step]
    target: str = ""


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be taken to a device.

    Attributes
    ----------
    name : str
        Of the candidate.
    file : str
    format, runtime : str
        Short name of the runtime.
    """

    name: str
    file: str
    format: str
    runtime: str


class Instruction(msgspec.Struct, frozen=True, kw_only=True):
    """A step for these artifacts.

    Attributes
    ----------
    title, text : str
    commands : list of str
    """

    title: str
    text: str
    commands: list[str]


class Runbook(msgspec.Struct, frozen=True, kw_only=True):
    """All steps for one kind of device.

    Attributes
    ----------
    name : str
        Of the profile.
    title, about : str
    artifacts : list of Artifact
        Those that it runs.
    steps : list of Instruction
    """

    name: str
    title: str
    about: str
    artifacts: list[Artifact]
    steps: list[Instruction]


def read_device(name: str) -> DeviceProfile:
    """Read a profile by its name, or a user's own by its path.

    Raises
    ------
    OptionError
        There is none, or it is not of the right form.
    """
    return read_profile(name, FOLDER, "device profile", DeviceProfile)[0]


def runbook_of(
    name: str, profile: DeviceProfile, artifacts: Sequence[Artifact], facts: Mapping[str, str]
) -> Runbook:
    """Return the steps of a profile with everything filled in.

    Parameters
    ----------
    name : str
    profile : DeviceProfile
    artifacts : sequence of Artifact
        All that were made; those whose format the device does not run are left out.
    facts : mapping of str to str
        What commands may name besides ``artifact``: ``model``, ``dataset`` and so on.

    Raises
    ------
    OptionError
        A command names something that there is not.
    """
    fitting = [one for one in artifacts if one.format in profile.formats]
    jinja2: Any = backend("jinja2", "A runbook")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)

    def filled(text: str, **more: Any) -> str:
        try:
            given = {**facts, "device": DEVICE, "target": profile.target, **more}
            found: str = environment.from_string(text).render(artifacts=fitting, **given)
        except jinja2.TemplateError as error:
            raise OptionError(f"The device profile {name} cannot be filled in: {error}") from error
        return found.strip()

    steps = []
    # Without anything to run there is nothing to do.
    for step in profile.steps if fitting else []:
        rounds = fitting if step.each else [None]
        commands = [filled(one, artifact=each) for each in rounds for one in step.commands]
        steps.append(Instruction(title=step.title, text=filled(step.text), commands=commands))
    return Runbook(
        name=name, title=profile.title, about=profile.about, artifacts=fitting, steps=steps
    )
