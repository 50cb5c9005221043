"""What all commands share: class names first, then flags; errors in one line."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from edge_tester.core import registry
from edge_tester.core.artifact import FORMATS
from edge_tester.core.backends import available, backend
from edge_tester.core.errors import EdgeTesterError, OptionError, PluginError
from edge_tester.core.options import (
    Configurable,
    combine,
    hint,
    option,
    options_of,
    summary_of,
)

Part = TypeVar("Part", bound=Configurable)

# What a user's own file becomes: suffix -> (short name, option that takes the path).
_MODEL_FILES = {
    "tflite": ("tflite_file", "model_path"),
    "onnx": ("onnx_file", "model_path"),
    "keras": ("keras_file", "model_path"),
    "torchscript": ("torchscript_file", "model_path"),
}


class Logging(Configurable):
    """What is said while a command runs."""

    verbosity: str = option(
        "WARNING", choices=("DEBUG", "INFO", "WARNING", "ERROR"), help="Least level to log"
    )

    def start(self) -> None:
        """Set the level of all loggers."""
        logging.basicConfig(format="%(levelname)s: %(message)s", force=True)
        # Other packages speak of their own insides; theirs only when debugging.
        logging.getLogger().setLevel("WARNING" if self.verbosity == "INFO" else self.verbosity)
        logging.getLogger("edge_tester").setLevel(self.verbosity)


class Chosen(NamedTuple):
    """A class that a command names, and options that follow from its spelling."""

    role: str
    cls: type[Configurable]
    preset: dict[str, Any]


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
    required : sequence of str
        Roles that must be named.
    extras : sequence of Configurable subclasses
        Whose flags the command takes besides those of the classes.
    trailing : sequence of str
        Names of the plain arguments after the classes.
    repeated : str
        Role of which several classes may be named; several take no flags.
    """

    def __init__(
        self,
        name: str,
        summary: str,
        *,
        roles: Sequence[str] = (),
        required: Sequence[str] = (),
        extras: Sequence[type[Configurable]] = (),
        trailing: Sequence[str] = (),
        repeated: str = "",
    ) -> None:
        self.name = name
        self._summary = summary
        self._roles = roles
        self._required = required
        self._extras: tuple[type[Configurable], ...] = (*extras, Logging)
        self._trailing = trailing
        self._repeated = repeated

    def parse(
        self,
        arguments: Sequence[str],
        complete: Callable[[list[Chosen]], list[Chosen]] = lambda chosen: chosen,
    ) -> Parsed:
        """Read a command line.

        Parameters
        ----------
        arguments : sequence of str
        complete : callable
            Adds the classes that the user left out.

        Raises
        ------
        OptionError, PluginError
        SystemExit
            After ``-h``, or after a flag that argparse refuses (status 2).
        """
        first_flag = next(
            (i for i, word in enumerate(arguments) if word.startswith("-")), len(arguments)
        )
        words, flags = list(arguments[:first_flag]), list(arguments[first_flag:])
        wants_help = bool({"-h", "--help"} & set(flags))
        if wants_help and not words:
            print(self._overview())
            raise SystemExit(0)
        # With -h the trailing arguments may still be missing.
        classes, trailing = self._divided(words, wants_help)
        chosen = complete(choose(classes, self._roles, self._repeated))
        for role in self._required:
            if not wants_help and role not in {c.role for c in chosen}:
                raise OptionError(f"edge-tester {self.name} needs one of the {role}.\n{self.usage}")
        parser = argparse.ArgumentParser(
            prog=f"edge-tester {self.name} " + " ".join(words),
            description=self._summary,
            usage=None if words else self.usage,
            allow_abbrev=False,
            formatter_class=_formatter(wants_help),
        )
        several = sum(c.role == self._repeated for c in chosen) > 1
        plain = {c.cls for c in chosen if several and c.role == self._repeated}
        combine(parser, [*(c.cls for c in chosen if c.cls not in plain), *self._extras])
        _apply_presets(parser, chosen)
        namespace = parser.parse_args(flags)
        parts = [
            (c.role, c.cls() if c.cls in plain else c.cls.from_argparse(namespace)) for c in chosen
        ]
        extras = {cls: cls.from_argparse(namespace) for cls in self._extras}
        return Parsed(parts, extras, trailing)

    @property
    def usage(self) -> str:
        """How the command is written."""
        classes = [
            role[:-1].upper() if role in self._required else f"[{role[:-1].upper()}]"
            for role in self._roles
        ]
        return " ".join(["Usage: edge-tester", self.name, *classes, *self._trailing, "[flags]"])

    def _divided(self, words: list[str], wants_help: bool) -> tuple[list[str], list[str]]:
        count = len(self._trailing)
        if not count:
            return words, []
        if wants_help:
            return [w for w in words if _is_class(w, self._roles)], []
        if len(words) < count:
            raise OptionError(
                f"edge-tester {self.name} needs {' and '.join(self._trailing)}.\n{self.usage}"
            )
        return words[:-count], words[-count:]

    def _overview(self) -> str:
        lines = [self._summary, "", self.usage, ""]
        for role in self._roles:
            lines.append(f"{role}: {', '.join(registry.names(role))}")
        lines += ["", "Write the classes before -h to see their flags."]
        return "\n".join(lines)


