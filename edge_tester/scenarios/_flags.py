"""The flags of several classes on one command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TypeVar

from edge_tester.core.errors import OptionError
from edge_tester.core.optionforms import add_flag
from edge_tester.core.options import Configurable, options_of

Part = TypeVar("Part", bound=Configurable)


def combine(
    parser: argparse.ArgumentParser, classes: Iterable[type[Configurable]]
) -> argparse.ArgumentParser:
    """Add the flags of several classes to one parser.

    Raises
    ------
    OptionError
        Two classes declare the same flag, and neither gives way; the message names both.
    """
    owners: dict[str, str] = {}
    classes = list(classes)
    for cls in classes:
        part, group = cls.form_argparse()
        taken = taken_options(cls, classes)
        for action in [action for action in part._actions if action.dest in taken]:
            part._remove_action(action)
            group._group_actions.remove(action)
        for declared in options_of(cls):
            if declared.name in taken:
                add_flag(group, declared, prefix_of(cls))
        for action in part._actions:
            for flag in action.option_strings:
                if flag in owners:
                    raise OptionError(
                        f"{flag} is declared by both {owners[flag]} and {cls.__name__}; "
                        "they cannot be used in one command."
                    )
                owners[flag] = cls.__name__
        parser._add_container_actions(part)
    return parser


def from_flags(
    cls: type[Part], namespace: argparse.Namespace, classes: Iterable[type[Configurable]]
) -> Part:
    """Build an instance from the flags of a command of several classes."""
    values = dict(vars(namespace))
    for name in taken_options(cls, classes):
        values.pop(name, None)
        if (prefixed := f"{prefix_of(cls)}{name}") in values:
            values[name] = values[prefixed]
    return cls.from_argparse(argparse.Namespace(**values))


def prefix_of(cls: type[Configurable]) -> str:
    """Return what a flag begins with whose own name is another class's: ``coreml-``.

    A plugin is known by its module, a class of the core by its own name.
    """
    own = cls.__module__.startswith("edge_tester.core.")
    name = cls.__name__.lower() if own else cls.__module__.rpartition(".")[2]
    return f"{name}-".replace("_", "-")


def taken_options(cls: type[Configurable], classes: Iterable[type[Configurable]]) -> set[str]:
    """Return the options of a class whose flags are another one's in a command."""
    others = {d.name for one in classes if one is not cls for d in options_of(one)}
    return {d.name for d in options_of(cls) if d.gives_way and d.name in others}
