"""Options: declared once in a class body, used everywhere.

From one line such as ::

    port: int = option(12345, help="TCP port", minimum=0, maximum=65535)

come the constructor keyword, the ``--port`` flag, the YAML key, the JSON Schema
property and the line in ``-h``.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import sys
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from edge_tester.core.errors import OptionError
from edge_tester.core.optionforms import (
    add_flag,
    converted,
    parts,
    percent,
    plain,
    property_schema,
    require_known,
)

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_):
        """Do nothing: it speaks to type checkers alone, and typing has it from 3.11 on."""
        return lambda cls: cls


Self = TypeVar("Self", bound="Configurable")


def option(
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    choices: tuple[str, ...] | None = None,
    unit: str | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    target_only: bool = False,
    gives_way: bool = False,
) -> Any:
    """Declare an option; without a default it is required.

    Parameters
    ----------
    default : immutable value, optional
        Value when nothing is said.
    help : str
        One line for people; without a full stop.
    choices : tuple of str, optional
        The only values allowed.
    unit : str, optional
        Physical unit, shown in help texts. Where it is ``%``, a value may be a text such as ``1%``.
    minimum, maximum : float, optional
        Inclusive bounds of a number.
    target_only : bool, default=False
        Only the owner of the target may set it, where the agent is started
        (paths and libraries of the target); a client may not.
    gives_way : bool, default=False
        Where another class of a command has the same flag, this one's begins with the name of
        its class's module: ``--coreml-weights``.
    """
    metadata = {
        "help": help,
        "choices": choices,
        "unit": unit,
        "minimum": minimum,
        "maximum": maximum,
        "target_only": target_only,
        "gives_way": gives_way,
    }
    return dataclasses.field(default=default, kw_only=True, metadata={"option": metadata})


def state(
    default: Any = None,
    *,
    default_factory: Callable[[], Any] | None = None,
) -> Any:
    """Declare an attribute that is no option: working state of an instance."""
    if default_factory is not None:
        return dataclasses.field(
            init=False, repr=False, compare=False, default_factory=default_factory
        )
    return dataclasses.field(init=False, repr=False, compare=False, default=default)


@dataclasses.dataclass(frozen=True)
class Option:
    """One declared option, as read from the class."""

    name: str
    annotation: Any
    default: Any
    help: str
    choices: tuple[str, ...] | None
    unit: str | None
    minimum: float | None
    maximum: float | None
    target_only: bool
    gives_way: bool

    @property
    def flag(self) -> str:
        """Command line spelling."""
        return "--" + self.name.replace("_", "-")

    @property
    def required(self) -> bool:
        """Whether the option has no default."""
        return self.default is dataclasses.MISSING

    @property
    def optional(self) -> bool:
        """Whether None is allowed."""
        return parts(self.annotation)[2]

    @property
    def kind(self) -> type:
        """Type of a single value: one of str, int, float, bool, Path."""
        return typing.cast(type, parts(self.annotation)[1])

    @property
    def repeated(self) -> bool:
        """Whether the option is a list, kept as a tuple."""
        return parts(self.annotation)[0] is tuple

    @property
    def named(self) -> bool:
        """Whether the option is a mapping of names to values."""
        return parts(self.annotation)[0] is dict

    def checked(self, value: Any, owner: str) -> Any:
        """Return the value in its declared type, or raise OptionError.

        A conversion that could lose or invent information is refused.
        """
        try:
            found = converted(percent(value) if self.unit == "%" else value, self.annotation)
        except TypeError as error:
            expected, wrong = self._expected(value)
            raise self._refusal(owner, expected, wrong) from error
        if found is None:
            return None
        items = found if self.repeated else found.values() if self.named else [found]
        for item in items:
            self._check_range(item, owner)
        return found

    def _expected(self, value: Any) -> tuple[str, Any]:
        """Return what is allowed, and what of a value is not."""
        if self.repeated and isinstance(value, list | tuple):
            for item in value:
                try:
                    converted(item, self.kind)
                except TypeError:
                    return f"of type {self.kind.__name__}", item
        if self.repeated:
            return f"a list of {self.kind.__name__}", value
        if self.named:
            return f"a mapping of names to {self.kind.__name__}", value
        return f"of type {self.kind.__name__}", value

    def _check_range(self, value: Any, owner: str) -> None:
        if self.choices is not None and value not in self.choices:
            raise self._refusal(owner, f"one of {', '.join(self.choices)}", value)
        # Written so that NaN fails too.
        if self.minimum is not None and not value >= self.minimum:
            raise self._refusal(owner, f"at least {self.minimum:g}", value)
        if self.maximum is not None and not value <= self.maximum:
            raise self._refusal(owner, f"at most {self.maximum:g}", value)

    def _refusal(self, owner: str, allowed: str, value: Any) -> OptionError:
        shown = str(value) if isinstance(value, Path) else repr(value)
        return OptionError(f"{owner}.{self.name} must be {allowed}, got {shown}.")


class _CheckedOption:
    """What stands for an option in its class: checks every value that an instance is given."""

    def __init__(self, declared: Option) -> None:
        self._declared = declared

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is not None:
            try:
                return vars(instance)[self._declared.name]
            except KeyError:
                raise AttributeError(self._declared.name) from None
        if self._declared.required:
            raise AttributeError(f"{owner.__name__}.{self._declared.name} has no default")
        return self._declared.default

    def __set__(self, instance: Any, value: Any) -> None:
        checked = self._declared.checked(value, type(instance).__name__)
        vars(instance)[self._declared.name] = checked


@dataclass_transform(kw_only_default=True)
class Configurable:
    """Base of everything that has options; a subclass is a dataclass by itself.

    A subclass must not define ``__init__``: construction stores and checks the
    options and does no work.
    """

    packages: ClassVar[tuple[str, ...]] = ()
    """Import names of the packages that it cannot do without; ``a|b`` needs one of the two."""

    _chosen: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Turn the subclass into a dataclass whose options are checked whenever they are set."""
        super().__init_subclass__(**arguments)
        if "__init__" in vars(cls):
            raise TypeError(f"{cls.__name__} must not define __init__; declare options instead")
        dataclasses.dataclass(kw_only=True)(cls)
        for declared in options_of(cls):
            require_known(declared.annotation, f"{cls.__name__}.{declared.name}")
            if declared.name in vars(cls).get("__annotations__", {}):
                setattr(cls, declared.name, _CheckedOption(declared))

    def __post_init__(self) -> None:
        """See whether the options go together; a subclass that extends this calls it first."""

    @classmethod
    def form_argparse(cls) -> tuple[argparse.ArgumentParser, argparse._ArgumentGroup]:
        """Return a parser with the flags of this class, and their group.

        A subclass may extend both; it starts from ``super().form_argparse()``.
        """
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        group = parser.add_argument_group(f"{cls.__name__} ({summary_of(cls)})")
        for declared in options_of(cls):
            add_flag(group, declared)
        return parser, group

    @classmethod
    def from_argparse(cls: type[Self], arguments: argparse.Namespace) -> Self:
        """Build an instance from parsed flags."""
        given = vars(arguments)
        return cls.from_options({d.name: given[d.name] for d in options_of(cls) if d.name in given})

    @classmethod
    def from_options(cls: type[Self], mapping: Mapping[str, Any]) -> Self:
        """Build an instance from a mapping of option names to values.

        Raises
        ------
        OptionError
            A key is unknown, a required one is missing, or a value is not allowed.
        """
        declared = {d.name: d for d in options_of(cls)}
        for key in mapping:
            if key not in declared:
                raise OptionError(f"{cls.__name__} has no option {key!r}{hint(key, declared)}")
        for name, found in declared.items():
            if found.required and name not in mapping:
                raise OptionError(f"{cls.__name__}.{name} is required ({found.help}).")
        instance = cls(**mapping)
        object.__setattr__(instance, "_chosen", frozenset(mapping))
        return instance

    def chosen_options(self) -> dict[str, Any]:
        """Return the options that somebody chose: named in a mapping or a flag, or not default."""
        values = self.to_options()
        return {
            d.name: values[d.name]
            for d in options_of(type(self))
            if d.name in self._chosen or getattr(self, d.name) != d.default
        }

    def to_options(self) -> dict[str, Any]:
        """Return all options with plain values that JSON and YAML can hold."""
        return {d.name: plain(getattr(self, d.name)) for d in options_of(type(self))}