class Parsed(NamedTuple):
    """A command line that was understood."""

    parts: list[tuple[str, Configurable]]
    extras: dict[type[Configurable], Configurable]
    trailing: list[str]

    def part(self, kind: type[Part]) -> Part | None:
        """Return the class instance of one role, None if there is none."""
        return next((part for _, part in self.parts if isinstance(part, kind)), None)

    def needed(self, kind: type[Part]) -> Part:
        """Return the class instance of one role; OptionError if there is none."""
        found = self.part(kind)
        if found is None:
            raise OptionError(f"The command line names no {kind.__name__}.")
        return found

    def extra(self, kind: type[Part]) -> Part:
        """Return the instance of one of the extra classes."""
        return cast(Part, self.extras[kind])


def choose(words: Sequence[str], roles: Sequence[str], repeated: str = "") -> list[Chosen]:
    """Find the class for each word; roles come in their order and may be left out.

    The role ``repeated`` may come several times.

    Raises
    ------
    PluginError
        A word names nothing, or more than one thing.
    """
    chosen: list[Chosen] = []
    remaining = list(roles)
    for position, word in enumerate(words):
        if len(words) == len(roles) and not repeated:
            found = _found(word, [roles[position]])
        else:
            found = _found(word, remaining)
        if len(found) > 1:
            spellings = " or ".join(f"{c.role}.{word}" for c in found)
            raise PluginError(f"{word!r} names more than one class here: write {spellings}.")
        chosen.append(found[0])
        role = found[0].role
        remaining = remaining[remaining.index(role) + (role != repeated) :]
    return chosen


def guard(command: Callable[[Sequence[str]], int | None]) -> int:
    """Run a command's main function as a program; return the exit status.

    Errors of edge_tester are one line on standard error and status 2, Ctrl-C is
    status 130; the traceback is shown with ``--verbosity DEBUG``.
    """
    arguments = sys.argv[1:]
    try:
        return command(arguments) or 0
    except EdgeTesterError as error:
        if logging.getLogger("edge_tester").isEnabledFor(logging.DEBUG) and "DEBUG" in arguments:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has enough; the interpreter must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def runtime_for(format: str) -> type[Configurable]:
    """Return the first runtime that runs a model format.

    Raises
    ------
    PluginError
        None does.
    """
    for name in registry.names("runtimes"):
        found = registry.load("runtimes", name)
        if format in getattr(found, "input_formats", ()):
            return found
    raise PluginError(f"No runtime runs {format!r} models; name a compiler that makes another.")


def describe(role: str) -> list[tuple[str, str]]:
    """Return the short names of a role and what each class is."""
    return [(name, summary_of(registry.load(role, name))) for name in registry.names(role)]


def _found(word: str, roles: Sequence[str]) -> list[Chosen]:
    path = Path(word)
    own_file = _own_file(path, roles)
    if own_file is not None:
        return [own_file]
    prefix = word.partition(".")[0]
    if prefix in roles:
        return [Chosen(prefix, registry.load(prefix, word), {})]
    if "." in word:
        cls = registry.load_path(word)
        role = registry.role_of(cls)
        if role not in roles:
            raise PluginError(f"{word} is one of the {role}; expected {' or '.join(roles)} here.")
        return [Chosen(role, cls, {})]
    found = [
        Chosen(role, registry.load(role, word), {})
        for role in roles
        if word in registry.names(role)
    ]
    if not found:
        known = [name for role in roles for name in registry.names(role)]
        kinds = " or ".join(role[:-1] for role in roles) or "further class"
        raise PluginError(f"No {kinds} is named {word!r}, nor is it a file{hint(word, known)}.")
    return found


def _own_file(path: Path, roles: Sequence[str]) -> Chosen | None:
    """Recognize a user's own model file, .npz file or image folder."""
    suffix = path.suffix.lower()
    format = FORMATS.get(suffix) or ("keras" if (path / "saved_model.pb").exists() else None)
    role, name, option_name = None, "", ""
    if format in _MODEL_FILES:
        role, (name, option_name) = "modelwrappers", _MODEL_FILES[format]
    elif suffix == ".npz":
        role, name, option_name = "datasets", "npz_file", "dataset_path"
    elif path.is_dir() and (
        os.sep in str(path) or not any(_is_class(str(path), [r]) for r in roles)
    ):
        role, name, option_name = "datasets", "image_folder", "dataset_root"
    if role is None or role not in roles:
        return None
    return Chosen(role, registry.load(role, name), {option_name: str(path)})


def _is_class(word: str, roles: Sequence[str]) -> bool:
    try:
        return bool(_found(word, roles))
    except PluginError:
        return False


def _apply_presets(parser: argparse.ArgumentParser, chosen: Sequence[Chosen]) -> None:
    for one in chosen:
        for declared in options_of(one.cls):
            if declared.name in one.preset:
                for action in parser._actions:
                    if action.dest == declared.name:
                        action.required = False
                parser.set_defaults(**{declared.name: one.preset[declared.name]})


def _formatter(wants_help: bool) -> type[argparse.HelpFormatter]:
    # rich is slow to import and absent on targets; only help needs it.
    if wants_help and available("rich_argparse"):
        formatter = backend("rich_argparse", "edge-tester").RichHelpFormatter
        return cast("type[argparse.HelpFormatter]", formatter)
    return argparse.HelpFormatter
