"""Folders of samples in .npy files: ours with a manifest, or anybody's."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_tester.core.errors import DatasetError
from edge_tester.core.samples.manifest import MANIFEST, Manifest, read_manifest
from edge_tester.core.system.files import sha256_of
from edge_tester.core.tensors import Array, TensorSpec

LAYOUTS = (
    "either .npy files side by side, one for each sample of the only input, or a sub-folder for "
    "each input, named as the input or input_0, input_1 and so on, with .npy files of the same "
    "names in each"
)
# Kinds of dtypes that can stand for each other: floats, integers, truth values.
_KINDS = {"f": "f", "i": "i", "u": "i", "b": "b"}


@dataclasses.dataclass(frozen=True)
class SampleFolder:
    """Samples in files that were looked at: each can be read, is finite and fits the others.

    Attributes
    ----------
    path : Path
    manifest : Manifest or None
        None of a folder from elsewhere.
    columns : tuple of str
        Names of the inputs' sub-folders, in the order of the manifest, or sorted; an empty one
        stands for the folder itself.
    names : tuple of str
        Of the files, which are the same for each input; samples in their order.
    sha256 : str
        Of all files and their names, hexadecimal.
    """

    path: Path
    manifest: Manifest | None
    columns: tuple[str, ...]
    names: tuple[str, ...]
    sha256: str

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.names)

    def file(self, column: str, number: int) -> Path:
        """Return the file of one input of a sample."""
        return self.path / column / self.names[number]

    def load(self, number: int, columns: Sequence[str]) -> list[Array]:
        """Return a sample as its files have it, of these inputs in this order."""
        return [_read(self.file(column, number)) for column in columns]

    def ordered(self, inputs: Sequence[TensorSpec]) -> list[str]:
        """Return the sub-folders in the order of a model's inputs.

        Raises
        ------
        DatasetError
            They are others than the model's inputs.
        """
        names = [spec.name for spec in inputs]
        numbered = [f"input_{place}" for place in range(len(inputs))]
        if self.manifest is not None:
            mine = [one.name for one in self.manifest.inputs]
            if sorted(mine) == sorted(names):
                return [self.columns[mine.index(name)] for name in names]
        for wanted in (names, numbered):
            if sorted(wanted) == sorted(self.columns):
                return wanted
        if len(inputs) == len(self.columns) == 1:
            return list(self.columns)
        raise DatasetError(
            f"{self.path} has {_listed(self.columns)}, the model has {len(inputs)} inputs: "
            f"{', '.join(names)}. It must have {LAYOUTS}."
        )

    def fitted(
        self, number: int, columns: Sequence[str], inputs: Sequence[TensorSpec]
    ) -> list[Array]:
        """Return a sample as the model takes it, in one inference.

        Files may have the first axis, or leave it out where that is the batch of one.

        Raises
        ------
        DatasetError
            A shape or dtype is another one; the message names the file.
        """
        return [
            _fitted(values, spec, self.file(column, number))
            for values, spec, column in zip(
                self.load(number, columns), inputs, columns, strict=True
            )
        ]


def read_folder(path: Path) -> SampleFolder:
    """Look at a folder of samples: at every file, and at its checksum where there is a manifest.

    Raises
    ------
    DatasetError
        There is no sample; a file is missing, was changed, cannot be read, holds something else
        than finite numbers, or has another shape or dtype than the others. It is named.
    """
    if not path.is_dir():
        raise DatasetError(f"{path} must be a folder of samples, with {LAYOUTS}; it is no folder.")
    manifest = read_manifest(path)
    if manifest is None:
        columns, names = _found(path)
    else:
        columns, names = _listed_in(manifest, path)
    digest = hashlib.sha256()
    for column in columns:
        shape: tuple[tuple[int, ...], str] | None = None
        for name in names:
            file = path / column / name
            digest.update(f"{column}/{name}\n{sha256_of(file)}\n".encode())
            values = _read(file)
            _require_finite(values, file)
            now = values.shape, values.dtype.name
            if shape is not None and now != shape and manifest is None:
                raise DatasetError(
                    f"{path / column} must hold arrays of one shape and dtype, got "
                    f"{shape[0]} {shape[1]} in {names[0]} and {now[0]} {now[1]} in {name}."
                )
            shape = shape or now
    if manifest is not None:
        digest.update((path / MANIFEST).read_bytes())
    return SampleFolder(path, manifest, tuple(columns), tuple(names), digest.hexdigest())


def _found(path: Path) -> tuple[list[str], list[str]]:
    """Return the sub-folders and the names of the files in them, of a folder from elsewhere."""
    files = sorted(one.name for one in path.glob("*.npy") if one.is_file())
    folders = sorted(one.name for one in path.iterdir() if one.is_dir() and any(one.glob("*.npy")))
    if files and folders:
        raise DatasetError(
            f"{path} must hold {LAYOUTS}; got both {files[0]} and the sub-folder {folders[0]}."
        )
    if not files and not folders:
        others = sorted(one.name for one in path.iterdir())
        got = f"it holds {', '.join(others[:3])}" if others else "it is empty"
        raise DatasetError(f"{path} must hold {LAYOUTS}; {got}.")
    if files:
        return [""], files
    held = {one: sorted(file.name for file in (path / one).glob("*.npy")) for one in folders}
    names = held[folders[0]]
    for folder, theirs in held.items():
        if theirs != names:
            odd = sorted(set(theirs) ^ set(names))[0]
            raise DatasetError(
                f"{path} must hold each sample once for each input: {odd} is in one of "
                f"{folders[0]} and {folder} alone."
            )
    return folders, names


def _listed_in(manifest: Manifest, path: Path) -> tuple[list[str], list[str]]:
    """Return the sub-folders and files that a manifest names, having seen their checksums."""
    if not manifest.samples or not manifest.inputs:
        raise DatasetError(f"{path / MANIFEST} must name samples, got none.")
    expected = {name: digest for one in manifest.samples for name, digest in one.files.items()}
    for name, digest in expected.items():
        file = path / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise DatasetError(f"{path / MANIFEST} must name files inside its folder, got {name}.")
        if not file.is_file():
            raise DatasetError(f"{file} is missing; {MANIFEST} beside it names it.")
        if sha256_of(file) != digest:
            raise DatasetError(
                f"{file} was changed since it was written: its SHA-256 is not that of {MANIFEST}. "
                "Write the folder anew with edge-tester samples, or remove the manifest to have "
                "its files taken as they are."
            )
    held = {one.relative_to(path).as_posix() for one in path.rglob("*.npy")}
    if added := sorted(held - set(expected)):
        raise DatasetError(
            f"{path / added[0]} is not in {MANIFEST}: the folder must hold what that names alone."
        )
    parents = [Path(name).parent.as_posix() for name in manifest.samples[0].files]
    columns = ["" if one == "." else one for one in parents]
    names = [Path(next(iter(one.files))).name for one in manifest.samples]
    wanted = {(Path(column) / name).as_posix() for column in columns for name in names}
    if len(columns) != len(manifest.inputs) or wanted != set(expected):
        raise DatasetError(f"{path / MANIFEST} must name one file for each input of each sample.")
    return columns, names


def _read(file: Path) -> Array:
    try:
        values = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        pickled = "pickle" in str(error).lower()
        reason = "it holds pickled objects, which are code and are not loaded" if pickled else error
        raise DatasetError(f"{file} must be a .npy file of numbers: {reason}.") from error
    if not isinstance(values, np.ndarray):
        raise DatasetError(f"{file} must be a .npy file of one array, got an archive of several.")
    if values.dtype.kind not in _KINDS:
        raise DatasetError(f"{file} must hold numbers, got dtype {values.dtype}.")
    if values.size == 0:
        raise DatasetError(f"{file} must hold numbers, got an empty array of shape {values.shape}.")
    return values


def _require_finite(values: Array, file: Path) -> None:
    if values.dtype.kind != "f":
        return
    broken = int(values.size - np.isfinite(values).sum())
    if broken:
        what = "NaN" if np.isnan(values).any() else "infinite"
        raise DatasetError(
            f"{file} must hold finite numbers, got {broken} of {values.size} that are not "
            f"({what}): nothing can be calibrated with them."
        )


def _fitted(values: Array, spec: TensorSpec, file: Path) -> Array:
    allowed, got = _KINDS.get(np.dtype(spec.dtype).kind), _KINDS[values.dtype.kind]
    if allowed != got and not spec.quantized:
        advice = (
            " Integers are no values of such an input: save what the preprocessing gives."
            if allowed == "f"
            else ""
        )
        raise DatasetError(
            f"{file}: input {spec.name!r} takes {spec.described()}, got dtype {values.dtype}."
            f"{advice}"
        )
    for shaped in (values, values[np.newaxis]):
        # An open first size is the batch, and a file is one sample.
        if spec.accepts(shaped.shape) and (spec.shape[:1] != (None,) or len(shaped) == 1):
            return shaped
    # A model with a batch size of its own is given as many samples at once.
    rest = spec.shape[1:]
    for shaped in (values, values[np.newaxis]):
        if len(shaped.shape) == len(spec.shape) and shaped.shape[:1] == (1,):
            if all(m is None or m == t for m, t in zip(rest, shaped.shape[1:], strict=True)):
                return shaped
    raise DatasetError(
        f"{file}: input {spec.name!r} takes {spec.described()}, with or without the first axis, "
        f"one sample to a file; got {values.shape} {values.dtype}."
    )


def _listed(columns: Sequence[str]) -> str:
    if list(columns) == [""]:
        return "files of one input"
    return f"the sub-folders {', '.join(columns)}"
