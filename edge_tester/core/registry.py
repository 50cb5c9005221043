"""Find plugins by name: a file in the role's folder, an entry point or a dotted path."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import pkgutil
import sys
import traceback
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from edge_tester.core.errors import PluginError
from edge_tester.core.options import Configurable, hint, path_of

# Role (also the folder's name) -> module and name of its base class.
ROLES = {
    "modelwrappers": ("edge_tester.core.model", "ModelWrapper"),
    "compilers": ("edge_tester.core.compiler", "ModelCompiler"),
    "runtimeprotocols": ("edge_tester.core.runtimeprotocol", "RuntimeProtocol"),
    "runtimes": ("edge_tester.core.runtime", "Runtime"),
    "datasets": ("edge_tester.core.dataset", "Dataset"),
    "onnxconverters": ("edge_tester.core.onnxconversion", "ONNXConversion"),
    "meters": ("edge_tester.core.meter", "Meter"),
    "patterns": ("edge_tester.core.pattern", "LoadPattern"),
}
# Folders that hold what several plugins share, not plugins.
_SHARED_FOLDERS = {"frameworks"}


def base_of(role: str) -> type[Configurable]:
    """Return the base class of a role."""
    module, name = ROLES[role]
    found: type[Configurable] = getattr(importlib.import_module(module), name)
    return found


def names(role: str) -> dict[str, str]:
    """Return the short names of a role and the module or entry point behind each.

    No plugin is imported.

    Raises
    ------
    PluginError
        Two plugins have the same name.
    """
    package = importlib.import_module(f"edge_tester.{role}")
    named = [(path.rpartition(".")[2], path) for path in _modules(package.__path__, role)]
    named += [(entry.name, entry.value) for entry in _entry_points(role)]
    found = dict(sorted(named))
    for name, path in named:
        if found[name] != path:
            raise PluginError(f"Two {role} are named {name!r}: {found[name]} and {path}.")
    return found


def load(role: str, name: str) -> type[Configurable]:
    """Return the class that a short name or a dotted path names.

    Parameters
    ----------
    role : str
        One of :data:`ROLES`.
    name : str
        ``tflite``, ``compilers.tflite`` or
        ``edge_tester.compilers.tflite.TFLiteCompiler``.

    Raises
    ------
    PluginError
        Nothing has this name, it plays another role, or its module cannot be
        imported: then the message has the reason and its place.
    """
    name = name.removeprefix(f"{role}.")
    if "." in name:
        found = load_path(name.replace(":", "."))
    else:
        known = names(role)
        if name not in known:
            raise PluginError(f"No {role[:-1]} is named {name!r}{hint(name, known)}")
        found = _by_module_or_path(role, known[name])
    base = base_of(role)
    if not issubclass(found, base):
        raise PluginError(
            f"{path_of(found)} is no {role[:-1]}: it does not inherit from {base.__name__}."
        )
    return found


def loadable(role: str, name: str) -> type[Configurable] | None:
    """Return the class that a short name names, None for a broken plugin."""
    return None if broken(role, name) else load(role, name)


@functools.cache
def broken(role: str, name: str) -> str | None:
    """Return why a plugin cannot be imported, None if it can.

    A broken one is a row with its reason in lists; it ends only commands that name it.
    """
    try:
        load(role, name)
    # The code of others can fail in any way, also by exiting.
    except (Exception, SystemExit) as error:
        text = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
        return text.replace("\n", " ")
    return None


def load_path(path: str) -> type[Configurable]:
    """Return the class with this dotted path, whatever its role.

    Raises
    ------
    PluginError
        There is no such module or class.
    """
    module_name, _, class_name = path.rpartition(".")
    module = _imported(module_name, path)
    found = getattr(module, class_name, None)
    if not inspect.isclass(found) or not issubclass(found, Configurable):
        classes = [n for n, c in vars(module).items() if inspect.isclass(c)]
        raise PluginError(
            f"{module_name} has no plugin class {class_name!r}{hint(class_name, classes)}"
        )
    return found


def module_exists(name: str) -> bool:
    """Tell whether there is a top-level module, without importing it."""
    return importlib.util.find_spec(name) is not None


def role_of(cls: type) -> str:
    """Return the role that a class plays."""
    roles = {place: role for role, place in ROLES.items()}
    # By name: the base classes of other roles import numpy, which an agent does without.
    for base in cls.__mro__:
        if role := roles.get((base.__module__, base.__name__)):
            return role
    raise PluginError(f"{path_of(cls)} plays none of {', '.join(ROLES)}.")


def name_of(cls: type) -> str:
    """Return the short name of a plugin, or its dotted path if it has none."""
    path = path_of(cls)
    for name, place in names(role_of(cls)).items():
        if place in (cls.__module__, path) or place.replace(":", ".") == path:
            return name
    return path


def _modules(paths: object, role: str) -> Iterator[str]:
    prefix = f"edge_tester.{role}."
    for info in pkgutil.walk_packages(paths, prefix, _raise):  # type: ignore[arg-type]
        parts = info.name.removeprefix(prefix).split(".")
        private = _SHARED_FOLDERS & set(parts) or any(part.startswith("_") for part in parts)
        if not info.ispkg and not private:
            yield info.name


def _raise(name: str) -> None:
    # Called while handling the error of a broken folder, which pkgutil would skip.
    raise


def _entry_points(role: str) -> Iterator[importlib.metadata.EntryPoint]:  # type: ignore[name-defined]
    yield from _installed(tuple(sys.path)).select(group=f"edge_tester.{role}")


@functools.cache
def _installed(path: tuple[str, ...]) -> Any:
    """Return the entry points of all that is installed; reading them takes milliseconds."""
    from importlib import metadata

    return metadata.entry_points()


def _imported(name: str, wanted: str) -> ModuleType:
    """Import the module of a plugin; PluginError says why it cannot be imported."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Only the named module itself may be "not found"; a plugin's own
        # missing import is the plugin's defect and shows as such.
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            text = f"{wanted} does not exist: there is no module {error.name}."
            raise PluginError(text) from error
        raise _unimportable(name, error) from error
    # The code of others can fail in any way, also by exiting.
    except (Exception, SystemExit) as error:
        raise _unimportable(name, error) from error


def _unimportable(name: str, error: BaseException) -> PluginError:
    frames = traceback.extract_tb(error.__traceback__)
    places = [one for one in frames if not one.filename.startswith("<frozen")]
    where = f" ({places[-1].filename}, line {places[-1].lineno})" if places else ""
    reason = " ".join(str(error).split())
    return PluginError(f"{name} cannot be imported: {type(error).__name__}: {reason}{where}")


def _by_module_or_path(role: str, value: str) -> type[Configurable]:
    if ":" in value:
        return load_path(value.replace(":", "."))
    module = _imported(value, value)
    base = base_of(role)
    found = [
        cls
        for cls in vars(module).values()
        if inspect.isclass(cls) and cls.__module__ == module.__name__ and issubclass(cls, base)
    ]
    if len(found) != 1:
        raise PluginError(
            f"{value} must define exactly one subclass of {base.__name__}, "
            f"got {[cls.__name__ for cls in found]}."
        )
    return found[0]
