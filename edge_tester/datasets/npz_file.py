"""A user's own samples in one .npz file."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_tester.core.dataset import Samples, Split
from edge_tester.core.errors import DatasetError
from edge_tester.core.figures import Task
from edge_tester.core.options import option, state
from edge_tester.core.tensors import Array, TensorSpec
from edge_tester.datasets._npz_arrays import read_npz, what_it_is
from edge_tester.datasets._truth import CLASSES, OBJECTS, VALUES, evident_truth, text_of
from edge_tester.datasets._whole import WholeDataset

TRUTH = "y"
CLASS_NAMES = "class_names"
CALIBRATION = "_calibration"


class NpzDataset(WholeDataset):
    """Samples from the arrays of one .npz file.

    ===================  =====================================================
    ``x``                samples of the only input; or instead of it
    ``x_0``, ``x_1``...  samples of each input in the model's order; or arrays
                         that are named as the model's inputs
    ``y``                optional; integers of shape (samples,) are classes,
                         floats of shape (samples, ...) are values to predict;
                         one-hot rows, texts, true and false, and whole numbers
                         as floats are classes too, which is said; with
                         ``truth_as`` detection, floats of shape (samples,
                         objects, 5): class, top, left, bottom, right
    ``x_calibration``    optional samples for calibration alone; of each input,
                         its name and ``_calibration``
    ``class_names``      optional texts in the order of the class indices
    ===================  =====================================================

    Arrays that were saved uncompressed are read from the file sample by sample,
    compressed ones are held in memory.
    """

    dataset_path: Path = option(help="The .npz file")
    truth_as: str = option(
        "auto",
        choices=("auto", CLASSES, VALUES, OBJECTS),
        help="Whether y holds classes, values to predict or objects to detect; by default the one "
        "of the first two that it evidently does",
    )

    inputs: dict[str, Array] | None = state()
    calibration: dict[str, Array] = state(default_factory=dict)
    truth: Array | None = state()
    texts: list[str] = state(default_factory=list)
    truth_classes: int = state(0)
    truth_remarks: list[str] = state(default_factory=list)
    bound: bool = state(False)

    @property
    def task(self) -> Task:
        """Classification or regression by what ``y`` evidently is, none without it."""
        self.prepared(self.inputs)
        if self.truth is None:
            return "none"
        if self.truth_as == OBJECTS:
            return "detection"
        return "classification" if self.truth.dtype.kind in "iu" else "regression"

    def prepare(self) -> None:
        """Open the file and check its arrays against each other."""
        if not self.dataset_path.is_file():
            raise self._error("does not exist or is no file")
        try:
            arrays = read_npz(self.dataset_path)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
            found = what_it_is(self.dataset_path)
            reason = f"it {found}" if found else error
            raise self._error(f"is no readable .npz file: {reason}") from error
        for name, array in arrays.items():
            if array.ndim == 0 or len(array) == 0:
                raise self._error(f"has no samples in array {name!r}")
        self.texts = [text_of(name) for name in arrays.pop(CLASS_NAMES, ())]
        truth = arrays.pop(TRUTH, None)
        calibration = {n: a for n, a in arrays.items() if n.endswith(CALIBRATION)}
        inputs = self._inputs({n: a for n, a in arrays.items() if n not in calibration})
        lengths = {name: len(array) for name, array in inputs.items()}
        if truth is not None:
            lengths[TRUTH] = len(truth)
        self._require_equal(lengths)
        self.calibration = self._checked_calibration(inputs, calibration)
        self.truth = None if truth is None else self._evident(truth)
        self.inputs, self.bound = inputs, False

    def bind(self, inputs: Sequence[TensorSpec]) -> None:
        """Put arrays that are named as the model's inputs into the model's order.

        A name may lack what TensorFlow puts around it, as in
        ``serving_default_image:0``. The order that was found first stays for a
        compiled model whose inputs have other names.
        """
        arrays = self.prepared(self.inputs)
        if "x" in arrays or "x_0" in arrays:
            return
        wanted = [spec.name for spec in inputs]
        # One array and one input belong together, whatever they are called.
        alone = len(wanted) == len(arrays) == 1
        order = list(arrays) if alone else _order(wanted, list(arrays))
        if order is not None:
            self.inputs, self.bound = {name: arrays[name] for name in order}, True
        elif not self.bound or len(wanted) != len(arrays):
            raise self._error(
                f"has the arrays {', '.join(arrays)}, the model's inputs are {', '.join(wanted)}; "
                "name them so, or x, or x_0, x_1 and so on, and the truth y"
            )

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
        """Return the texts of ``class_names``, or those of ``y``."""
        return self.texts

    def label_count(self) -> int | None:
        """Return how many classes there are at least, the columns of one-hot rows included."""
        count = super().label_count()
        return None if count is None else max(count, self.truth_classes)

    def remarks(self) -> list[str]:
        """Return what the truth was taken for, if that is not obvious."""
        return [*self.truth_remarks, *super().remarks()]

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

    def _evident(self, y: Array) -> Array:
        try:
            truth = evident_truth(y, self.truth_as, self.texts)
        except ValueError as error:
            raise self._error(f"has a y that {error}") from error
        self.truth_classes, self.truth_remarks = truth.label_count, truth.remarks
        self.texts = self.texts or truth.names
        if self.texts and truth.values.dtype.kind == "i" and truth.values.max() >= len(self.texts):
            raise self._error(
                f"has a y with the class index {truth.values.max()}, but {len(self.texts)} "
                "class_names"
            )
        return truth.values

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


def _order(wanted: list[str], have: list[str]) -> list[str] | None:
    """Return the names that are there in the order of those wanted, None if they do not match."""
    for simplified in (str, _plain):
        mine, theirs = {simplified(name): name for name in have}, list(map(simplified, wanted))
        if len(mine) == len(have) and sorted(mine) == sorted(theirs):
            return [mine[name] for name in theirs]
    return None


def _plain(name: str) -> str:
    """Return the name in a signature that the name of a tensor was made from."""
    return re.sub(r":\d+$", "", name).removeprefix("serving_default_")
