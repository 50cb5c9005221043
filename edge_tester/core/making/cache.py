"""Keep what compilers made, found again by what it was made from."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np

import edge_tester
from edge_tester.core.artifact import Artifact
from edge_tester.core.backends import version
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.dataset import Dataset
from edge_tester.core.making.calibration import calibration_indices
from edge_tester.core.making.chain import compile_model, links_between, suffix_of
from edge_tester.core.making.isolation import isolated
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import Configurable, path_of
from edge_tester.core.registry import load_path
from edge_tester.core.system.files import sha256_of_all, write_atomically
from edge_tester.core.system.machine import cpu_features, describe_machine
from edge_tester.core.tensors import Array

# Options that say where a file is, not what is in it.
_PLACES = {"compiled_model_path", "model_path", "model_framework"}
_MANIFEST = "made-from.json"
# A class, and the options that make an equal instance.
_Recipe = tuple[str, dict[str, Any]]


class Manifest(msgspec.Struct, frozen=True):
    """What is kept beside a compiled model: what it was made from, and its description."""

    ingredients: dict[str, str]
    artifact: dict[str, Any]


class CompileCache:
    """A folder of compiled models; each lies in a folder named by a hash of its ingredients.

    Parameters
    ----------
    directory : Path
        Made when something is kept; to be deleted as a whole at any time.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def find(self, ingredients: dict[str, str]) -> Artifact | None:
        """Return what was made from exactly this, None if it is not there or was damaged."""
        manifest = _read(self._folder(ingredients))
        if manifest is None or manifest.ingredients != ingredients:
            return None
        artifact = _revived(manifest.artifact)
        if not artifact.path.exists():
            return None
        now = Artifact.from_file(artifact.path, artifact.format)
        return artifact if now.sha256 == artifact.sha256 else None

    def make(
        self,
        ingredients: dict[str, str],
        compiler: ModelCompiler,
        model: ModelWrapper,
        dataset: Dataset,
    ) -> Artifact:
        """Compile in a process of its own, and keep the result.

        Raises
        ------
        EdgeTesterError
            The compiler's own, or :class:`IsolationError` if it crashed.
        """
        folder = self._folder(ingredients)
        if folder.exists():
            shutil.rmtree(folder)
        path = folder / f"model{suffix_of(compiler.output_format)}"
        options = {**compiler.to_options(), "compiled_model_path": str(path)}
        recipes = [(path_of(type(compiler)), options), _recipe(model), _recipe(dataset)]
        made = isolated(_compile, *recipes)
        content = msgspec.json.encode(Manifest(ingredients, made))
        write_atomically(folder / _MANIFEST, msgspec.json.format(content, indent=1))
        return _revived(made)

    def explain(self, ingredients: dict[str, str]) -> str:
        """Return why something must be compiled: what differs from the nearest that is kept."""
        if self.find(ingredients) is not None:
            return "kept"
        nearest: tuple[int, list[str]] | None = None
        for folder in sorted(self._directory.glob("*/")):
            manifest = _read(folder)
            if manifest is None or manifest.ingredients["compiler"] != ingredients["compiler"]:
                continue
            changes = _changes(manifest.ingredients, ingredients)
            if nearest is None or len(changes) < nearest[0]:
                nearest = len(changes), changes
        if nearest is None:
            return "to be compiled: nothing by this compiler is kept"
        changes = nearest[1] or ["the file that is kept was changed or removed"]
        return f"to be compiled: {'; '.join(changes)}"

    def _folder(self, ingredients: dict[str, str]) -> Path:
        key = hashlib.sha256(msgspec.json.encode(ingredients, order="deterministic"))
        return self._directory / key.hexdigest()[:16]


def ingredients_of(
    compiler: ModelCompiler, model: ModelWrapper, dataset: Dataset
) -> dict[str, str]:
    """Return everything that decides what a compiler makes, by name.

    The data set must be prepared; its calibration samples count where the compiler quantizes,
    unless it takes those of a folder, which count then.
    """
    links = links_between(model.format, type(compiler))
    tools = {tool for one in [*links, type(compiler)] for tool in one.distributions}
    machine = describe_machine()
    found = {
        "model": model.artifact().sha256,
        "edge_tester": edge_tester.__version__,
        "processor": f"{machine.architecture} {machine.cpu_model}",
        "processor features": cpu_features(),
        **_described("modelwrapper", model),
        **_described("compiler", compiler),
        **{f"version of {tool}": found for tool in sorted(tools) if (found := version(tool))},
    }
    if compiler.calibrates:
        compiler.check_calibration(dataset)
    # What is in a folder of samples counts already.
    if compiler.quantizes and compiler.calibration_samples is None:
        model.load()
        dataset.bind(model.specs()[0])
        indices = calibration_indices(dataset, compiler.calibration_count)
        found["calibration samples"] = fingerprint(dataset, indices)
    return found


def _described(role: str, part: Configurable) -> dict[str, str]:
    options = {k: v for k, v in part.to_options().items() if k not in _PLACES}
    # A file that an option names counts with what is in it.
    files = {name: path for name in options if isinstance(path := getattr(part, name), Path)}
    return {
        role: path_of(type(part)),
        **{f"{role}.{name}": repr(value) for name, value in options.items()},
        **{
            f"content of {role}.{name}": sha256_of_all(path)
            for name, path in files.items()
            if path.is_file() or name == "calibration_samples"
        },
    }


def fingerprint(dataset: Dataset, indices: Array) -> str:
    """Return a hash of samples, hexadecimal."""
    digest = hashlib.sha256()
    for samples in dataset.batches(indices, 64):
        for values in samples.inputs:
            digest.update(f"{values.dtype} {values.shape}".encode())
            digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def _changes(before: dict[str, str], now: dict[str, str]) -> list[str]:
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return [
        f"{name} was {_short(before.get(name))}, is {_short(now.get(name))}"
        for name in sorted(names)
    ]


def _short(value: str | None) -> str:
    if value is None:
        return "absent"
    return value if len(value) <= 40 else f"{value[:12]}..."


def _recipe(part: Configurable) -> _Recipe:
    return path_of(type(part)), part.to_options()


def _compile(compiler: _Recipe, model: _Recipe, dataset: _Recipe) -> dict[str, Any]:
    made_of, source, samples = (
        load_path(path).from_options(options) for path, options in (compiler, model, dataset)
    )
    data = cast(Dataset, samples)
    data.prepare()
    artifact = compile_model(cast(ModelCompiler, made_of), cast(ModelWrapper, source), data)
    found: dict[str, Any] = msgspec.to_builtins(artifact, enc_hook=str)
    return found


def _revived(made: dict[str, Any]) -> Artifact:
    return msgspec.convert(made, Artifact, dec_hook=lambda kind, value: kind(value))


def _read(folder: Path) -> Manifest | None:
    path = folder / _MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
        # Interrupted, or of another version: as if it were not there.
        return None
