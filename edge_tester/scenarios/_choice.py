"""Find the classes that a command names: short names, dotted paths, a user's own files."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edge_tester.core import registry
from edge_tester.core.addresses import is_address, link_to
from edge_tester.core.errors import PluginError
from edge_tester.core.formats import FORMATS
from edge_tester.core.options import Configurable, hint

# What a user's own file becomes: suffix -> (short name, option that takes the path).
_MODEL_FILES = {
    "tflite": ("tflite_file", "model_path"),
    "onnx": ("onnx_file", "model_path"),
    "keras": ("keras_file", "model_path"),
    "torchscript": ("torchscript_file", "model_path"),
    "torch-exported": ("torch_exported_file", "model_path"),
    "executorch": ("executorch_file", "model_path"),
    "coreml": ("coreml_file", "model_path"),
    "tvm": ("tvm_file", "model_path"),
}
# A function that builds a network, such as mynet:make or torchvision:mobilenet_v2.
_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class _UnusableFileError(PluginError):
    """A file that a command names is not what the command takes."""


class Chosen(NamedTuple):
    """A class that a command names, and options that follow from its spelling."""

    role: str
    cls: type[Configurable]
    preset: dict[str, Any]


def choose(
    words: Sequence[str], roles: Sequence[str], repeated: Collection[str] = ()
) -> list[Chosen]:
    """Find the class for each word; roles may be left out.

    Their order tells which role a name is of that several have. The roles ``repeated`` may come
    several times.

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
            taken = {one.role for one in chosen if one.role not in repeated}
            free = [role for role in roles if role not in taken]
            found = _found_in_order(word, remaining, free, roles)
        if len(found) > 1:
            found = _by_place(found, words[position + 1 :])
        if len(found) > 1:
            spellings = " or ".join(f"{c.role}.{word}" for c in found)
            flags = " or ".join(f"--{c.role[:-1]} {word}" for c in found)
            raise PluginError(
                f"{word!r} names more than one class here: write {spellings}, or {flags}."
            )
        chosen.append(found[0])
        role = found[0].role
        if role in remaining:
            remaining = remaining[remaining.index(role) + (role not in repeated) :]
    return chosen


def _found_in_order(
    word: str, remaining: Sequence[str], free: Sequence[str], roles: Sequence[str]
) -> list[Chosen]:
    """Find a class of a role that comes now; if there is none, of any that was not named yet."""
    for allowed in (remaining, free):
        try:
            return _found(word, allowed)
        except _UnusableFileError:
            raise
        except PluginError:
            if not is_class(word, roles):
                # What could still be named is what may have been meant.
                _found(word, free or roles)
                raise
    raise PluginError(
        f"{word!r} is one too many: of {', '.join(roles)} one class each is named at most."
    )


def _by_place(found: list[Chosen], following: Sequence[str]) -> list[Chosen]:
    """Tell by what follows which role a name is of: classes come in the order of the roles."""
    for word in following:
        others = [one for one in found if is_class(word, [one.role])]
        if others:
            # The same name again, or another of its role: this one comes before that.
            return [one for one in found if one.role != others[-1].role] or found
        if is_class(word, ["runtimeprotocols"]):
            return [one for one in found if one.role in ("modelwrappers", "compilers")] or found
    return found


def is_class(word: str, roles: Sequence[str]) -> bool:
    """Tell whether a word names a class or a file, be it one that cannot be used."""
    try:
        return bool(_found(word, roles))
    except _UnusableFileError:
        return True
    except PluginError:
        return False


def _found(word: str, roles: Sequence[str]) -> list[Chosen]:
    path = Path(word)
    own_file = _own_file(path, roles)
    if own_file is not None:
        return [own_file]
    # A path is a socket's only where nothing but a link can be meant.
    if "runtimeprotocols" in roles and is_address(word, paths=len(roles) == 1):
        link = link_to(word)
        return [Chosen("runtimeprotocols", type(link), link.chosen_options())]
    if "modelwrappers" in roles and _FACTORY.fullmatch(word):
        return [_factory(word)]
    if path.suffix.lower() == ".pth" and "modelwrappers" in roles:
        raise _UnusableFileError(
            f"{word} holds the weights of a PyTorch network, not the network: name the function "
            f"that builds it, such as mynet:make --weights {word} --input-shapes 3,224,224."
        )
    prefix = word.partition(".")[0]
    if prefix in roles:
        return [Chosen(prefix, registry.load(prefix, word), {})]
    if "." in word:
        cls = _by_path(word)
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
        raise PluginError(f"No {kinds} is named {word!r}, nor is it a file{hint(word, known)}")
    return found


def _by_path(word: str) -> type[Configurable]:
    """Return the class with a dotted path, which may be a misspelt file's name instead."""
    try:
        return registry.load_path(word)
    except PluginError as error:
        if registry.module_exists(word.partition(".")[0]):
            raise
        suffix = Path(word).suffix
        near = difflib.get_close_matches(suffix, [*FORMATS, ".npz"], n=1)
        meant = f"; did you mean {Path(word).with_suffix(near[0])}?" if near else "."
        raise PluginError(
            f"{word!r} is no class (there is no module {word.partition('.')[0]}) and no model or "
            f"data file{meant}"
        ) from error


def _factory(word: str) -> Chosen:
    """Return the wrapper of a network that a library or a user's own function builds."""
    module, _, name = word.partition(":")
    if module in ("keras", "keras.applications"):
        wrapper = registry.load("modelwrappers", "tensorflow_imagenet")
        place = {"model_path": f"build/models/{name}.keras", "create": True}
        return Chosen("modelwrappers", wrapper, {"application": name, **place})
    return Chosen(
        "modelwrappers", registry.load("modelwrappers", "torch_factory"), {"factory": word}
    )


def _own_file(path: Path, roles: Sequence[str]) -> Chosen | None:
    """Recognize a user's own model file, .npz file or image folder."""
    suffix = path.suffix.lower()
    format = FORMATS.get(suffix) or ("keras" if (path / "saved_model.pb").exists() else None)
    role, name, option_name = None, "", ""
    if format in _MODEL_FILES:
        role, (name, option_name) = "modelwrappers", _MODEL_FILES[format]
    elif suffix == ".npz":
        role, name, option_name = "datasets", "npz_file", "dataset_path"
    elif path.is_dir() and not any(str(path) in registry.names(one) for one in roles):
        role, name, option_name = "datasets", "image_folder", "dataset_root"
    if role is None or role not in roles:
        return None
    return Chosen(role, registry.load(role, name), {option_name: str(path)})
