"""What options may be: types, values, flags, JSON Schema."""

from __future__ import annotations

import argparse
import functools
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

# What a single value may be.
KINDS = (str, int, float, bool, Path)


def require_known(annotation: Any, owner: str) -> None:
    """See whether an option can have this annotation.

    Raises
    ------
    TypeError
        It cannot.
    """
    container, kind, _ = parts(annotation)
    if kind not in KINDS or container not in (None, tuple, dict):
        raise TypeError(
            f"{owner} is annotated {annotation}; an option is of type "
            f"{', '.join(one.__name__ for one in KINDS)}, tuple[one of these, ...] or "
            "dict[str, one of these], each perhaps | None"
        )


def parts(annotation: Any) -> tuple[Any, Any, bool]:
    """Return container or None, type of a single value, and whether None is allowed."""
    members, optional = [annotation], False
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        members = [one for one in typing.get_args(annotation) if one is not type(None)]
        optional = len(members) < len(typing.get_args(annotation))
    inner = members[0] if len(members) == 1 else annotation
    container, arguments = typing.get_origin(inner), typing.get_args(inner)
    if container is tuple and arguments[1:] == (...,):
        return tuple, arguments[0], optional
    if container is dict and arguments[0] is str:
        return dict, arguments[1], optional
    # Neither one of these nor a single value: no option is of this type.
    return container, inner, optional


def converted(value: Any, annotation: Any) -> Any:
    """Return a value in the type of its option.

    Raises
    ------
    TypeError
        It is of another one.
    """
    # Only here: a command that shows its help gets along without.
    import msgspec

    try:
        return msgspec.convert(_bare(value), annotation, dec_hook=_from_text)
    except msgspec.ValidationError as error:
        raise TypeError(str(error)) from error


def percent(value: Any) -> Any:
    """Return the number of a text such as ``1%``, anything else as it is."""
    if isinstance(value, str) and value.endswith("%"):
        try:
            return float(value[:-1])
        except ValueError:
            return value
    return value


def _bare(value: Any) -> Any:
    """Return plain numbers and texts for those of numpy and for paths."""
    if isinstance(value, tuple | list | set | frozenset | range):
        return [_bare(item) for item in value]
    if isinstance(value, dict):
        return {_bare(name): _bare(item) for name, item in value.items()}
    for kind in (float, int, str):
        if isinstance(value, kind) and not isinstance(value, bool):
            return kind(value)
    return value


def _from_text(kind: type, value: Any) -> Any:
    # Path("") would be the current folder, which nobody means.
    if isinstance(value, kind) or (kind is Path and isinstance(value, str) and value):
        return kind(value)
    raise ValueError(f"no {kind.__name__}")


def add_flag(group: argparse._ArgumentGroup, declared: Any, prefix: str = "") -> None:
    """Add the flag of an option to a parser's group, with a prefix if its own name is taken."""
    text = declared.help.replace("%", "%%")
    if declared.unit:
        text += f" [{declared.unit}]".replace("%", "%%")
    if declared.required:
        text += " (required)"
    elif not (
        declared.default is None or declared.default is False or declared.default in ((), "")
    ):
        text += f" (default: {plain(declared.default)})"
    # SUPPRESS keeps "not said" apart from "said"; the class supplies the default.
    common: dict[str, Any] = {
        "dest": f"{prefix}{declared.name}",
        "default": argparse.SUPPRESS,
        "help": text,
    }
    flag = f"--{prefix}{declared.flag[2:]}"
    if declared.kind is bool:
        switch = "store_true" if declared.default is False else argparse.BooleanOptionalAction
        group.add_argument(flag, action=switch, **common)
        return
    if declared.named:
        kind = declared.kind
        group.add_argument(
            flag, type=functools.partial(_pair, kind), nargs="*", action=_Pairs,
            metavar=f"NAME={kind.__name__.upper()}", required=declared.required, **common,
        )  # fmt: skip
        return
    if declared.repeated:
        # One flag with several values, or several flags.
        common |= {"nargs": "*", "action": "extend"}
    metavar = None if declared.choices else declared.kind.__name__.upper()
    of_text: Callable[[str], Any] = _path if declared.kind is Path else declared.kind
    group.add_argument(
        flag,
        type=percent_flag if declared.unit == "%" else of_text,
        choices=declared.choices,
        metavar=metavar,
        required=declared.required,
        **common,
    )


class _Pairs(argparse.Action):
    """Makes a mapping of NAME=VALUE words."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, dict(values))


def _pair(kind: Callable[[str], Any], text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"NAME=VALUE is expected, got {text!r}")
    return name, (_path if kind is Path else kind)(value)


def percent_flag(text: str) -> float:
    """Return the number of a flag in percent, of a text such as ``1`` or ``1%``.

    Raises
    ------
    argparse.ArgumentTypeError
    """
    try:
        return float(percent(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"a number such as 1% is expected, got {text!r}"
        ) from error


def _path(text: str) -> Path:
    # Path("") would be the current folder, which nobody means.
    if not text:
        raise argparse.ArgumentTypeError("a path must not be empty")
    return Path(text)


def property_schema(declared: Any) -> dict[str, Any]:
    """Return the JSON Schema of an option."""
    names = {str: "string", Path: "string", int: "integer", float: "number", bool: "boolean"}
    item: dict[str, Any] = {"type": names[declared.kind]}
    if declared.unit == "%":
        item["type"] = ["number", "string"]
        item["pattern"] = r"^[0-9.]+ ?%$"
    if declared.choices:
        item["enum"] = list(declared.choices)
    if declared.minimum is not None:
        item["minimum"] = declared.minimum
    if declared.maximum is not None:
        item["maximum"] = declared.maximum
    schema = item
    if declared.repeated:
        schema = {"type": "array", "items": item}
    if declared.named:
        schema = {"type": "object", "additionalProperties": item}
    if declared.optional:
        schema = {"anyOf": [schema, {"type": "null"}]}
    unit = f" [{declared.unit}]" if declared.unit else ""
    schema["description"] = declared.help + unit
    if not declared.required:
        schema["default"] = plain(declared.default)
    return schema


def plain(value: Any) -> Any:
    """Return a value as JSON and YAML can hold it."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return value