def options_of(cls: type[Configurable]) -> list[Option]:
    """Return the options of a class, those of its bases first."""
    cached = cls.__dict__.get("_declared_options")
    if cached is None:
        cached = [
            Option(f.name, _annotation(cls, f.name), f.default, **f.metadata["option"])
            for f in dataclasses.fields(cls)  # type: ignore[arg-type]
            if "option" in f.metadata
        ]
        cls._declared_options = cached  # type: ignore[attr-defined]
    return typing.cast("list[Option]", cached)


def flags_of(part: Configurable) -> list[str]:
    """Return the flags that make an equal instance on a command line."""
    words: list[str] = []
    for declared in options_of(type(part)):
        value = getattr(part, declared.name)
        if value == declared.default or value is None:
            continue
        if declared.kind is bool:
            words.append(declared.flag if value else f"--no-{declared.flag[2:]}")
        elif declared.repeated:
            words += [declared.flag, *map(str, value)]
        else:
            words += [declared.flag, str(value)]
    return words


def json_schema(cls: type[Configurable]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the options of a class."""
    properties = {d.name: property_schema(d) for d in options_of(cls)}
    return {
        "type": "object",
        "description": summary_of(cls),
        "properties": properties,
        "required": [d.name for d in options_of(cls) if d.required],
        "additionalProperties": False,
    }


def hint(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for a misspelt name, or all names that exist."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=1) or difflib.get_close_matches(
        name.replace("-", "_"), names, n=1
    )
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are {', '.join(names)}." if names else "; there are none."


def path_of(cls: type) -> str:
    """Return the dotted path by which a class can be named."""
    return f"{cls.__module__}.{cls.__qualname__}"


def summary_of(cls: type) -> str:
    """Return the first line of a class's docstring without its full stop."""
    return (cls.__doc__ or "").strip().partition("\n")[0].rstrip(".")


def _annotation(cls: type, name: str) -> Any:
    # Only this one annotation: those of working state may name types that are
    # imported for type checkers alone.
    owner = next(c for c in cls.__mro__ if name in c.__dict__.get("__annotations__", {}))
    annotation = owner.__annotations__[name]
    if isinstance(annotation, str):
        annotation = eval(annotation, vars(sys.modules[owner.__module__]))
    return annotation
