"""Profiles of things that users have: YAML files, shipped ones by name, their own by path."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from edge_tester.core.backends import backend
from edge_tester.core.errors import OptionError
from edge_tester.core.options import hint

Profile = TypeVar("Profile", bound=msgspec.Struct)


def shipped_profiles(folder: str) -> dict[str, Path]:
    """Return the profiles of this package that one of its folders has, by name."""
    path = Path(str(importlib.resources.files("edge_tester.resources"))) / folder
    return {one.stem: one for one in sorted(path.glob("*.yml"))}


def read_profile(name: str, folder: str, what: str, kind: type[Profile]) -> tuple[Profile, Path]:
    """Read a profile by its name, or a user's own by its path.

    Parameters
    ----------
    name : str
    folder : str
        Of this package, with those that it has.
    what : str
        For messages, such as ``board``.
    kind : type

    Returns
    -------
    profile : Profile
    path : Path
        Where it was.

    Raises
    ------
    OptionError
        There is none, or it is not of the right form.
    """
    shipped = shipped_profiles(folder)
    path = shipped.get(name) or Path(name)
    if not path.is_file():
        raise OptionError(
            f"There is no {what} {name!r}, nor such a file{hint(name, shipped)} There are "
            f"{', '.join(shipped)}."
        )
    yaml: Any = backend("yaml", f"A {what}")
    try:
        return msgspec.convert(yaml.safe_load(path.read_text()), kind), path
    except (OSError, UnicodeDecodeError, yaml.YAMLError, msgspec.ValidationError) as error:
        reason = " ".join(str(error).split())
        raise OptionError(f"The {what} {path} cannot be used: {reason}") from error
