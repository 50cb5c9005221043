"""Part a command line into classes, flags with their values, and plain arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from edge_tester.core import registry
from edge_tester.core.addresses import forms, is_address
from edge_tester.core.errors import OptionError, PluginError
from edge_tester.core.options import Configurable, Option, hint, options_of
from edge_tester.scenarios._flags import prefix_of

# Says where to measure; compilers have a flag of this name, whose values are no addresses.
TARGET = "--target"
# Other names of the flags that name a class by its role.
_ALIASES = {"--model": "modelwrappers", "--protocol": "runtimeprotocols"}
# What a picture's name may end with, for telling data from a folder of reports.
_PICTURES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}


class Parted(NamedTuple):
    """Words that name classes or are plain arguments, flags, classes named by flags, addresses."""

    words: list[str]
    flags: list[str]
    by_role: dict[str, str]
    targets: list[str]


def role_flags(roles: Iterable[str]) -> dict[str, str]:
    """Return the flags that name a class by its role: ``--runtime tflite``."""
    found = {f"--{role[:-1]}": role for role in roles}
    return found | {flag: role for flag, role in _ALIASES.items() if role in found.values()}


def parted(
    arguments: Sequence[str], roles: Sequence[str], extras: Iterable[type[Configurable]]
) -> Parted:
    """Part arguments in whatever order they come.

    Parameters
    ----------
    arguments : sequence of str
    roles : sequence of str
        Roles of the classes that the command takes.
    extras : iterable of Configurable subclasses
        Whose flags it takes besides.

    Raises
    ------
    OptionError
        A class is named twice for one role, or no class has a flag.
    """
    naming = role_flags(roles)
    declared = _declared(arguments, roles, extras)
    words: list[str] = []
    flags: list[str] = []
    by_role: dict[str, str] = {}
    targets: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or _is_number(word):
            words.append(word)
            continue
        name, equals, value = word.partition("=")
        if name in naming:
            if not equals and not rest:
                raise OptionError(f"{name} must be followed by the name of a class or a file.")
            role = naming[name]
            if role in by_role:
                raise OptionError(f"{name} is given twice: {by_role[role]!r} and another.")
            by_role[role] = value if equals else rest.pop(0)
            continue
        if name == TARGET and _takes_address(roles, value if equals else (rest or [""])[0]):
            targets.append(value if equals else rest.pop(0))
            continue
        if name not in declared and name not in ("-h", "--help"):
            # Its value would be taken for a word.
            raise OptionError(refusal_of_flag(word, roles, [*declared, *naming]))
        flags.append(word)
        if not equals:
            flags += _values(declared.get(name), rest)
    return Parted(words, flags, {**by_role, **_link_by_address(by_role, targets)}, targets)


def _link_by_address(by_role: Mapping[str, str], targets: Sequence[str]) -> dict[str, str]:
    """Return the address of the target as what names its link."""
    if not targets:
        return {}
    if len(targets) > 1:
        raise OptionError(
            f"{TARGET} names one target here, got {', '.join(targets)}: edge-tester matrix and "
            "edge-tester sweep deal work out to several."
        )
    if named := by_role.get("runtimeprotocols"):
        raise OptionError(f"{TARGET} {targets[0]} names a link, and so does {named!r}.")
    return {"runtimeprotocols": targets[0]}


def _takes_address(roles: Sequence[str], value: str) -> bool:
    return "runtimeprotocols" in roles and is_address(value)


def owners_of(flag: str, roles: Iterable[str]) -> list[str]:
    """Return the classes that have a flag, as they are named on the command line."""
    name = flag.partition("=")[0]
    return [
        f"{role}.{short}"
        for role, short, cls in _classes(roles)
        if name in {d.flag for d in options_of(cls)}
    ]


def refusal_of_flag(flag: str, roles: Sequence[str], known: Iterable[str]) -> str:
    """Return what to say of a flag that none of the chosen classes has."""
    owners = owners_of(flag, roles)
    name = flag.partition("=")[0]
    if owners:
        shown = " and ".join([", ".join(owners[:-1]), owners[-1]] if len(owners) > 1 else owners)
        has = "has" if len(owners) == 1 else "have"
        said = f"unknown {flag}: {shown} {has} {name}, but the command does not name it"
        if name == TARGET and "runtimeprotocols" in roles:
            return f"{said}; the address of a target would be {' or '.join(forms())}."
        return f"{said}."
    return f"unknown {flag}{hint(name, known)}"


def holds_pictures(path: Path) -> bool:
    """Tell whether a folder has subfolders with pictures, as data sets have.

    Those of reports, whose plots lie beside them, are none.
    """
    return path.is_dir() and any(
        one.suffix.lower() in _PICTURES
        for folder in sorted(path.iterdir())
        if folder.is_dir() and not _belongs_to_report(folder)
        for one in folder.iterdir()
    )


def _belongs_to_report(folder: Path) -> bool:
    # Late: it brings all that reports are made of.
    from edge_tester.report.render import PLOTS, TEXT_SUFFIXES

    stem = folder.name.removesuffix(PLOTS)
    reports = [folder.with_name(stem + suffix) for suffix in TEXT_SUFFIXES]
    return stem != folder.name and any(path.is_file() for path in reports)


def _values(declared: Mapping[int, Option] | None, rest: list[str]) -> list[str]:
    """Take the values of a flag from the beginning of what is left."""
    if declared is None:
        return []
    taken: list[str] = []
    count, option = next(iter(declared.items()))
    while rest and (count < 0 or len(taken) < count):
        if rest[0].startswith("-") and not _is_number(rest[0]):
            break
        if count < 0 and taken and _ends_list(option, taken[0], rest[0]):
            break
        taken.append(rest.pop(0))
    return taken


def _ends_list(option: Option, first: str, word: str) -> bool:
    """Tell whether a word is no further value of a list, but names a class or a file."""
    if option.kind in (int, float):
        return not _is_number(word)
    named = word.partition(".")[0] in registry.ROLES
    return named or (Path(word).exists() and not Path(first).exists())


def _declared(
    arguments: Sequence[str], roles: Sequence[str], extras: Iterable[type[Configurable]]
) -> dict[str, dict[int, Option]]:
    """Return how many values each known flag takes, -1 for any number."""
    classes = [*extras, *(cls for _, _, cls in _classes(roles))]
    for word in arguments:
        if "." in word and not word.startswith("-") and not Path(word).exists():
            try:
                classes.append(registry.load_path(word.replace(":", ".")))
            except (PluginError, ImportError, ValueError):
                # A file's name, or what will be said to be wrong when it is chosen.
                continue
    found: dict[str, dict[int, Option]] = {}
    for cls in classes:
        for option in options_of(cls):
            count = 0 if option.kind is bool else -1 if option.repeated else 1
            found.setdefault(option.flag, {count: option})
            if option.gives_way:
                found.setdefault(f"--{prefix_of(cls)}{option.flag[2:]}", {count: option})
            if count == 0:
                found.setdefault(f"--no-{option.flag[2:]}", {0: option})
    return found


def _classes(roles: Iterable[str]) -> list[tuple[str, str, type[Configurable]]]:
    return [
        (role, name, cls)
        for role in roles
        for name in registry.names(role)
        if (cls := registry.loadable(role, name)) is not None
    ]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
