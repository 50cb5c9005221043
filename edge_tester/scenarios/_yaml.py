"""Read the YAML files that users write, and say in which line something is wrong."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_tester.core.backends import backend
from edge_tester.core.errors import OptionError, PluginError

# Lines that are said where it may be one or the other.
_FEW = 4


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file whose content is a mapping with texts as keys.

    Raises
    ------
    OptionError
        The file cannot be read, holds something else, or has a key twice.
    """
    yaml = backend("yaml", "edge-tester")
    try:
        text = path.read_text()
        for keys in _keys(_composed(text)):
            _refuse_doubled(path, keys)
        content = yaml.safe_load(text)
    except OSError as error:
        raise OptionError(f"The file {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise OptionError(f"The file {path} is no YAML: {reason}") from error
    if not isinstance(content, dict):
        raise OptionError(f"{path} must hold keys and values, got {type(content).__name__}.")
    if other := [key for key in content if not isinstance(key, str)]:
        raise OptionError(f"The keys of {path} must be texts, got {other[0]!r}.")
    return content


@contextlib.contextmanager
def blaming(path: Path) -> Iterator[None]:
    """Let errors of options say the file and, where it is known, the line.

    The line is known if what the error names, such as an option or a quoted word, stands in
    the file exactly once; where that is in a few lines, they are said.
    """
    try:
        yield
    except (OptionError, PluginError) as error:
        lines = _lines_of(str(error).replace(str(path), ""), path)
        place = f"{path}, line {' or '.join(map(str, lines))}" if lines else str(path)
        text = str(error)
        told = text.replace(str(path), place, 1) if str(path) in text else f"{place}: {text}"
        raise type(error)(told) from error


def _composed(text: str) -> Any:
    yaml = backend("yaml", "edge-tester")
    return yaml.compose(text, Loader=yaml.SafeLoader)


def _nodes(root: Any) -> Iterator[Any]:
    """Yield all nodes once, also where an alias leads back."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node.value, list):
            for one in node.value:
                waiting.extend(one if isinstance(one, tuple) else [one])


def _keys(root: Any) -> Iterator[list[Any]]:
    """Yield the nodes of the keys of each mapping."""
    for node in _nodes(root):
        if node.id == "mapping":
            yield [key for key, _ in node.value]


def _refuse_doubled(path: Path, keys: list[Any]) -> None:
    seen: dict[Any, int] = {}
    for key in keys:
        line = key.start_mark.line + 1
        # A merge key may come more than once; what is merged may be overwritten on purpose.
        if key.id != "scalar" or key.value == "<<":
            continue
        if key.value in seen:
            raise OptionError(
                f"{path}, line {line}: the key {key.value!r} is there twice, first in line "
                f"{seen[key.value]}; of the two only one would count."
            )
        seen[key.value] = line


def _lines_of(message: str, path: Path) -> list[int]:
    try:
        places: dict[str, list[int]] = {}
        for node in _nodes(_composed(path.read_text())):
            if node.id == "scalar":
                places.setdefault(str(node.value), []).append(node.start_mark.line + 1)
    # What cannot be read has no lines; what is wrong with it was said.
    except Exception:
        return []
    named = [
        *re.findall(r"\b[A-Z]\w*\.(\w+)", message),
        *re.findall(r"'([^']*)'", message),
        # As msgspec says it: `key`, and `$.part.key` or `$.part[2].key` for where that is.
        *re.findall(r"`(?:\$[^`]*\.)?(\w+)(?:\[[^`]*\])?`", message),
    ]
    found = [sorted(set(places[name])) for name in named if name in places]
    few = [lines for lines in found if len(lines) <= _FEW]
    return min(few, key=len, default=[])
