"""What a command takes, on the command line or in a file: classes, their options, names."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar, cast

from edge_tester.core import registry
from edge_tester.core.addresses import forms
from edge_tester.core.backends import available, backend
from edge_tester.core.errors import OptionError
from edge_tester.core.options import (
    Configurable,
    hint,
    json_schema,
    options_of,
    path_of,
)
from edge_tester.scenarios._arguments import (
    TARGET,
    holds_pictures,
    parted,
    refusal_of_flag,
    role_flags,
)
from edge_tester.scenarios._choice import Chosen, choose, is_class
from edge_tester.scenarios._flags import combine, from_flags
from edge_tester.scenarios._program import Logging

Part = TypeVar("Part", bound=Configurable)
Completion = Callable[[list[Chosen]], list[Chosen]]


class Command:
    """The command line of one scenario.

    Parameters
    ----------
    name : str
        Subcommand, such as ``client``.
    summary : str
        One line.
    roles : sequence of str
        Roles of the classes, in their order on the command line.
    by_flag : sequence of str
        Further roles, whose classes are named by flags alone, such as ``--pattern server``.
    required : sequence of str
        Roles that must be named.
    extras : sequence of Configurable subclasses
        Whose flags the command takes besides those of the classes.
    trailing : sequence of str
        Names of the plain arguments after the classes.
    repeated : collection of str
        Roles of which several classes may be named; several take no flags.
    default_trailing : callable, optional
        Gives what plain arguments are where they are left out; without it they may not be.
    complete : callable
        Adds the classes that the user left out.
    """

    def __init__(
        self,
        name: str,
        summary: str,
        *,
        roles: Sequence[str] = (),
        by_flag: Sequence[str] = (),
        required: Sequence[str] = (),
        extras: Sequence[type[Configurable]] = (),
        trailing: Sequence[str] = (),
        repeated: Collection[str] = (),
        default_trailing: Callable[[Parsed], dict[str, str]] | None = None,
        complete: Completion = lambda chosen: chosen,
    ) -> None:
        self.name = name
        self._summary = summary
        self._words, self._by_flag = roles, by_flag
        self._roles = (*roles, *by_flag)
        self._required = required
        self._extras: tuple[type[Configurable], ...] = (*extras, Logging)
        self._trailing = trailing
        self._repeated = repeated
        self._default_trailing = default_trailing
        self._complete = complete

    def parse(self, arguments: Sequence[str]) -> Parsed:
        """Read a command line.

        Raises
        ------
        OptionError, PluginError
        SystemExit
            After ``-h``, or after a flag that argparse refuses (status 2).
        """
        words, flags, by_role, targets = parted(arguments, self._roles, self._extras)
        wants_help = bool({"-h", "--help"} & set(flags))
        # With -h the trailing arguments may still be missing.
        classes, trailing = self._divided(words, wants_help, by_role)
        chosen = self._merged(choose(classes, self._words, self._repeated), by_role)
        named = frozenset(one.role for one in chosen)
        if words or not wants_help:
            chosen = self._complete(chosen)
        if not wants_help:
            self._check_roles(chosen)
        parser = _Parser(
            prog=" ".join(["edge-tester", self.name, *words]),
            usage=self.usage if not words else None,
            description=textwrap.fill(self._summary, 79),
            epilog=None if words else self._names_of_classes(),
            allow_abbrev=False,
            formatter_class=_formatter(wants_help),
        )
        roles = [c.role for c in chosen]
        plain = {c.cls for c in chosen if c.role in self._repeated and roles.count(c.role) > 1}
        combine(parser, [*(c.cls for c in chosen if c.cls not in plain), *self._extras])
        _apply_presets(parser, chosen)
        namespace, unknown = parser.parse_known_args(flags)
        if unknown:
            known = parser._option_string_actions
            flags = [*known, *role_flags(self._roles)]
            raise OptionError(f"{parser.prog}: {refusal_of_flag(unknown[0], self._roles, flags)}")
        together = [*(c.cls for c in chosen if c.cls not in plain), *self._extras]
        parts = [
            (
                c.role,
                c.cls.from_options(c.preset)
                if c.cls in plain
                else from_flags(c.cls, namespace, together),
            )
            for c in chosen
        ]
        extras = {cls: from_flags(cls, namespace, together) for cls in self._extras}
        command_line = ["edge-tester", self.name, *arguments]
        parsed = Parsed(
            parts,
            extras,
            dict(zip(self._trailing, trailing, strict=False)),
            command_line,
            named,
            tuple(targets),
        )
        return self._with_defaults(parsed)

    def _with_defaults(self, parsed: Parsed) -> Parsed:
        """Fill in the plain arguments that were left out."""
        if self._default_trailing is None:
            return parsed
        return parsed._replace(trailing={**self._default_trailing(parsed), **parsed.trailing})

    def read(self, mapping: Mapping[str, Any], source: str) -> Parsed:
        """Read a mapping, as a scenario file holds it.

        Parameters
        ----------
        mapping : mapping
            Per role, in the singular, a class name or a mapping of ``class`` and
            its options; besides them the options of the command itself.
        source : str
            Where it comes from, for the record.
        """
        keys = {role[:-1]: role for role in self._roles}
        known = {*keys, *self._trailing}.union(
            declared.name for cls in self._extras for declared in options_of(cls)
        )
        for key in mapping:
            if key not in known:
                raise OptionError(f"{source} has an unknown key {key!r}{hint(key, known)}")
        chosen: list[Chosen] = []
        for key, role in keys.items():
            values = mapping.get(key, [])
            if isinstance(values, list) and key in mapping and role not in self._repeated:
                raise OptionError(f"{source}: {key} must be one class, got a list.")
            for value in values if isinstance(values, list) else [values]:
                chosen.append(chosen_from(value, role, f"{source}: {key}"))
        named = frozenset(one.role for one in chosen)
        chosen = self._complete(chosen)
        self._check_roles(chosen)
        for name in self._trailing:
            if self._default_trailing is not None and name not in mapping:
                continue
            if not isinstance(mapping.get(name), str):
                raise OptionError(f"{source}: {name} must be a text, got {mapping.get(name)!r}.")
        extras = {
            cls: cls.from_options(
                {d.name: mapping[d.name] for d in options_of(cls) if d.name in mapping}
            )
            for cls in self._extras
        }
        parsed = Parsed(
            [(c.role, c.cls.from_options(c.preset)) for c in chosen],
            extras,
            {name: mapping[name] for name in self._trailing if name in mapping},
            ["edge-tester", "run", source],
            named,
        )
        return self._with_defaults(parsed)

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of what :meth:`read` takes, and the scenario's name."""
        properties: dict[str, Any] = {"scenario": {"const": self.name}}
        for role in self._roles:
            one = role_schema(role)
            several = {"type": "array", "items": one}
            properties[role[:-1]] = {"anyOf": [one, several]} if role in self._repeated else one
        for cls in self._extras:
            properties.update(json_schema(cls)["properties"])
        properties.update({name: {"type": "string"} for name in self._trailing})
        return {
            "type": "object",
            "description": self._summary,
            "properties": properties,
            "required": [
                "scenario",
                *(r[:-1] for r in self._required),
                *([] if self._default_trailing else self._trailing),
            ],
            "additionalProperties": False,
        }

    @property
    def usage(self) -> str:
        """How the command is written."""
        classes = [
            role[:-1].upper() if role in self._required else f"[{role[:-1].upper()}]"
            for role in self._words
        ]
        names = [f"[{name}]" for name in self._names] if self._default_trailing else self._names
        flags = [f"[--{role[:-1]} {role[:-1].upper()}]" for role in self._by_flag]
        return " ".join(["edge-tester", self.name, *classes, *names, *flags, "[flags]"])

    @property
    def _names(self) -> list[str]:
        return [name.upper() for name in self._trailing]

    def _check_roles(self, chosen: Sequence[Chosen]) -> None:
        missing = [role for role in self._required if role not in {c.role for c in chosen}]
        if missing:
            raise OptionError(
                f"edge-tester {self.name} needs one of the {missing[0]}; usage: {self.usage}"
            )

    def _divided(
        self, words: list[str], wants_help: bool, by_role: Mapping[str, str]
    ) -> tuple[list[str], list[str]]:
        count = len(self._trailing)
        if not count:
            return words, []
        if wants_help:
            return [w for w in words if is_class(w, self._words)], []
        if self._default_trailing is not None:
            return self._parted_report(words, by_role)
        if len(words) < count:
            raise OptionError(
                f"edge-tester {self.name} needs {' and '.join(self._names)}; usage: {self.usage}"
            )
        return words[:-count], words[-count:]

    def _parted_report(
        self, words: list[str], by_role: Mapping[str, str]
    ) -> tuple[list[str], list[str]]:
        """Tell the classes from REPORT_DIRECTORY and REPORT_NAME, which may be left out."""
        # A word that ends with a slash is a folder, whatever else has its name.
        named = [not word.endswith("/") and self._names_class(word) for word in words]
        if not any(named) and not by_role:
            # None is a class: let the first be said to be none.
            return words, []
        last_is_name = bool(words) and "/" not in words[-1] and not Path(words[-1]).is_file()
        if len(words) > 1 and not named[-2] and last_is_name:
            folder = Path(words[-2])
            if "datasets" not in by_role and holds_pictures(folder) and not named[-1]:
                unread = [w for w in words[:-2] if is_class(w, ["datasets"])]
                if not unread and "datasets" in self._roles:
                    raise OptionError(
                        f"{words[-2]} holds pictures: if it is the data set, add REPORT_NAME "
                        f"behind {words[-1]!r}, or write --dataset {words[-2]}."
                    )
            return words[:-2], words[-2:]
        if words and not named[-1]:
            folder = Path(words[-1])
            if holds_pictures(folder):
                return words, []
            if folder.is_dir() or "/" in words[-1]:
                return words[:-1], words[-1:]
            raise OptionError(
                f"{words[-1]!r} is no class and no file. If it is REPORT_DIRECTORY, REPORT_NAME is "
                f"missing behind it (or write {words[-1]}/); usage: {self.usage}"
            )
        return words, []

    def _names_class(self, word: str) -> bool:
        """Tell whether a word can be nothing but a class or a file of the user."""
        return not Path(word).is_dir() and is_class(word, self._words)

    def _merged(self, chosen: list[Chosen], by_role: Mapping[str, str]) -> list[Chosen]:
        """Add the classes that flags name, in the order of the roles."""
        for role, word in by_role.items():
            if any(one.role == role for one in chosen) and role not in self._repeated:
                raise OptionError(f"--{role[:-1]} {word}: the command names one of the {role} too.")
            chosen = [*chosen, *choose([word], [role])]
        return sorted(chosen, key=lambda one: self._roles.index(one.role))

    def _names_of_classes(self) -> str | None:
        if not self._roles:
            return None
        lines = [f"{role}: {', '.join(registry.names(role))}" for role in self._roles]
        if "runtimeprotocols" in self._roles:
            lines.append(f"{TARGET} ADDRESS: {', '.join(forms())}")
        return "\n".join([*lines, "", "Name the classes before -h to see their flags."])


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line instead of showing all flags."""

    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{self.prog}: {message}; -h shows all flags.")


class Parsed(NamedTuple):
    """A command that was understood."""

    parts: list[tuple[str, Configurable]]
    extras: dict[type[Configurable], Configurable]
    trailing: dict[str, str]
    command_line: list[str]
    named: frozenset[str] = frozenset()
    """Roles of which the user named a class."""
    targets: tuple[str, ...] = ()
    """Addresses that were given by ``--target``."""

    def left_out(self, role: str) -> bool:
        """Tell whether the class of a role was chosen for the user."""
        return role not in self.named and any(one == role for one, _ in self.parts)

    def part(self, kind: type[Part]) -> Part | None:
        """Return the class instance of one role, None if there is none."""
        return next((part for _, part in self.parts if isinstance(part, kind)), None)

    def needed(self, kind: type[Part]) -> Part:
        """Return the class instance of one role; OptionError if there is none."""
        found = self.part(kind)
        if found is None:
            raise OptionError(f"The command names no {kind.__name__}.")
        return found

    def extra(self, kind: type[Part]) -> Part:
        """Return the instance of one of the extra classes."""
        return cast(Part, self.extras[kind])


def _apply_presets(parser: argparse.ArgumentParser, chosen: Sequence[Chosen]) -> None:
    for one in chosen:
        for declared in options_of(one.cls):
            if declared.name in one.preset:
                for action in parser._actions:
                    if action.dest == declared.name:
                        action.required = False
                        action.help = f"{declared.help} (given: {one.preset[declared.name]})"
                parser.set_defaults(**{declared.name: one.preset[declared.name]})


def chosen_from(value: object, role: str, where: str) -> Chosen:
    """Return the class that a value of a scenario file names, with the options beside it."""
    if isinstance(value, str):
        return choose([value], [role])[0]
    if not isinstance(value, dict) or not isinstance(value.get("class"), str):
        raise OptionError(f"{where} must be a name or a mapping with 'class', got {value!r}.")
    options = {key: option for key, option in value.items() if key != "class"}
    found = choose([value["class"]], [role])[0]
    return found._replace(preset={**found.preset, **options})


def role_schema(role: str) -> dict[str, Any]:
    """Allow every known plugin with its options, and any dotted path."""
    branches: list[dict[str, Any]] = [{"type": "string"}]
    for name in registry.names(role):
        cls = registry.loadable(role, name)
        if cls is None:
            continue
        schema = json_schema(cls)
        names = {"enum": [name, path_of(cls)]}
        schema["properties"] = {"class": names, **schema["properties"]}
        schema["required"] = ["class", *schema["required"]]
        branches.append(schema)
    return {"anyOf": branches}


def _formatter(wants_help: bool) -> type[argparse.HelpFormatter]:
    # rich is slow to import and absent on targets; only help needs it.
    if wants_help and available("rich_argparse"):
        formatter = backend("rich_argparse", "edge-tester").RawDescriptionRichHelpFormatter
        # Class names are names: no capital letters of its own.
        formatter.group_name_formatter = str
        return cast("type[argparse.HelpFormatter]", formatter)
    return argparse.RawDescriptionHelpFormatter
