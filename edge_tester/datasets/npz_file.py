"""A user's own samples in one .npz file."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from edge_tester.core.dataset import Samples, Split
from edge_tester.core.errors import DatasetError
from edge_tester.core.measurements import Task
from edge_tester.core.options import option, state
from edge_tester.core.tensors import Array, TensorSpec
from edge_tester.datasets._whole import WholeDataset

TRUTH = "y"
CLASS_NAMES = "class_names"
CALIBRATION = "_calibration"
LOCAL_HEADER_BYTES = 30


class NpzDataset(WholeDataset):
    """Samples from the arrays of one .npz file.

    ===================  =====================================================
    ``x``                samples of the only input; or instead of it
    ``x_0``, ``x_1``...  samples of each input in the model's order; or arrays
                         that are named as the model's inputs
    ``y``                optional; integers of shape (samples,) are classes,
                         floats of shape (samples, ...) are values to predict
    ``x_calibration``    optional samples for calibration alone; of each input,
                         its name and ``_calibration``
    ``class_names``      optional texts in the order of the class indices
    ===================  =====================================================

    Arrays that were saved uncompressed are read from the file sample by sample,
    compressed ones are held in memory.
    """

    dataset_path: Path = option(help="The .npz file")

    inputs: dict[str, Array] | None = state()
    calibration: dict[str, Array] = state(default_factory=dict)
    truth: Array | None = state()
    texts: list[str] = state(default_factory=list)

    @property
    def task(self) -> Task:
        """Classification or regression by the dtype of ``y``, none without it."""
        self.prepared(self.inputs)
        if self.truth is None:
            return "none"
        return "classification" if self.truth.dtype.kind in "iu" else "regression"

    def prepare(self) -> None:
        """Open the file and check its arrays against each other."""
        if not self.dataset_path.is_file():
            raise self._error("does not exist or is no file")
        try:
            arrays = _read(self.dataset_path)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
            raise self._error(f"is no readable .npz file: {error}") from error
        for name, array in arrays.items():
            if array.ndim == 0 or len(array) == 0:
                raise self._error(f"has no samples in array {name!r}")
        self.texts = [str(text) for text in arrays.pop(CLASS_NAMES, ())]
        truth = arrays.pop(TRUTH, None)
        calibration = {n: a for n, a in arrays.items() if n.endswith(CALIBRATION)}
        inputs = self._inputs({n: a for n, a in arrays.items() if n not in calibration})
        lengths = {name: len(array) for name, array in inputs.items()}
        if truth is not None:
            lengths[TRUTH] = len(truth)
            truth = self._checked_truth(truth)
        self._require_equal(lengths)
        self.calibration = self._checked_calibration(inputs, calibration)
        self.inputs, self.truth = inputs, truth

    def bind(self, inputs: Sequence[TensorSpec]) -> None:
        """Put arrays that are named as the model's inputs into the model's order."""
        arrays = self.prepared(self.inputs)
        if "x" in arrays or "x_0" in arrays:
            return
        wanted = [spec.name for spec in inputs]
        if sorted(wanted) != sorted(arrays):
            raise self._error(
                f"has the arrays {', '.join(arrays)}, the model's inputs are {', '.join(wanted)}; "
                "name them so, or x, or x_0, x_1 and so on"
            )
        self.inputs = {name: arrays[name] for name in wanted}

    def __len__(self) -> int:
        """Return the number of samples, those for calibration alone included."""
        extra = next((len(array) for array in self.calibration.values()), 0)
        return self._measured() + extra

    def load(self, indices: Sequence[int] | Array) -> Samples:
        """Load the samples with these indices; those for calibration alone come last."""
        chosen = np.asarray(indices, np.intp)
        measured = self._measured()
        own, extra = chosen < measured, chosen >= measured
        columns = []
        for name, array in self.prepared(self.inputs).items():
            column = np.empty((len(chosen), *array.shape[1:]), array.dtype)
            column[own] = array[chosen[own]]
            if extra.any():
                column[extra] = self.calibration[name][chosen[extra] - measured]
            columns.append(column)
        known = self.truth is not None and not extra.any()
        truth = np.asarray(self.truth[chosen]) if known and self.truth is not None else None
        return Samples(tuple(columns), truth)

    def labels(self) -> Array | None:
        """Return the class indices, -1 for samples for calibration alone."""
        if self.task != "classification" or self.truth is None:
            return None
        unknown = np.full(len(self) - self._measured(), -1)
        return np.concatenate([self.truth, unknown])

    def class_names(self) -> list[str]:
        """Return the texts of ``class_names``."""
        return self.texts

    def own_split(self) -> Split:
        """Split the samples; those for calibration alone are added there."""
        measured = self._measured()
        labels = self.labels()
        own = self.split_of(measured, None if labels is None else labels[:measured])
        calibration = np.concatenate([own.calibration, np.arange(measured, len(self))])
        return Split(own.train, own.validation, calibration, own.test)

    def _measured(self) -> int:
        return len(next(iter(self.prepared(self.inputs).values())))

    def _inputs(self, arrays: dict[str, Array]) -> dict[str, Array]:
        names = ["x"]
        if "x" not in arrays:
            numbered = [f"x_{index}" for index in range(len(arrays))]
            names = numbered if "x_0" in arrays else list(arrays)
        if not names or set(names) != set(arrays):
            raise self._error(
                "needs the array x, or x_0, x_1 and so on, or arrays named as the model's inputs, "
                f"and may have y, class_names and x_calibration; it has {_listed(arrays)}"
            )
        return {name: arrays[name] for name in names}

    def _checked_truth(self, truth: Array) -> Array:
        classes = truth.dtype.kind in "iu" and truth.size == len(truth)
        if classes and truth.min() >= 0:
            return truth.reshape(-1).astype(np.int64)
        if truth.dtype.kind == "f":
            return truth
        raise self._error(
            "needs y to hold class indices from 0 (integers of shape (samples,)) or values "
            f"(floats), got {truth.dtype} of shape {truth.shape}"
        )

    def _checked_calibration(
        self, inputs: dict[str, Array], calibration: dict[str, Array]
    ) -> dict[str, Array]:
        if not calibration:
            return {}
        if set(calibration) != {f"{name}{CALIBRATION}" for name in inputs}:
            raise self._error(
                f"has the calibration arrays {_listed(calibration)}, "
                f"the inputs are {_listed(inputs)}"
            )
        self._require_equal({name: len(array) for name, array in calibration.items()})
        found = {name: calibration[f"{name}{CALIBRATION}"] for name in inputs}
        for name, array in inputs.items():
            theirs = found[name]
            if (array.shape[1:], array.dtype) != (theirs.shape[1:], theirs.dtype):
                raise self._error(
                    f"has {array.dtype} samples of shape {array.shape[1:]} in {name}, but "
                    f"{theirs.dtype} of shape {theirs.shape[1:]} in {name}{CALIBRATION}"
                )
        return found

    def _require_equal(self, lengths: dict[str, int]) -> None:
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise self._error(f"has arrays of unequal lengths: {shown}")

    def _error(self, what: str) -> DatasetError:
        return DatasetError(f"{type(self).__name__}: {self.dataset_path} {what}.")


def _listed(arrays: dict[str, Array]) -> str:
    return ", ".join(arrays) or "none"


def _read(path: Path) -> dict[str, Array]:
    """Return all arrays of an .npz file, those that can be as memory maps.

    Notes
    -----
    Source: PKWARE, APPNOTE.TXT - .ZIP File Format Specification 6.3.10, section
    4.3.7 for the local header; numpy, NEP 1 for the .npy format.
    """
    arrays: dict[str, Array] = {}
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for info in archive.infolist():
            with archive.open(info) as member:
                version = np.lib.format.read_magic(member)
                read_header = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                shape, fortran_order, dtype = read_header(member)
                header_bytes = member.tell()
            if dtype.hasobject:
                raise ValueError(f"array {info.filename} holds Python objects")
            name = info.filename.removesuffix(".npy")
            mappable = info.compress_type == zipfile.ZIP_STORED and 0 not in shape and shape
            if mappable:
                file.seek(info.header_offset)
                local_header = file.read(LOCAL_HEADER_BYTES)
                name_bytes, extra_bytes = struct.unpack("<HH", local_header[-4:])
                start = info.header_offset + LOCAL_HEADER_BYTES + name_bytes + extra_bytes
                order: Literal["F", "C"] = "F" if fortran_order else "C"
                arrays[name] = np.memmap(path, dtype, "r", start + header_bytes, shape, order)
            else:
                with archive.open(info) as member:
                    arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
    return arrays
